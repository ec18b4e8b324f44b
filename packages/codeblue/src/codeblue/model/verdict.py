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
        near: pods that are over the limit too, not yet for long enough.
        of: how many pods were looked at, 0 where that does not matter.
        alerted: a breach that only an alert of somebody else's monitoring says, and not what was seen from here.
        measured: the number that was compared with the limit, in the rule's own unit (a fraction, seconds); None where
            there is none.
    """

    rule: str
    outcome: Outcome
    why: str
    final: bool = False
    since_s: float | None = None
    pods: tuple[str, ...] = ()
    of: int = 0
    near: tuple[str, ...] = ()
    measured: float | None = None
    alerted: bool = False

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
    FREEZE = "freeze"
    ROLLBACK = "rollback"
    ROLLBACK_WITH_DATA = "rollback_with_data"
    DISABLE_FLAGS = "disable_flags"
    REPLACE_POD = "replace_pod"
    PAGE_ONLY = "page_only"

    @property
    def words(self) -> str:
        """Its name for people."""
        return self.value.replace("_", " ")

    @property
    def verb(self) -> str:
        """What somebody does who does it ("would …")."""
        return _VERBS.get(self, self.words)

    @property
    def doing(self) -> str:
        """What somebody is at who does it."""
        first, _, rest = self.verb.partition(" ")
        return f"{first.removesuffix('e')}ing {rest}".strip()


_VERBS = {
    Action.ROLLBACK: "roll back",
    Action.ROLLBACK_WITH_DATA: "roll back with the data",
    Action.DISABLE_FLAGS: "disable the flags",
    Action.REPLACE_POD: "replace the pod",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that could be done, with what speaks for it and what against it.

    Attributes:
        rules: of the verdicts that speak for it; how far it may go by itself is theirs to say (R1a).
    """

    action: Action
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """The release in force at some moment: `Template.release` and `Template.label`."""

    release: str
    label: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision with the reasons for it and against it, so that anybody can check it by hand.

    Attributes:
        reasons_against: for PAGE_ONLY, what spoke against each thing that could have been done.
        verdicts: of all triggers.
        options: everything that was considered, the chosen one among it.
        pods: whom REPLACE_POD is about.
        rules: of the verdicts that speak for the action.
        limits: how each limit of automatic rollbacks stood (R10), kept or not.
        releases: the releases that a rollback could go to, the chosen one first, each with the reason why (not).
        in_force: the release that was in force when this was decided; None where nobody looked.
    """

    action: Action
    at: datetime
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    options: tuple[Option, ...] = ()
    pods: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    in_force: InForce | None = None

    @property
    def sentence(self) -> str:
        """The decision in one line."""
        reasons, against = ", ".join(self.reasons_for), ", ".join(self.reasons_against)
        match self.action:
            case Action.NONE:
                return f"nothing to do: {reasons}"
            case Action.PAGE_ONLY:
                return f"no change: {against or 'nothing here would help'}; trigger: {reasons}; a person must decide"
            case _:
                return f"{self.action.words}: {reasons}"
