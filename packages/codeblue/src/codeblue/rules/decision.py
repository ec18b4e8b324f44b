"""From verdicts to one decision (B4, R10): what would help, what speaks against it, all of it said."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from codeblue.model.health import Outcome
from codeblue.model.release import Standing, Workload
from codeblue.model.verdict import Action, Decision, Verdict
from codeblue.rules.known_good import Choice


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds automatic rollbacks (R10).

    Attributes:
        cooldown_s: rest after a rollback ended, before another may start by itself.
        budget: automatic rollbacks within `budget_window_s`.
        literal: `policy: literal`, the document word by word: a trigger rolls back, whatever the release's standing.
    """

    cooldown_s: float
    budget: int
    budget_window_s: float
    literal: bool = False


def decide(
    verdicts: Sequence[Verdict],
    workload: Workload,
    choice: Choice,
    *,
    past: Sequence[datetime],
    limits: Limits,
    at: datetime,
) -> Decision:
    """What to do about these verdicts.

    Args:
        choice: the target that a rollback would have.
        past: when automatic rollbacks ended, any order.

    Returns:
        NONE without a breach. ROLLBACK where a breach meets a release that is not known-good, a target, and limits that
        allow it. PAGE_ONLY for every breach that a rollback is not the answer to.
    """
    breaches = [v for v in verdicts if v.outcome is Outcome.BREACH]
    if not breaches:
        unknown = [f"{v.rule}: {v.why}" for v in verdicts if v.outcome is Outcome.UNKNOWN]
        why = tuple(unknown) or ("no trigger fires",)
        return Decision(Action.NONE, at, why, verdicts=tuple(verdicts))
    reasons = tuple(f"{v.rule}: {v.why}" for v in breaches)
    against = (*_against_cause(workload, limits), *_against_limits(past, limits, at), *_against_target(choice))
    if against:
        return Decision(Action.PAGE_ONLY, at, reasons, against, tuple(verdicts))
    current = workload.template
    reasons += (f"the current release {current.label} is {workload.standing(current)}", f"target: {choice.because}")
    return Decision(Action.ROLLBACK, at, reasons, verdicts=tuple(verdicts))


def _against_cause(workload: Workload, limits: Limits) -> tuple[str, ...]:
    """A known-good release did not become bad by itself: the cause is elsewhere, and going back cannot help (R10)."""
    if not limits.literal and workload.standing(workload.template) is Standing.KNOWN_GOOD:
        mark = workload.marks[workload.template.release]
        return (
            f"no recent change can be the cause: the current release is known-good since {mark.at:%Y-%m-%d %H:%M} UTC",
        )
    return ()


def _against_limits(past: Sequence[datetime], limits: Limits, at: datetime) -> tuple[str, ...]:
    found: list[str] = []
    if past:
        rest = (at - max(past)).total_seconds()
        if rest < limits.cooldown_s:
            found.append(f"cooldown: the last automatic rollback ended {rest:.0f} s ago < {limits.cooldown_s:.0f} s")
    recent = [p for p in past if at - p < timedelta(seconds=limits.budget_window_s)]
    if len(recent) >= limits.budget:
        found.append(f"budget: {len(recent)} automatic rollbacks in {limits.budget_window_s:.0f} s ≥ {limits.budget}")
    return tuple(found)


def _against_target(choice: Choice) -> tuple[str, ...]:
    return () if choice.revision else (f"no target: {choice.because}", *choice.passed_over)
