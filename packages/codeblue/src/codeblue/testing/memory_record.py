"""The record in memory, and reports in memory, for tests of what records."""

import hashlib
import threading
from collections.abc import Collection, Sequence

from codeblue.model.errors import RecordUnusable, Refused, Unreachable
from codeblue.model.event import Draft, Event
from codeblue.model.ids import is_id
from codeblue.ports.clock import Clock
from codeblue.ports.reports import Form, Kept
from codeblue.record.chain import GENESIS, seal


class MemoryRecord:
    """Keeps `ports.record.RecordStore` as long as the object lives."""

    def __init__(self, clock: Clock, service: str = "api") -> None:
        self.events: list[Event] = []
        #: Kinds of event that cannot be stored at the moment; "" stands for all.
        self.refuses: set[str] = set()
        self._clock, self._service, self._lock = clock, service, threading.Lock()

    def append(self, draft: Draft) -> Event:
        """See `RecordStore.append`."""
        if draft.kind in self.refuses or "" in self.refuses:
            raise RecordUnusable("The record in memory refuses.")
        with self._lock:
            previous = self.events[-1].hash if self.events else GENESIS
            seq = len(self.events) + 1
            event = seal(draft, service=self._service, seq=seq, at=self._clock.now(), previous=previous)
            self.events.append(event)
        return event

    def probe(self) -> None:
        """See `RecordStore.probe`."""
        if self.refuses & {"", "record.probe"}:
            raise RecordUnusable("The record in memory refuses.")

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        """See `RecordStore.read`."""
        found = [
            e
            for e in self.events[after:]
            if (not run or e.run == run) and (not incident or e.incident == incident) and (not kinds or e.kind in kinds)
        ]
        return found[:limit] if limit else found

    def last(self) -> Event | None:
        """See `RecordStore.last`."""
        return self.events[-1] if self.events else None

    def close(self) -> None:
        """See `RecordStore.close`."""


class MemoryReports:
    """Keeps `ports.reports.Reports` as long as the object lives.

    Attributes:
        texts, pages: the reports by incident, in Markdown and in HTML.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.pages: dict[str, str] = {}
        self.broken = False

    def save(self, incident: str, form: Form, text: str) -> Kept:
        """See `Reports.save`."""
        if not is_id(incident):
            raise Refused(f"{incident!r} is no id of an incident.")
        if self.broken:
            raise Unreachable("The reports in memory refuse.")
        self._of(form)[incident] = text
        return self._kept(incident, form)

    def find(self, incident: str, form: Form) -> Kept | None:
        """See `Reports.find`."""
        if not is_id(incident):
            raise Refused(f"{incident!r} is no id of an incident.")
        return self._kept(incident, form) if incident in self._of(form) else None

    def _of(self, form: Form) -> dict[str, str]:
        return self.texts if form is Form.MARKDOWN else self.pages

    def _kept(self, incident: str, form: Form) -> Kept:
        digest = hashlib.sha256(self._of(form)[incident].encode()).hexdigest()
        return Kept(f"memory://{incident}.{form.value}", digest)
