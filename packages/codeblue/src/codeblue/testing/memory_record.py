"""The record in memory, and reports in memory, for tests of what records."""

import hashlib
import threading
from collections.abc import Collection, Sequence

from codeblue.model.errors import Unreachable
from codeblue.model.event import Draft, Event
from codeblue.ports.clock import Clock
from codeblue.ports.reports import Kept
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
            raise Unreachable("The record in memory refuses.")
        with self._lock:
            previous = self.events[-1].hash if self.events else GENESIS
            seq = len(self.events) + 1
            event = seal(draft, service=self._service, seq=seq, at=self._clock.now(), previous=previous)
            self.events.append(event)
        return event

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

    def close(self) -> None:
        """See `RecordStore.close`."""


class MemoryReports:
    """Keeps `ports.reports.Reports` as long as the object lives."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.broken = False

    def save(self, incident: str, text: str) -> Kept:
        """See `Reports.save`."""
        if self.broken:
            raise Unreachable("The reports in memory refuse.")
        self.texts[incident] = text
        return self._kept(incident)

    def find(self, incident: str) -> Kept | None:
        """See `Reports.find`."""
        return self._kept(incident) if incident in self.texts else None

    def _kept(self, incident: str) -> Kept:
        return Kept(f"memory://{incident}.md", hashlib.sha256(self.texts[incident].encode()).hexdigest())
