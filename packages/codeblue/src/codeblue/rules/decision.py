"""From verdicts to one decision (B4, R9, R10): what would help, what speaks against it, all of it said."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from codeblue.model.health import Outcome
from codeblue.model.release import Standing, Workload
from codeblue.model.verdict import Action, Decision, InForce, Option, Verdict
from codeblue.rules.blindness import BLIND
from codeblue.rules.inhibition import OVERDUE
from codeblue.rules.known_good import Choice
from codeblue.rules.severity import MANUAL

#: The trigger that a dead provider of the model fires as well as a bad release (D20).
AI_FAILURES = "R8"

#: Alerts of somebody else's monitoring that name none of our triggers.
ALERT = "alert"

#: What fires for people alone: nothing that could be done to the service is known to answer it.
OURS = frozenset({BLIND, OVERDUE, ALERT})

#: How often one release may be rolled back by itself: one that keeps coming back has somebody who brings it (flapping).
FLAPS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds automatic rollbacks (R10).

    Attributes:
        cooldown_s: rest after a rollback ended, before another may start by itself.
        budget: automatic rollbacks within `budget_window_s`.
        recent_s: how young a change must be to be blamed; None: since the last known-good verdict.
        literal: `policy: literal`, the document word by word: a trigger rolls back, whatever the release's standing.
    """

    cooldown_s: float
    budget: int
    budget_window_s: float
    recent_s: float | None = None
    literal: bool = False


@dataclass(frozen=True, slots=True)
class PastRollback:
    """An automatic rollback that was begun: when it ended, and `Template.release` of what it replaced."""

    ended: datetime
    release: str


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a decision rests on.

    Attributes:
        choice: the target that a rollback would have.
        past: automatic rollbacks, any order.
        changed: when the platform first saw the current revision, None where it does not say.
        provider: what is known of the provider of the model, asked for when AI calls fail; None where nobody can ask.
        observing: the rules that may only say what would be done (mode observe): they hinder no other one.
    """

    verdicts: tuple[Verdict, ...]
    workload: Workload
    choice: Choice
    past: tuple[PastRollback, ...]
    limits: Limits
    at: datetime
    changed: datetime | None = None
    provider: Verdict | None = None
    observing: frozenset[str] = frozenset()


def decide(situation: Situation) -> Decision:
    """What to do about these verdicts.

    Returns:
        NONE without a breach. Else the first of rollback, flags off and replacing a pod that something speaks for and
        nothing against; one that only observing rules speak for comes after those that may be done. PAGE_ONLY where
        there is none.
    """
    verdicts, at = situation.verdicts, situation.at
    breaches = [v for v in verdicts if v.outcome is Outcome.BREACH]
    if not breaches:
        unknown = [f"{v.rule}: {v.why}" for v in verdicts if v.outcome is Outcome.UNKNOWN]
        return Decision(Action.NONE, at, tuple(unknown) or ("no trigger fires",), verdicts=verdicts)
    options = tuple(o for o in (_rollback(situation), _flags(situation), _replace(situation)) if o is not None)
    options = _allowed(options, situation.observing)
    chosen = next((o for o in options if not o.reasons_against), None)
    if chosen is None:
        against = tuple(dict.fromkeys(reason for o in options for reason in o.reasons_against))
        only = Option(Action.PAGE_ONLY, tuple(_told(v) for v in breaches), rules=_rules(breaches))
        decision = Decision(
            Action.PAGE_ONLY, at, only.reasons_for, against, verdicts, (*options, only), rules=only.rules
        )
    else:
        few = dict.fromkeys(p for v in breaches if _few(v, situation.workload) for p in v.pods)
        pods = tuple(few) if chosen.action is Action.REPLACE_POD else ()
        decision = Decision(
            chosen.action, at, chosen.reasons_for, verdicts=verdicts, options=options, pods=pods, rules=chosen.rules
        )
    current = situation.workload.template
    return replace(
        decision,
        limits=_limits(situation),
        releases=_releases(situation.choice),
        in_force=InForce(current.release, current.label),
    )


def decide_declared(trigger: str, at: datetime) -> Decision:
    """What follows when a person declares an incident (R9).

    Returns:
        FREEZE where the trigger asks for it: until it is resolved, nothing changes without an approval. Else PAGE_ONLY.
    """
    manual = MANUAL.get(trigger, MANUAL["other"])
    due = f"due now: {manual.next_step}" + (f" ({manual.procedures})" if manual.procedures else "")
    reasons: tuple[str, ...] = (f"declared: {manual.means}", due)
    if not manual.freeze:
        return Decision(Action.PAGE_ONLY, at, reasons, options=(Option(Action.PAGE_ONLY, reasons),))
    reasons += ("until it is over every automatic change waits for an approval",)
    return Decision(Action.FREEZE, at, reasons, options=(Option(Action.FREEZE, reasons),))


def _allowed(options: Sequence[Option], observing: frozenset[str]) -> tuple[Option, ...]:
    """The options; while one that may be done stands against nothing, those that are only observed give way to it."""
    free = [o for o in options if not o.reasons_against]
    acting = [o for o in free if not observing.issuperset(o.rules)]
    if not acting:
        return tuple(options)
    return tuple(
        replace(o, reasons_against=(f"only observed (mode observe): {', '.join(o.rules)}",))
        if o in free and o not in acting
        else o
        for o in options
    )


def _rules(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(v.rule for v in verdicts))


def _few(verdict: Verdict, workload: Workload) -> bool:
    """Whether a breach is about single pods and not about their release (R7).

    In the middle of a rollout a few of all can be most of a new release: then it is the release.
    """
    if not verdict.is_of_few:
        return False
    releases = {p.name: p.release for p in workload.live_pods}
    ill = Counter(releases[name] for name in (*verdict.pods, *verdict.near) if name in releases)
    every = Counter(releases.values())
    return all(2 * count <= every[release] for release, count in ill.items())


def _told(verdict: Verdict) -> str:
    return f"{verdict.rule}: {verdict.why}"


def _rollback(situation: Situation) -> Option | None:
    """Going back helps against what the release brought: every trigger that is not about single pods."""
    about = [
        v
        for v in situation.verdicts
        if v.outcome is Outcome.BREACH and not _few(v, situation.workload) and v.rule not in OURS
    ]
    if not about:
        return None
    against = (
        *_against_cause(situation),
        *_against_provider(about, situation),
        *_against_limits(situation.past, situation.limits, situation.at),
        *_against_flapping(situation),
        *_against_target(situation.choice),
    )
    current = situation.workload.template
    reasons = (
        *(_told(v) for v in about),
        f"the current release {current.label} is {situation.workload.standing(current)}",
        *((_told(situation.provider),) if situation.provider and situation.provider.ok else ()),
        *((f"target: {situation.choice.because}",) if situation.choice.revision else ()),
    )
    return Option(Action.ROLLBACK, reasons, against, _rules(about))


def _flags(situation: Situation) -> Option | None:
    """Without the model the service still works: the answer to a provider that fails (D20), and to AI failures that a
    rollback cannot mend."""
    fired = next((v for v in situation.verdicts if v.rule == AI_FAILURES and v.outcome is Outcome.BREACH), None)
    if fired is None:
        return None
    provider = situation.provider
    reasons = (_told(fired), *((_told(provider),) if provider and not provider.ok else ()))
    breaches = [v for v in situation.verdicts if v.outcome is Outcome.BREACH and not _few(v, situation.workload)]
    against = tuple(f"more than the AI fails: {_told(v)}" for v in breaches if v.rule not in {AI_FAILURES, *OURS})
    return Option(Action.DISABLE_FLAGS, reasons, against, (AI_FAILURES,))


def _replace(situation: Situation) -> Option | None:
    about = [v for v in situation.verdicts if v.outcome is Outcome.BREACH and _few(v, situation.workload)]
    if not about:
        return None
    workload = situation.workload
    live = {p.name for p in workload.live_pods}
    gone = [p for v in about for p in v.pods if p not in live]
    against = tuple(f"{pod} is gone already" for pod in gone)
    if any(p.release != workload.template.release for p in workload.live_pods):
        against += (f"the rollout of {workload.template.label} is not finished: it may be the release",)
    return Option(Action.REPLACE_POD, tuple(_told(v) for v in about), against, _rules(about))


def _against_cause(situation: Situation) -> tuple[str, ...]:
    """A known-good release did not become bad by itself: the cause is elsewhere, and going back cannot help (R10)."""
    workload, limits = situation.workload, situation.limits
    if workload.desired == 0:
        return ("it is scaled to 0 replicas: no release would serve",)
    if limits.literal:
        return ()
    if workload.standing(workload.template) is Standing.KNOWN_GOOD:
        mark = workload.marks[workload.template.release]
        return (
            f"no recent change can be the cause: the current release is known-good since {mark.at:%Y-%m-%d %H:%M} UTC",
        )
    if limits.recent_s is not None and situation.changed is not None:
        age_s = (situation.at - situation.changed).total_seconds()
        if age_s > limits.recent_s:
            return (f"no recent change: the current release is {age_s:.0f} s old > {limits.recent_s:.0f} s",)
    return ()


def _against_provider(about: Sequence[Verdict], situation: Situation) -> tuple[str, ...]:
    """Where only AI calls fail, going back helps only if it is not the provider of the model that fails (D20)."""
    provider = situation.provider
    if situation.limits.literal or any(v.rule != AI_FAILURES for v in about) or (provider is not None and provider.ok):
        return ()
    if provider is None:
        return ("nobody can say whether the provider of the model fails: contract.health_ai_services is not offered",)
    if provider.outcome is Outcome.UNKNOWN:
        return (f"whether the provider of the model fails is unknown: {provider.why}",)
    return (f"the provider of the model fails, and going back cannot help: {provider.why}",)


def _against_limits(past: Sequence[PastRollback], limits: Limits, at: datetime) -> tuple[str, ...]:
    return tuple(line for line, broken in _limit_lines(past, limits, at) if broken)


def _limits(situation: Situation) -> tuple[str, ...]:
    return tuple(line for line, _ in _limit_lines(situation.past, situation.limits, situation.at))


def _limit_lines(past: Sequence[PastRollback], limits: Limits, at: datetime) -> list[tuple[str, bool]]:
    """Each limit with its arithmetic, and whether it is broken."""
    cooldown = ("cooldown: there was no automatic rollback before", False)
    if past:
        rest = (at - max(p.ended for p in past)).total_seconds()
        broken = rest < limits.cooldown_s
        ago = f"cooldown: the last automatic rollback ended {rest:.0f} s ago"
        cooldown = (f"{ago} {'<' if broken else '≥'} {limits.cooldown_s:.0f} s", broken)
    recent = len([p for p in past if at - p.ended < timedelta(seconds=limits.budget_window_s)])
    spent = recent >= limits.budget
    within = f"budget: {recent} automatic rollbacks in {limits.budget_window_s:.0f} s"
    return [cooldown, (f"{within} {'≥' if spent else '<'} {limits.budget}", spent)]


def _releases(choice: Choice) -> tuple[str, ...]:
    chosen = (f"target: {choice.because}",) if choice.revision else (f"no target: {choice.because}",)
    return (*chosen, *(f"passed over: {line}" for line in choice.passed_over))


def _against_flapping(situation: Situation) -> tuple[str, ...]:
    current = situation.workload.template
    times = sum(p.release == current.release for p in situation.past)
    if times < FLAPS:
        return ()
    return (f"flapping: {current.label} was rolled back {times} times ≥ {FLAPS}, and came back: find who deploys it",)


def _against_target(choice: Choice) -> tuple[str, ...]:
    return () if choice.revision else (f"no target: {choice.because}", *choice.passed_over)
