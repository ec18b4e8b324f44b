"""Keeps the status page true: what the public reads follows from the record, and from nothing else (R22).

Each cycle compares what should be said (`rules.announcement`) with what was (`record.announcements`). The intent is in
the record before the page is asked, and the answer after it, also that none came; the page takes no key, so every
attempt first looks for the entry (D33): a crash, a lost answer or another process never make a second one. A page that
is down is asked for as long as it takes. Texts come from the profile alone.

Only the holder of the lease may run it: between looking and posting, two processes could both find nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from codeblue.engine.crashpoint import crashpoint
from codeblue.model.errors import LeaseLost, Refused, Temporary
from codeblue.model.event import Draft, Event
from codeblue.ports.clock import Clock
from codeblue.ports.record import RecordStore
from codeblue.ports.status_page import Entry, Posted, StatusPage
from codeblue.profile.model import Profile
from codeblue.record.announcements import (
    ABANDONED,
    ANNOUNCEMENT_KINDS,
    INTENDED,
    OBSERVED,
    POSTED,
    REFUSED,
    UNREACHABLE,
    AnnouncementView,
    fold_announcement,
)
from codeblue.record.incidents import INCIDENT_KINDS, IncidentView, fold_incidents
from codeblue.record.runs import RUN_KINDS, fold_runs
from codeblue.rules.announcement import desired, further, is_public

ACTOR: Final = "announcer"
#: The wait after a failure: it doubles from the first to the last. The page may need a moment to show what it took.
FIRST_WAIT_S: Final = 5.0
LAST_WAIT_S: Final = 60.0
#: How often a refusal is tried anew: a person may have mended the key or the page.
REFUSED_WAIT_S: Final = 300.0
#: A lease that cannot be asked for within this time is treated as one that does not answer.
MAY_S: Final = 5.0
#: An entry that was there and is not found so often in a row was removed by a person.
GONE_AFTER: Final = 3

_KINDS: Final = tuple({*INCIDENT_KINDS, *RUN_KINDS, *ANNOUNCEMENT_KINDS})


class _Gone(Exception):
    """The entry that we posted is not on the page."""


@dataclass(frozen=True, slots=True)
class _Pause:
    """Until when nothing is tried: on the monotonic clock, and for people. Why: what came of the last attempt."""

    until_s: float
    at: datetime
    why: str


@dataclass
class _Case:
    """What is known of an incident that the public may still have to be told of."""

    events: list[Event] = field(default_factory=list)
    missed: int = 0
    pause: _Pause | None = None


class Announcer:
    """The loop's memory; what must outlive the process is in the record.

    Args:
        profile: with a section `status_page`.
        fence: raises LeaseLost where somebody else acts now; asked before the public is told anything.
    """

    def __init__(
        self,
        record: RecordStore,
        status_page: StatusPage,
        profile: Profile,
        clock: Clock,
        fence: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        if profile.status_page is None:
            raise ValueError("the profile has no status page")
        self._record, self._page, self._clock, self._fence = record, status_page, clock, fence
        self._settings = profile.status_page
        self._cases: dict[str, _Case] = {}
        self._read_to = 0
        self._failures = 0
        self._pause: _Pause | None = None

    async def cycle(self) -> str:
        """One cycle: at most one attempt for each incident. Can take 30 s for each while the page is slow: give it a
        task of its own.

        Returns:
            What the public was told or could not be told yet, and why; "the status page is up to date" otherwise.

        Raises:
            LeaseLost: somebody else acts now. Unreachable, Damaged: the record could not be written or read.
        """
        self._follow()
        said = [sentence for id_ in list(self._cases) if (sentence := await self._incident(id_))]
        return "; ".join(said) or "the status page is up to date"

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._page.close()

    def _follow(self) -> None:
        for event in self._record.read(after=self._read_to, kinds=_KINDS):
            self._read_to = max(self._read_to, event.seq)
            if event.kind == "incident.opened":
                self._cases.setdefault(event.incident, _Case())
            if event.incident in self._cases:
                self._cases[event.incident].events.append(event)

    async def _incident(self, id_: str) -> str:
        case = self._cases[id_]
        incident = fold_incidents(case.events)[id_]
        view = fold_announcement(case.events)
        wanted = desired(incident, fold_runs(case.events).values())
        begun = view.intended is not None or view.observed is not None
        if view.abandoned or (not begun and incident.state != "open"):
            del self._cases[id_]  # over before anybody was told: there is nothing to take back
            return ""
        if not begun and not is_public(incident, self._settings.severities):
            return ""
        if not further(wanted, view.posted):
            if view.posted is Posted.RESOLVED:
                del self._cases[id_]
            return ""
        if self._settings.mode == "observe":
            return self._observe(id_, case, view, wanted)
        pause = max((p for p in (self._pause, case.pause) if p), key=lambda p: p.until_s, default=None)
        if pause is not None and pause.until_s > self._clock.monotonic():
            return _late(id_, wanted, pause)
        return await self._attempt(id_, case, incident, view, wanted)

    def _observe(self, id_: str, case: _Case, view: AnnouncementView, wanted: Posted) -> str:
        if further(wanted, view.observed):
            self._event(id_, OBSERVED, status=wanted.value)
        if wanted is Posted.RESOLVED:
            del self._cases[id_]
        return f"{id_}: would tell the public {wanted.value} (status_page.mode observe): nothing was posted"

    async def _attempt(
        self, id_: str, case: _Case, incident: IncidentView, view: AnnouncementView, wanted: Posted
    ) -> str:
        if view.intended is not wanted:
            self._event(id_, INTENDED, status=wanted.value)
            crashpoint("status_page.intended")
        try:
            entry = await self._bring(incident.id, view, wanted)
        except Temporary as error:
            self._failures += 1
            wait_s = max(error.delay_s, min(FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10), LAST_WAIT_S))
            self._pause = self._paused(wait_s, error.message)
            if view.unreachable is not wanted:
                self._event(id_, UNREACHABLE, status=wanted.value, why=error.message)
            return _late(id_, wanted, self._pause)
        except LeaseLost:
            raise
        except _Gone:
            return self._missed(id_, case, wanted)
        except Refused as error:
            return self._refused(id_, case, view, wanted, error)
        crashpoint("status_page.told")
        self._failures, self._pause, case.pause, case.missed = 0, None, None, 0
        self._event(id_, POSTED, id=entry.id, status=entry.status.value, url=entry.url)
        crashpoint("status_page.recorded")
        if entry.status is Posted.RESOLVED:
            del self._cases[id_]
        return f"{id_}: the public reads {entry.status.value} (entry {entry.id})"

    async def _bring(self, id_: str, view: AnnouncementView, wanted: Posted) -> Entry:
        """Have the page show it, whatever it shows now.

        Raises:
            _Gone: the entry that we posted is not there.
        """
        text = self._text(wanted)
        found = await self._page.find(id_)
        if found is not None and not further(wanted, found.status):
            return found  # a lost answer of ours, or a person was faster
        if found is None and view.posted is not None:
            raise _Gone
        await self._may()
        if found is None:
            return await self._page.post(id_, wanted, text)
        return await self._page.update(found, wanted, text)

    def _text(self, status: Posted) -> str:
        wording = self._settings.wording
        match status:
            case Posted.INVESTIGATING:
                return wording.investigating
            case Posted.IDENTIFIED:
                return wording.identified
            case Posted.MONITORING:
                return wording.monitoring
            case Posted.RESOLVED:
                return wording.resolved

    async def _may(self) -> None:
        """A lease that could not be asked for is none that is lost."""
        if self._fence is not None:
            with suppress(Temporary, TimeoutError):
                async with asyncio.timeout(MAY_S):
                    await self._fence()

    def _missed(self, id_: str, case: _Case, wanted: Posted) -> str:
        """The entry is gone. A page can be slow to show what it has, so one look is not enough."""
        case.missed += 1
        if case.missed >= GONE_AFTER:
            why = "its entry is not on the page any more: a person removed it"
            self._event(id_, ABANDONED, why=why)
            del self._cases[id_]
            return f"{id_}: {why}; nothing more is posted"
        case.pause = self._paused(LAST_WAIT_S, "its entry is not found")
        return _late(id_, wanted, case.pause)

    def _refused(self, id_: str, case: _Case, view: AnnouncementView, wanted: Posted, error: Refused) -> str:
        if wanted not in dict(view.refused):
            self._event(id_, REFUSED, status=wanted.value, why=error.message)
        case.pause = self._paused(REFUSED_WAIT_S, f"{error.message} {error.remedy}".strip())
        return _late(id_, wanted, case.pause)

    def _paused(self, wait_s: float, why: str) -> _Pause:
        return _Pause(self._clock.monotonic() + wait_s, self._clock.now() + timedelta(seconds=wait_s), why)

    def _event(self, id_: str, kind: str, **data: object) -> None:
        self._record.append(Draft(kind, ACTOR, data, incident=id_))


def _late(id_: str, wanted: Posted, pause: _Pause) -> str:
    """The same in every cycle of one pause, so that it is said once."""
    why, at = pause.why.rstrip("."), f"{pause.at:%H:%M:%S} UTC"
    return f"{id_}: the public does not read {wanted.value} yet: {why}; next attempt at {at}"
