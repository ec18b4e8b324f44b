"""Whom to page now: elapsed time, acknowledgements and what was already meant in, calls out (R3). No clock, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from codeblue.model.incident import Level, Role
from codeblue.profile.people import Escalation, SeverityPlan
from codeblue.record.incidents import IncidentView
from codeblue.record.pages import NOTICE, PagingView
from codeblue.record.pages import Ack as Acknowledged
from codeblue.rules.severity import MANUAL, plan_of, severity_named, told_of

_ROLES = frozenset(role.value for role in Role)


@dataclass(frozen=True, slots=True)
class Rung:
    """A level that time reaches: half-open, [after_s, after_s of the next)."""

    level: Level
    after_s: float
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """The profile's escalation.

    Attributes:
        rungs: L1 to L3 in their order, the first from 0 s.
        top: the people of L4.
        until_acknowledged: an acknowledgement stops the ladder, not only the repetitions of its level.
        repeat_s: 0: never.
    """

    rungs: tuple[Rung, ...]
    top: tuple[Role, ...]
    until_acknowledged: bool
    repeat_s: float
    ack_expires_s: float


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement, and the elapsed seconds of the last thing that happened after it."""

    level: Level
    active_s: float


@dataclass(frozen=True, slots=True)
class Called:
    """The latest call of a role at a level, and the elapsed seconds when it was meant.

    Attributes:
        outdated: it spoke of a less bad incident than it is now.
    """

    cycle: int
    at_s: float
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of an incident.

    Attributes:
        over: mitigated or resolved.
        start, up_to: what the severity says: paged from the beginning, and reached by time at most.
        by_hand: levels that a person called, or that the trigger calls at once.
        told: people outside of the levels.
        approvals: what waits for a person's approval and was not said in a page of L1 yet, by a number of its own.
        called: (level's name or "notice", role) → the latest call.
        noticed: the (cycle, role) of every notice.
    """

    elapsed_s: float
    over: bool = False
    start: Level = Level.L1
    up_to: Level = Level.L3
    by_hand: tuple[Level, ...] = ()
    told: tuple[Role, ...] = ()
    acks: tuple[Ack, ...] = ()
    approvals: tuple[int, ...] = ()
    called: Mapping[tuple[str, Role], Called] = field(default_factory=dict)
    noticed: frozenset[tuple[int, Role]] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody to be paged, over whichever channel takes it."""

    level: str
    cycle: int
    role: Role


@dataclass(frozen=True, slots=True)
class Due:
    """What is due now.

    Attributes:
        level: the highest level of the ladder that is in force ("L4" where it is called).
        calls: in the order of the levels.
        why: the arithmetic, for people.
    """

    level: Level
    calls: tuple[Call, ...]
    why: str


def ladder_of(escalation: Escalation) -> Ladder:
    """The rules' form of the profile's `escalation`."""
    e = escalation
    rungs = (
        Rung(Level.L1, 0.0, _roles(e.l1.roles)),
        Rung(Level.L2, e.l2.after, _roles(e.l2.roles)),
        Rung(Level.L3, e.l3.after, _roles(e.l3.roles)),
    )
    return Ladder(rungs, _roles(e.l4.roles), e.until == "acknowledged", e.repeat, e.ack_expires)


def situation_of(incident: IncidentView, paging: PagingView, severity: SeverityPlan, elapsed_s: float) -> Situation:
    """The rules' form of what the record says."""
    plan = plan_of(severity, severity_named(incident.severity))
    manual = MANUAL.get(incident.trigger)
    at_once = (manual.at_once,) if manual and manual.at_once else ()
    called = {
        (c.level, Role(c.role)): Called(c.cycle, c.at_s, c.seq < paging.worse)
        for c in sorted(paging.calls, key=lambda c: c.cycle)
        if c.role in _ROLES
    }
    return Situation(
        elapsed_s=elapsed_s,
        over=incident.over,
        start=Level[plan.starts_at],
        up_to=Level[plan.up_to],
        by_hand=(*at_once, *(Level[level] for level in paging.escalated)),
        told=told_of(incident.trigger, ai_off=paging.ai_off),
        acks=tuple(Ack(Level[a.level], min(a.active_s, elapsed_s)) for a in paging.acks if a.seq > paging.worse),
        approvals=paging.unsaid_approvals,
        called=called,
        noticed=frozenset((c.cycle, Role(c.role)) for c in paging.calls if c.level == NOTICE and c.role in _ROLES),
    )


def standing(paging: PagingView, elapsed_s: float, ack_expires_s: float) -> tuple[Acknowledged, ...]:
    """The acknowledgements of the record that count now, without those that a later one includes."""
    counts = [a for a in paging.acks if a.seq > paging.worse and elapsed_s < a.active_s + ack_expires_s]
    return tuple(a for n, a in enumerate(counts) if not any(b.level >= a.level for b in counts[n + 1 :]))


def due(ladder: Ladder, now: Situation) -> Due:
    """Which calls are due at this moment.

    Every level that is reached is paged once, in whatever order time, restarts and people reached it, so none is ever
    skipped. The level in force is repeated until it is acknowledged. Whoever was called about less than it is now is
    called anew at once, and what was acknowledged before that counts no more (`Situation.acks` has it no more).
    """
    reached = reached_levels(ladder, now)
    level = max(reached)
    why = f"{now.elapsed_s:.0f} s: {level.name}"
    if now.over:
        return Due(level, (), f"{why}, over")
    calls: list[Call] = []
    climbing = max(reached - {Level.L4})
    for each in sorted(reached):
        in_force = each in (climbing, Level.L4)
        repeats = in_force and ladder.repeat_s > 0 and not acknowledged(ladder, now, each)
        for role in people(ladder, each):
            last = now.called.get((each.name, role))
            if last is None:
                calls.append(Call(each.name, 0, role))
            elif last.outdated or (repeats and now.elapsed_s >= last.at_s + ladder.repeat_s):
                calls.append(Call(each.name, last.cycle + 1, role))
    notices = [(0, role) for role in now.told]
    if any(level == Level.L1.name for level, _ in now.called):  # else the first page says it
        notices += [(number, role) for number in now.approvals for role in people(ladder, Level.L1)]
    calls += [Call(NOTICE, cycle, role) for cycle, role in notices if (cycle, role) not in now.noticed]
    return Due(level, tuple(calls), why)


def reached_levels(ladder: Ladder, now: Situation) -> set[Level]:
    """The levels in force: by time and severity, each with those below it, and L4 where it is called."""
    by_time = max(r.level for r in ladder.rungs if r.after_s <= now.elapsed_s)
    by_time = min(by_time, now.up_to)
    if ladder.until_acknowledged and _held(ladder, now):
        paged = [Level[name] for name, _ in now.called if name in ("L1", "L2", "L3")]
        by_time = max(paged, default=Level.L1)  # it stands still where it is
    wanted = max((by_time, now.start, *(level for level in now.by_hand if level is not Level.L4)))
    reached = {r.level for r in ladder.rungs if r.level <= wanted}
    return reached | {Level.L4} if Level.L4 in now.by_hand else reached


def acknowledged(ladder: Ladder, now: Situation, level: Level) -> bool:
    """Whether the level is acknowledged, by an acknowledgement of it or of one above it that did not expire."""
    return any(ack.level >= level for ack in _held(ladder, now))


def people(ladder: Ladder, level: Level) -> tuple[Role, ...]:
    """Whom a level pages."""
    return ladder.top if level is Level.L4 else next(r.roles for r in ladder.rungs if r.level is level)


def next_level(ladder: Ladder, now: Situation) -> Rung | None:
    """The level that time reaches next; None where there is none, or nothing goes on."""
    if now.over or (ladder.until_acknowledged and _held(ladder, now)):
        return None
    reached = reached_levels(ladder, now)
    return next((r for r in ladder.rungs if r.level not in reached and r.level <= now.up_to), None)


def _held(ladder: Ladder, now: Situation) -> Sequence[Ack]:
    return [ack for ack in now.acks if now.elapsed_s < ack.active_s + ladder.ack_expires_s]


def _roles(names: Sequence[str]) -> tuple[Role, ...]:
    return tuple(Role(name) for name in names)
