"""Who pages people: a loop over the record (docs/decisions/0006-the-pager-is-a-loop.md, R2, R3).

Each cycle folds what the record says, asks the rules who is due, and starts what follows: record the intent, send,
record the outcome. The record is the queue and the memory: a kill at any point is followed by computing again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from codeblue.engine.crashpoint import crashpoint
from codeblue.engine.process import is_gone, this_process
from codeblue.model.errors import CodeBlueError, LeaseLost, Temporary, Unreachable
from codeblue.model.event import Draft, Event
from codeblue.model.incident import Level, Role
from codeblue.model.page import Delivery, Fate, Page
from codeblue.model.secret import masked
from codeblue.ports.channel import Channel
from codeblue.ports.clock import Clock
from codeblue.ports.record import RecordStore
from codeblue.profile.model import Profile
from codeblue.profile.people import configured
from codeblue.record.incidents import INCIDENT_KINDS, IncidentView, advance_incident
from codeblue.record.pages import (
    ANCHORED,
    DEFERRED,
    DELIVERED,
    INTENDED,
    NOTICE,
    PAGING_KINDS,
    SETTLED,
    TEST,
    UNROUTED,
    YIELDED,
    Ack,
    Attempt,
    CallView,
    PagingView,
    advance_paging,
)
from codeblue.rules.delivery import Count, Nobody, Patience, Route, Send, Step, next_step
from codeblue.rules.escalation import (
    Call,
    Due,
    Situation,
    acknowledged,
    due,
    ladder_of,
    next_level,
    situation_of,
    standing,
)
from codeblue.rules.paging import PageFacts, page_key, page_of
from codeblue.rules.severity import plan_of, severity_named

ACTOR = "pager"
#: How often the loop looks; the daemon's pace.
TICK_S = 1.0
#: The port bounds a send to 10 s; a channel that does not keep to it is given up on.
SEND_S = 12.0
#: A lease that cannot be asked for within this time is treated as one that does not answer.
MAY_S = 5.0
#: An intent of a process that may be alive is that process's own business for so long: longer than any send.
LOST_S = 15.0
#: How old an event may become whose elapsed time is an estimate, where an acknowledgement's expiry hangs on it.
LOOSE_S = 60.0
#: A page that somebody asked for is not sent any more after this time: whoever asked is gone.
STALE_S = 3600.0
#: The shortest pause before a channel that could not settle is asked again.
SETTLE_AGAIN_S = 5.0
#: Turns that a send gets before the cycle says what it did; one that takes longer goes on by itself.
_TURNS = 5


@dataclass
class _Case:
    """One incident, or one page that belongs to none, as far as the record was read."""

    incident: IncidentView | None = None
    paging: PagingView | None = None
    seq: int = 0

    def advance(self, event: Event) -> None:
        if event.seq <= self.seq:
            return
        self.incident, self.paging = advance_incident(self.incident, event), advance_paging(self.paging, event)
        self.seq = event.seq


@dataclass
class Pager:
    """The loop's side of paging.

    Args:
        channels: those that the profile configures, open.
        fence: gives the right to act or raises LeaseLost; asked before each intent.
        only: the one incident that it cares for; "": all.
        me: the name of this process in its intents.
        gone: whether the process of a name is certainly dead.
    """

    record: RecordStore
    channels: Sequence[Channel]
    profile: Profile
    clock: Clock
    fence: Callable[[], Awaitable[object]] | None = None
    only: str = ""
    me: str = field(default_factory=this_process)
    gone: Callable[[str], bool] = is_gone
    _cases: dict[str, _Case] = field(default_factory=dict)
    _seq: int = -1
    _flying: dict[tuple[str, str, int, str], tuple["asyncio.Task[None]", str]] = field(default_factory=dict)
    _settling: dict[tuple[str, str, bool, int], "asyncio.Task[None]"] = field(default_factory=dict)
    _settle_at: dict[tuple[str, str, bool, int], float] = field(default_factory=dict)
    _broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ladder = ladder_of(self.profile.escalation)
        escalation = self.profile.escalation
        self._patience = Patience(escalation.tries, escalation.give_up)
        self._by_name = {channel.name: channel for channel in self.channels}

    async def cycle(self) -> str:
        """One cycle. Returns the sentence.

        Raises:
            LeaseLost: somebody else acts now. Other CodeBlueErrors: the record could not be read or written in this
                cycle; the next one computes anew.
        """
        self._reap()
        self._follow()
        said = []
        for id_, case in list(self._cases.items()):
            sentence = self._look_after(id_, case)
            if sentence:
                said.append(sentence)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        said += self._broken
        self._broken.clear()
        return "; ".join(said) or "nobody to page: no incident is open"

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return bool(self._flying or self._settling)

    def undelivered(self) -> list[CallView]:
        """Calls that were meant and that no channel accepted, of everything that it cares for."""
        views = [case.paging for case in self._cases.values() if case.paging is not None]
        return [call for view in views for call in view.calls if call.delivered is None]

    async def close(self, limit_s: float = 5.0) -> None:
        """Let what is being sent end, and release the channels. May be called twice."""
        tasks = [task for task, _ in self._flying.values()] + list(self._settling.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=limit_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self.channels:
            await channel.close()

    def _follow(self) -> None:
        """Take in what the record has that was not read yet."""
        if self._seq < 0:
            events = self.record.read(incident=self.only, kinds={*INCIDENT_KINDS, *PAGING_KINDS})
            for event in events:
                self._take(event)
            self._seq = events[-1].seq if events else 0
            for id_ in [i for i, case in self._cases.items() if self._is_alive(case)]:
                self._cases[id_] = _Case()  # once more with everything that happened: an acknowledgement hangs on it
                for event in self.record.read(incident=id_):
                    self._cases[id_].advance(event)
        for event in self.record.read(after=self._seq, incident=self.only):
            self._take(event)
            self._seq = event.seq
        self._cases = {i: case for i, case in self._cases.items() if self._is_alive(case)}

    def _take(self, event: Event) -> None:
        if event.incident:
            self._cases.setdefault(event.incident, _Case()).advance(event)

    def _is_alive(self, case: _Case) -> bool:
        """Whether anything can still follow from it."""
        incident, paging = case.incident, case.paging
        if paging is None:
            return False
        if incident is not None and not incident.over:
            return True
        # a page that is being sent when it ends is one that the channel is told of: it stays until then
        open_requests = any(self._wants_requested(paging, r.level, r.seq, r.role) for r in paging.requested)
        return open_requests or bool(self._to_settle(case))

    def _look_after(self, id_: str, case: _Case) -> str:
        """Start what follows for one incident. Returns its sentence."""
        self._anchor(id_, case)
        paging = case.paging
        if paging is None:
            return ""
        for channel, ack in self._to_settle(case):
            if not self._on_its_way(paging, id_, channel):
                self._settle(id_, channel, ack)
        sent = [self._go_on(id_, case, call) for call in self._wanted(case)]
        flying = [
            f"{role} ({level}) over {name}" for (i, level, _, role), (_, name) in self._flying.items() if i == id_
        ]
        if case.incident is None:
            return f"{id_}: paging {', '.join(flying)}" if flying else ""
        if case.incident.over:
            return ""
        verdict, now = self._due(case, case.incident)
        failing = [s for s in sent if s]
        if flying:
            what = f"paging {', '.join(flying)}"
        elif failing:
            what = failing[0]
        else:
            rung = next_level(self._ladder, now)
            then = f"next: {rung.level.name} at {rung.after_s:g} s" if rung else "no further level by time"
            what = f"everybody due was paged; {then}"
        return f"incident {id_}, {verdict.level.name}: {what}"

    def _anchor(self, id_: str, case: _Case) -> None:
        """Hold on to how long it lasts, in a boot that the record does not know, or where only estimates are left."""
        paging, anchor = case.paging, self.clock.anchor()
        if paging is None or (case.incident is not None and case.incident.over):
            return
        elapsed = self._elapsed(paging)
        loose = paging.loose and paging.acks and elapsed >= paging.mark_s + LOOSE_S
        if anchor.boot not in paging.boots or loose:
            self._event(id_, ANCHORED, boot=anchor.boot, at_s=anchor.at_s, elapsed_s=elapsed)
            self._follow()

    def _elapsed(self, paging: PagingView) -> float:
        return paging.elapsed_s(self.clock.anchor(), self.clock.now())

    def _due(self, case: _Case, incident: IncidentView) -> tuple[Due, Situation]:
        if case.paging is None:
            raise RuntimeError("an incident has a paging")
        now = situation_of(incident, case.paging, self.profile.severity, self._elapsed(case.paging))
        return due(self._ladder, now), now

    def _wanted(self, case: _Case) -> list[Call]:
        """Every call that is due, or was meant and not delivered yet, and is still wanted."""
        paging, incident = case.paging, case.incident
        if paging is None:
            return []
        wanted = [
            Call(r.level, r.seq, Role(r.role))
            for r in paging.requested
            if self._wants_requested(paging, r.level, r.seq, r.role)
        ]
        if incident is None or incident.over:
            return wanted
        verdict, now = self._due(case, incident)
        asked = {(call.level, call.cycle, call.role) for call in wanted}
        meant = [
            Call(c.level, c.cycle, Role(c.role))
            for c in paging.calls
            if c.delivered is None and c.id not in asked and self._still(paging, now, c)
        ]
        return [*wanted, *meant, *verdict.calls]

    def _still(self, paging: PagingView, now: Situation, call: CallView) -> bool:
        """Whether a call that was meant is still wanted: nobody has acknowledged, and no later one replaces it."""
        if call.level not in Level.__members__:
            approvals = {w.seq for w in paging.waiting}
            return call.level == NOTICE and (call.cycle == 0 or call.cycle in approvals)
        latest = paging.latest(call.level, call.role)
        if call.seq < paging.worse:
            return False  # it speaks of less than it is now: the page that replaces it is due
        return latest is not None and latest.id == call.id and not acknowledged(self._ladder, now, Level[call.level])

    def _wants_requested(self, paging: PagingView, level: str, seq: int, role: str) -> bool:
        asked = next(r for r in paging.requested if r.seq == seq)
        call = paging.call(level, seq, role)
        fresh = self._elapsed(paging) < asked.at_s + STALE_S
        if level == TEST and call is not None and call.unrouted:
            return False
        return fresh and (call is None or call.delivered is None)

    def _go_on(self, id_: str, case: _Case, call: Call) -> str:
        """Do the next step of one call. Returns what is wrong with it, "" where nothing is."""
        key = (id_, call.level, call.cycle, call.role.value)
        paging = case.paging
        if key in self._flying or paging is None:
            return ""
        view = paging.call(call.level, call.cycle, call.role.value)
        attempts = view.attempts if view else ()
        routes = self._routes(id_, case, call)
        while isinstance(step := self._step(paging, attempts, routes), Count):
            self._outcome(id_, step.attempt.key, call, Delivery(step.fate, step.attempt.reference, step.why))
            self._follow()
            again = self._cases[id_].paging if id_ in self._cases else None
            view = again.call(call.level, call.cycle, call.role.value) if again else None
            if view is None:
                return ""
            attempts = view.attempts
        match step:
            case Send(channel, round_):
                task = asyncio.create_task(self._send(id_, call, self._by_name[channel], round_))
                self._flying[key] = (task, channel)
                return ""
            case Nobody():
                why = f"no channel has an address for {call.role.value}"
                if view is None or not view.unrouted:
                    self._event(id_, UNROUTED, **_named(call), why=why, elapsed_s=self._elapsed(paging))
                return f"{call.role.value} ({call.level}) is NOT paged: {why}"
            case _:
                failed = [a for a in attempts if a.state in (Fate.REFUSED, Fate.UNKNOWN)]
                return f"{call.role.value} ({call.level}) is not reached yet: {failed[-1].why}" if failed else ""

    def _step(self, paging: PagingView, attempts: Sequence[Attempt], routes: Sequence[Route]) -> Step:
        flying = next((a.channel for a in attempts if self._elsewhere(paging, a)), "")
        return next_step(attempts, routes, self._elapsed(paging), self._patience, flying=flying)

    def _elsewhere(self, paging: PagingView, attempt: Attempt) -> bool:
        """Whether another process may be sending it at the moment: a command beside us, or a daemon beside it."""
        if attempt.state != "intended" or (attempt.process == self.me != "") or self.gone(attempt.process):
            return False
        return self._elapsed(paging) < attempt.last_s + LOST_S

    async def _send(self, id_: str, call: Call, channel: Channel, round_: int) -> None:
        """One attempt: intent, send, outcome; each committed before the next."""
        await self._may()
        self._follow()
        case = self._cases.get(id_)
        if case is None or case.paging is None or call not in self._wanted(case):
            return  # acknowledged or over meanwhile
        view = case.paging.call(call.level, call.cycle, call.role.value)
        step = self._step(case.paging, view.attempts if view else (), self._routes(id_, case, call))
        if step != Send(channel.name, round_):
            return  # another process was faster
        page = self._page(id_, case, call, channel.name)
        _crash(call, "due")
        seen = self._seq
        intent = self._event(
            id_,
            INTENDED,
            **_named(call),
            key=page.key,
            channel=channel.name,
            round=round_,
            severity=page.severity.text,
            process=self.me,
            elapsed_s=self._elapsed(case.paging),
        )
        _crash(call, "intended")
        meant = self.record.read(after=seen, incident=id_, kinds=(INTENDED,))
        first = next((e for e in meant if e.data.get("key") == page.key), intent)
        if first.seq < intent.seq:  # in the same moment as we: the record says who was first
            elapsed = self._elapsed(case.paging)
            self._event(id_, YIELDED, key=page.key, to=str(first.data.get("process", "")), elapsed_s=elapsed)
            return
        page = self._page(id_, case, call, channel.name, f"{intent.seq}:{intent.hash}")
        try:
            async with asyncio.timeout(SEND_S):
                delivery = await channel.send(page)
        except Temporary as error:
            why, delay_s = _line(error.message), max(0.0, error.delay_s)
            elapsed = self._elapsed(case.paging)
            self._event(id_, DEFERRED, key=page.key, why=why, delay_s=delay_s, elapsed_s=elapsed)
            return
        except TimeoutError:
            delivery = Delivery(Fate.UNKNOWN, why=f"{channel.name} did not answer within {SEND_S:g} s")
        except CodeBlueError as error:
            delivery = Delivery(Fate.REFUSED, why=error.message)
        _crash(call, "sent")
        self._outcome(id_, page.key, call, delivery)
        _crash(call, "delivered")

    async def _may(self) -> None:
        """Raises LeaseLost where somebody else acts now.

        A lease that cannot be asked for is no reason for silence: what it is kept in is down, and people are needed.
        """
        if self.fence is not None:
            with suppress(Temporary, TimeoutError):
                async with asyncio.timeout(MAY_S):
                    await self.fence()

    def _outcome(self, id_: str, key: str, call: Call, delivery: Delivery) -> None:
        case = self._cases.get(id_)
        known = {"elapsed_s": self._elapsed(case.paging)} if case and case.paging else {}
        self._event(
            id_,
            DELIVERED,
            **_named(call),
            key=key,
            fate=delivery.fate.value,
            reference=_line(delivery.reference),
            why=_line(delivery.why),
            **known,
        )

    def _routes(self, id_: str, case: _Case, call: Call) -> tuple[Route, ...]:
        """The channels that reach the role: those of the level, else of the severity, else of `pages`. A list without
        an address of theirs gives way to the next wider one: an address in the wrong list is no reason for silence."""
        for names in self._lists(case, call):
            channels = [self._by_name[n] for n in names if n in self._by_name]
            pages = [(channel, self._page(id_, case, call, channel.name)) for channel in channels]
            routes = tuple(Route(channel.name, channel.keyed) for channel, page in pages if channel.reaches(page))
            if routes:
                return routes
        return ()

    def _lists(self, case: _Case, call: Call) -> Iterator[Sequence[str]]:
        """The lists of channels for a call, the narrowest first."""
        if call.level != TEST:
            e = self.profile.escalation
            of = {"L1": e.l1.channels, "L2": e.l2.channels, "L3": e.l3.channels, "L4": e.l4.channels}
            yield of.get(call.level) or ()
            if case.incident is not None:
                yield plan_of(self.profile.severity, severity_named(case.incident.severity)).channels or ()
            yield configured(self.profile.pages)
        yield tuple(self._by_name)

    def _page(self, id_: str, case: _Case, call: Call, channel: str, head: str = "") -> Page:
        if case.paging is None:
            raise RuntimeError("a page has a case")
        facts = PageFacts(id_, self.profile.service, case.incident, case.paging, self._elapsed(case.paging))
        return page_of(facts, call, channel, head)

    def _to_settle(self, case: _Case) -> list[tuple[str, Ack | None]]:
        """What the channels were not told yet: that it is over (None), else the acknowledgements that count."""
        paging, incident = case.paging, case.incident
        if paging is None or incident is None:
            return []
        acks: list[Ack | None] = [None]
        if not incident.over:
            acks = list(standing(paging, self._elapsed(paging), self.profile.escalation.ack_expires))
        wanted = [(name, ack) for ack in acks for name in paging.reached(ack)]
        return [(n, ack) for n, ack in wanted if _settled(n, ack) not in paging.settled and n in self._by_name]

    def _on_its_way(self, paging: PagingView, id_: str, channel: str) -> bool:
        """Whether a page is being sent over the channel: what became of it is told when it is there."""
        return any(
            a.channel == channel
            and a.state == "intended"
            and ((id_, *c.id) in self._flying or self._elsewhere(paging, a))
            for c in paging.calls
            for a in c.attempts
        )

    def _settle(self, id_: str, channel: str, ack: Ack | None) -> None:
        key = (id_, *_settled(channel, ack))
        if key in self._settling or self.clock.monotonic() < self._settle_at.get(key, 0.0):
            return
        self._settling[key] = asyncio.create_task(self._tell(key, Level[ack.level] if ack else None))

    async def _tell(self, key: tuple[str, str, bool, int], level: Level | None) -> None:
        id_, channel, acknowledged, upto = key
        await self._may()
        why = ""
        try:
            async with asyncio.timeout(SEND_S):
                await self._by_name[channel].settle(id_, acknowledged=level)
        except (Temporary, TimeoutError) as error:
            delay_s = error.delay_s if isinstance(error, Temporary) else SETTLE_AGAIN_S
            self._settle_at[key] = self.clock.monotonic() + max(SETTLE_AGAIN_S, delay_s)
            return
        except CodeBlueError as error:
            why = _line(error.message)
        self._event(id_, SETTLED, channel=channel, acknowledged=acknowledged, upto=upto, why=why)

    def _reap(self) -> None:
        """Take note of what ended. Raises what kept it from being recorded, LeaseLost before others."""
        errors: list[CodeBlueError] = []
        for key, (task, channel) in list(self._flying.items()):
            if task.done():
                del self._flying[key]
                errors += self._ended(task, channel, key)
        for settled, task in list(self._settling.items()):
            if task.done():
                del self._settling[settled]
                if task.exception() is not None:
                    self._settle_at[settled] = self.clock.monotonic() + LOOSE_S
                errors += self._ended(task, settled[1])
        for error in sorted(errors, key=lambda e: not isinstance(e, LeaseLost))[:1]:
            raise error

    def _ended(
        self, task: "asyncio.Task[None]", channel: str, key: tuple[str, str, int, str] | None = None
    ) -> list[CodeBlueError]:
        """What went wrong. A defect of a channel must not end paging: it is said, and the next channel covers it."""
        error = task.exception()
        if error is None:
            return []
        if isinstance(error, CodeBlueError):
            return [error]
        why = f"internal error {type(error).__name__} in {channel}"  # its text can hold anything
        self._broken.append(f"{why}: report the defect")
        if key is not None:
            id_, level, cycle, role = key
            call = Call(level, cycle, Role(role))
            self._outcome(id_, page_key(id_, call, channel), call, Delivery(Fate.UNKNOWN, why=why))
        return []

    def _event(self, id_: str, kind: str, **data: object) -> Event:
        return self.record.append(Draft(kind, ACTOR, data, incident=id_))


async def until_quiet(pager: Pager, *, limit_s: float) -> None:
    """Cycle until everything that is due was accepted, for a command that pages without a daemon.

    Raises:
        Unreachable: every channel failed for somebody, or `limit_s` has passed.
    """
    begun = pager.clock.monotonic()
    await pager.cycle()
    while pager.busy or pager.undelivered():
        failed = not pager.busy and all(c.unrouted or c.failed for c in pager.undelivered())
        if failed or pager.clock.monotonic() - begun > limit_s:
            late = ", ".join(f"{c.role} ({c.level})" for c in pager.undelivered())
            raise Unreachable(f"No channel reached {late}.", remedy="Call them by telephone.")
        await pager.clock.sleep(0.2)
        await pager.cycle()


def _settled(channel: str, ack: Ack | None) -> tuple[str, bool, int]:
    """How `PagingView.settled` names it."""
    return channel, ack is not None, ack.seq if ack else 0


def _named(call: Call) -> dict[str, object]:
    return {"level": call.level, "cycle": call.cycle, "role": call.role.value}


def _line(text: str) -> str:
    """A provider's words in one bounded line, without what looks like a secret."""
    return masked(" ".join("".join(c if c.isprintable() else " " for c in text).split()))[:200]


def _crash(call: Call, point: str) -> None:
    """Named `page.sent`, and `L2.page.sent` for one level."""
    crashpoint(f"page.{point}")
    crashpoint(f"{call.level}.page.{point}")
