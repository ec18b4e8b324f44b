"""Who was paged and what became of it, and how long an incident lasts: folded from its events (R2, R3).

How long it lasts is told by anchors (`model.anchor`), which no correction of the time of day moves. An event that has
none is placed between its neighbours that have one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from codeblue.model.anchor import Anchor
from codeblue.model.event import Event
from codeblue.model.incident import Level
from codeblue.model.page import Fate
from codeblue.record.fields import anchor as _anchor
from codeblue.record.fields import mapping, number, reading, text

INTENDED, DEFERRED, DELIVERED = "page.intended", "page.deferred", "page.delivered"
#: Two processes meant the same page at the same moment: the later one leaves it to the earlier one.
YIELDED = "page.yielded"
REQUESTED, UNROUTED, SETTLED = "page.requested", "page.unrouted", "page.settled"
ANCHORED, ACKNOWLEDGED, ESCALATED = "incident.anchored", "incident.acknowledged", "incident.escalated"
SEVERITY = "incident.severity"
#: Whoever switched AI features off in an incident says so with this event; the Clinical lead is told (R3).
AI_OFF = "flags.disabled"

PAGE_KINDS = (INTENDED, YIELDED, DEFERRED, DELIVERED, REQUESTED, UNROUTED, SETTLED)
#: The kinds of event that paging is folded from.
PAGING_KINDS = ("incident.opened", ANCHORED, ACKNOWLEDGED, ESCALATED, SEVERITY, AI_OFF, *PAGE_KINDS)

#: Levels that are not of the ladder.
NOTICE, TEST = "notice", "test"

#: States of an attempt with which the provider may have the page, or is about to.
_REACHED = ("intended", Fate.ACCEPTED.value, Fate.UNKNOWN.value)

#: Later than anything that is certain.
_LATE_S = 1e9

#: Events that are about paging itself: after an acknowledgement they are not what happens.
_OWN = (*PAGE_KINDS, ANCHORED, "incident.decided", "incident.opened")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One channel tried for one call, in one round.

    Attributes:
        round: 0; more where all channels failed and were tried anew.
        tries: how often it was sent, that is intended.
        state: "intended" (sent or about to be: no outcome yet), "deferred" (certainly not accepted; another try follows
            at `not_before_s`), or a `Fate`.
        first_s, last_s: elapsed seconds of the incident at its first and latest event.
        seq: number of the event that last meant it.
        process: who meant it then (`engine.process`), "" where it does not say.
    """

    key: str
    channel: str
    round: int
    tries: int
    state: str
    first_s: float
    last_s: float
    intended: datetime
    not_before_s: float = 0.0
    ended: datetime | None = None
    reference: str = ""
    why: str = ""
    seq: int = 0
    process: str = ""


@dataclass(frozen=True, slots=True)
class CallView:
    """One person called once: over one channel, or over several until one accepted it.

    Attributes:
        level: "L1" … "L4", "notice", "test".
        at_s: elapsed seconds of the incident when it was first meant.
        unrouted: why no channel could even be tried.
        seq: number of the event that first meant it.
    """

    level: str
    cycle: int
    role: str
    at_s: float
    attempts: tuple[Attempt, ...] = ()
    unrouted: str = ""
    seq: int = 0

    @property
    def id(self) -> tuple[str, int, str]:
        return (self.level, self.cycle, self.role)

    @property
    def delivered(self) -> Attempt | None:
        """The attempt that a provider accepted."""
        return next((a for a in self.attempts if a.state == Fate.ACCEPTED), None)

    @property
    def failed(self) -> bool:
        """Whether every attempt so far came to nothing."""
        ends = (Fate.REFUSED.value, Fate.UNKNOWN.value)
        return bool(self.attempts) and all(a.state in ends for a in self.attempts)

    @property
    def state(self) -> str:
        """Its state in a word: "delivered", "on its way", "not delivered"."""
        if self.delivered is not None:
            return "delivered"
        pending = any(a.state in ("intended", "deferred") for a in self.attempts)
        return "on its way" if pending else "not delivered"


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement.

    Attributes:
        level: the highest level that it is for; those below it are included.
        active_s: elapsed seconds of the incident when last something happened after it, itself at least.
    """

    seq: int
    level: str
    actor: str
    at: datetime
    at_s: float
    active_s: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits for an approval of the plan with this digest."""

    run: str
    seq: int
    at_s: float
    digest: str


@dataclass(frozen=True, slots=True)
class Requested:
    """A page that somebody asked for: a test, or a notice outside of the ladder."""

    seq: int
    level: str
    role: str
    summary: str
    next_step: str
    actor: str
    at_s: float


@dataclass(frozen=True, slots=True)
class PagingView:
    """The paging of one incident, or of one page that belongs to none.

    Attributes:
        boots: boot → what its clock showed when the incident began.
        mark_s, mark_at: the latest event whose elapsed time is certain, and its time of day.
        proven_s: so long it lasted at least.
        loose: something happened whose elapsed time is an estimate.
        settled: (channel, acknowledged, sequence number of the acknowledgement or 0).
        severity: of the incident, "" without one.
        worse: number of the event that last gave it a worse severity, 0 without one: what was said and acknowledged
            before it was about less.
    """

    incident: str
    began: datetime
    mark_at: datetime
    mark_s: float = 0.0
    proven_s: float = 0.0
    boots: Mapping[str, float] = field(default_factory=dict)
    calls: tuple[CallView, ...] = ()
    acks: tuple[Ack, ...] = ()
    escalated: tuple[str, ...] = ()
    requested: tuple[Requested, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    ai_off: bool = False
    loose: bool = False
    settled: frozenset[tuple[str, bool, int]] = frozenset()
    severity: str = ""
    worse: int = 0

    def elapsed_s(self, anchor: Anchor, now: datetime) -> float:
        """How long it lasts: by the boot's own clock where it was anchored in this boot, else by the time of day since
        the latest event that is certain; never less than the record proves."""
        if anchor.boot in self.boots:
            by_clock = anchor.at_s - self.boots[anchor.boot]
        else:
            by_clock = self.mark_s + (now - self.mark_at).total_seconds()
        return round(max(by_clock, self.proven_s), 3)

    def call(self, level: str, cycle: int, role: str) -> CallView | None:
        """One call, None if it was not meant yet."""
        return next((c for c in self.calls if c.id == (level, cycle, role)), None)

    def latest(self, level: str, role: str) -> CallView | None:
        """The latest call of a role at a level."""
        found = [c for c in self.calls if c.level == level and c.role == role]
        return max(found, key=lambda c: c.cycle, default=None)

    @property
    def unsaid_approvals(self) -> tuple[int, ...]:
        """The runs that wait for an approval and began to after the last page of L1 was meant, by their events."""
        said = max((c.at_s for c in self.calls if c.level == Level.L1.name), default=-1.0)
        return tuple(w.seq for w in self.waiting if w.at_s > said)

    def reached(self, ack: Ack | None = None) -> tuple[str, ...]:
        """Channels that have a page, may have one, or get one at the moment: those that are told what became of it.

        Args:
            ack: only pages that it is for: of its level and those below, meant before it. None: all.
        """
        there = [(c, a) for c in self.calls for a in c.attempts if a.state in _REACHED]
        return tuple(dict.fromkeys(a.channel for c, a in there if ack is None or _is_for(ack, c.level, a)))


def fold_pages(events: Iterable[Event]) -> dict[str, PagingView]:
    """The paging of every incident among the events. Raises Damaged: an event does not say what it must."""
    views: dict[str, PagingView] = {}
    for event in events:
        view = advance_paging(views.get(event.incident), event)
        if view is not None:
            views[event.incident] = view
    return views


def advance_paging(view: PagingView | None, event: Event) -> PagingView | None:
    """The paging after one more event of its incident; None before there is one. Raises Damaged."""
    if not event.incident:
        return None
    with reading(event):
        if view is None:
            if event.kind not in ("incident.opened", REQUESTED):
                return None
            severity = text(event.data, "severity") if event.kind == "incident.opened" else ""
            view = PagingView(event.incident, event.at, event.at, severity=severity)
            if "anchor" in event.data:
                anchor = _anchor(mapping(event.data, "anchor"))
                view = replace(view, boots={anchor.boot: anchor.at_s})
        return _advance(view, event)


def anchor_data(anchor: Anchor) -> dict[str, Any]:
    """An anchor as events carry it, under the key "anchor"."""
    return {"boot": anchor.boot, "at_s": anchor.at_s}


def _advance(view: PagingView, event: Event) -> PagingView:
    d = event.data
    elapsed, certain = _elapsed(view, event)
    if certain:
        view = _marked(view, elapsed, event.at)
    match event.kind:
        case "incident.anchored":
            anchor = _anchor(d)
            return replace(view, boots={**view.boots, anchor.boot: anchor.at_s - elapsed})
        case "page.intended":
            return _call(view, event, lambda c: _intended(c, event, elapsed), elapsed)
        case "page.yielded":
            meant = [a for c in view.calls for a in c.attempts if a.key == text(d, "key")]
            tries = meant[-1].tries - 1 if meant else 1
            return _attempt(view, event, elapsed, tries=tries, process=text(d, "to"))
        case "page.unrouted":
            return _call(view, event, lambda c: replace(c, unrouted=text(d, "why")), elapsed)
        case "page.deferred":
            later = elapsed + number(d, "delay_s")
            return _attempt(view, event, elapsed, state="deferred", not_before_s=later, why=text(d, "why"))
        case "page.delivered":
            fate, reference = Fate(text(d, "fate")), text(d, "reference")
            view = _unsettled(view, text(d, "key")) if fate.value in _REACHED else view
            return _attempt(
                view, event, elapsed, state=fate.value, reference=reference, why=text(d, "why"), ended=event.at
            )
        case "page.requested":
            wanted = text(d, "level"), text(d, "role"), text(d, "summary"), text(d, "next_step")
            asked = Requested(event.seq, *wanted, event.actor, elapsed)
            return replace(view, requested=(*view.requested, asked))
        case "page.settled":
            done = (text(d, "channel"), d["acknowledged"] is True, int(number(d, "upto")))
            return replace(view, settled=view.settled | {done})
    if event.kind == "run.waiting":
        view = replace(view, waiting=(*view.waiting, Waiting(event.run, event.seq, elapsed, text(d, "digest"))))
    elif event.kind in ("run.approved", "run.started", "run.abort_requested", "run.ended"):
        view = replace(view, waiting=tuple(w for w in view.waiting if w.run != event.run))
    if not certain and event.kind not in _OWN:
        view = replace(view, loose=True)
    if event.kind not in _OWN and view.acks:
        *before, last = view.acks
        view = replace(view, acks=(*before, replace(last, active_s=max(last.active_s, elapsed))))
    match event.kind:
        case "incident.acknowledged":
            level = Level[text(d, "level")].name if "level" in d else _highest(view)
            ack = Ack(event.seq, level, event.actor, event.at, elapsed, elapsed)
            return replace(view, acks=(*view.acks, ack))
        case "incident.escalated":
            return replace(view, escalated=(*view.escalated, Level[text(d, "level")].name))
        case "incident.severity":
            severity = text(d, "severity")
            worse = event.seq if severity < view.severity else view.worse  # SEV1 is the worst
            return replace(view, severity=severity, worse=worse)
        case "flags.disabled":
            return replace(view, ai_off=True)
    return view


def _elapsed(view: PagingView, event: Event) -> tuple[float, bool]:
    """The event's elapsed time, and whether it is certain or an estimate by the time of day."""
    if "elapsed_s" in event.data:
        return number(event.data, "elapsed_s"), True
    if event.at == view.began and event.kind in ("incident.opened", REQUESTED) and not view.proven_s:
        return 0.0, True
    if "anchor" in event.data:
        anchor = _anchor(mapping(event.data, "anchor"))
        if anchor.boot in view.boots:
            return max(anchor.at_s - view.boots[anchor.boot], view.proven_s), True
    since = (event.at - view.mark_at).total_seconds()
    # a time of day that went backwards says nothing: as late as can be, until something certain bounds it
    return (view.mark_s + since if since >= 0 else _LATE_S), False


def _marked(view: PagingView, elapsed: float, at: datetime) -> PagingView:
    """Something certain: what was estimated before it cannot have been later."""
    acks = tuple(replace(a, at_s=min(a.at_s, elapsed), active_s=min(a.active_s, elapsed)) for a in view.acks)
    proven = max(view.proven_s, elapsed)
    return replace(view, mark_s=elapsed, mark_at=at, proven_s=proven, acks=acks, loose=False)


def _highest(view: PagingView) -> str:
    """The highest level that was paged so far, L1 before any was."""
    return max((Level[c.level] for c in view.calls if c.level in Level.__members__), default=Level.L1).name


def _call(view: PagingView, event: Event, change: Any, elapsed: float) -> PagingView:
    d = event.data
    level, cycle, role = text(d, "level"), int(number(d, "cycle")), text(d, "role")
    if view.call(level, cycle, role) is None:
        view = replace(view, calls=(*view.calls, CallView(level, cycle, role, elapsed, seq=event.seq)))
    calls = tuple(change(c) if c.id == (level, cycle, role) else c for c in view.calls)
    return replace(view, calls=calls)


def _intended(call: CallView, event: Event, elapsed: float) -> CallView:
    d = event.data
    key, channel, round_ = text(d, "key"), text(d, "channel"), int(number(d, "round"))
    process = text(d, "process") if "process" in d else ""
    before = next((a for a in call.attempts if a.key == key and a.round == round_), None)
    if before is None:
        made = Attempt(key, channel, round_, 1, "intended", elapsed, elapsed, event.at, seq=event.seq, process=process)
        return replace(call, attempts=(*call.attempts, made))
    again = replace(before, tries=before.tries + 1, state="intended", last_s=elapsed, seq=event.seq, process=process)
    return replace(call, attempts=tuple(again if a is before else a for a in call.attempts))


def _is_for(ack: Ack, level: str, attempt: Attempt) -> bool:
    """Whether an acknowledgement is for this page: not for one that was meant after it, nor for a notice."""
    return level in Level.__members__ and Level[level] <= Level[ack.level] and attempt.seq < ack.seq


def _unsettled(view: PagingView, key: str) -> PagingView:
    """A page arrives at a channel that was told already what became of it: it has to be told once more."""
    for call in view.calls:
        for attempt in call.attempts:
            if attempt.key == key:
                by_seq = {ack.seq: ack for ack in view.acks}
                again = {
                    (channel, acknowledged, upto)
                    for channel, acknowledged, upto in view.settled
                    if channel == attempt.channel
                    and (not acknowledged or (upto in by_seq and _is_for(by_seq[upto], call.level, attempt)))
                }
                return replace(view, settled=view.settled - again)
    return view


def _attempt(view: PagingView, event: Event, elapsed: float, **changes: Any) -> PagingView:
    """The latest attempt with the event's key, changed. An outcome of what was never intended changes nothing."""
    key = text(event.data, "key")
    for call in view.calls:
        found = [a for a in call.attempts if a.key == key]
        if found:
            now = replace(found[-1], last_s=elapsed, **changes)
            attempts = tuple(now if a is found[-1] else a for a in call.attempts)
            done = replace(call, attempts=attempts)
            return replace(view, calls=tuple(done if c is call else c for c in view.calls))
    return view
