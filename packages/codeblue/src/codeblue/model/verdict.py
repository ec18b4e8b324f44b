"""Verdicts with their arithmetic, and the decision that follows from them (B4)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from codeblue.model.health import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule or a check concludes.

    Attributes:
        rule: its id ("R4", "rollout").
        outcome: ok, breach or unknown.
        why: the arithmetic, checkable by hand: "4 consecutive failures > 3".
        final: asking again will not change it within this run; a waiting check stops at once.
        since_s: when what it measures began to be over its limit, seconds since the epoch; None while it is not. An
            `ok` that has it is on the way to a breach: not yet for long enough.
        pods: of a breach that concerns single pods, which ones.
        of: how many pods were looked at, 0 where that does not matter.
    """

    rule: str
    outcome: Outcome
    why: str
    final: bool = False
    since_s: float | None = None
    pods: tuple[str, ...] = ()
    of: int = 0

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def is_of_few(self) -> bool:
        """It concerns single pods, and not more than half of them: they are the cause, not the release (R7)."""
        return 0 < 2 * len(self.pods) <= self.of


class Action(StrEnum):
    """What can be decided (B4)."""

    NONE = "none"
    ROLLBACK = "rollback"
    PAGE_ONLY = "page_only"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision with the reasons for it and against it, so that anybody can check it by hand."""

    action: Action
    at: datetime
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def sentence(self) -> str:
        """The decision in one line. It does not claim a page: this version sends none."""
        reasons, against = ", ".join(self.reasons_for), ", ".join(self.reasons_against)
        match self.action:
            case Action.NONE:
                return f"nothing to do: {reasons}"
            case Action.ROLLBACK:
                return f"rollback: {reasons}"
            case Action.PAGE_ONLY:
                return (
                    f"no rollback: {against}; nobody is paged by this version: a person must decide; trigger: {reasons}"
                )
