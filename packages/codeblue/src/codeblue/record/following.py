"""What the loops ask in every cycle, followed event by event: the runs, the incidents, what inhibits the triggers.

A record only grows, so what was folded stays folded: each event is read once, and verified then, however long the
record is. One follower serves all who ask in a process.
"""

import threading

from codeblue.model.event import Event
from codeblue.model.inhibition import Inhibition
from codeblue.ports.record import RecordStore
from codeblue.record.incidents import INCIDENT_KINDS, IncidentView, advance_incident
from codeblue.record.inhibitions import INHIBITION_KINDS, advance_inhibitions
from codeblue.record.runs import RUN_KINDS, RunView, advance_run

#: So many events are read at a time: a record of years must not be in memory as a whole.
BATCH = 2000

_KINDS = frozenset({*RUN_KINDS, *INCIDENT_KINDS, *INHIBITION_KINDS})


class Following:
    """The folds of one record. Threads may share it.

    Each method first takes in what is new. Raises as `RecordStore.read`; Damaged also where an event does not say what
    it must, and again each time: nothing is read around it.

    Args:
        keeps: the procedures of which ended runs are kept, without their steps; others are forgotten when they end.
    """

    def __init__(self, record: RecordStore, keeps: frozenset[str] = frozenset()) -> None:
        self._record, self._keeps, self._lock = record, keeps, threading.Lock()
        self._seq, self._caught_up = 0, False
        self._runs: dict[str, RunView] = {}
        self._kept: list[RunView] = []
        self._incidents: dict[str, IncidentView] = {}
        self._inhibitions: dict[str, Inhibition] = {}

    def unfinished(self) -> list[RunView]:
        """Runs that have not ended, oldest first; without what their steps did."""
        with self._lock:
            self._follow()
            return list(self._runs.values())

    def ended(self) -> list[RunView]:
        """The runs that have ended, in that order, of the procedures that are kept."""
        with self._lock:
            self._follow()
            return list(self._kept)

    def incidents(self) -> list[IncidentView]:
        """All incidents, oldest first."""
        with self._lock:
            self._follow()
            return list(self._incidents.values())

    def inhibitions(self) -> tuple[Inhibition, ...]:
        """As `fold_inhibitions`."""
        with self._lock:
            self._follow()
            return tuple(self._inhibitions.values())

    def _follow(self) -> None:
        kinds = frozenset() if self._caught_up else _KINDS  # what steps did long ago is most of a record
        while True:
            events = self._record.read(after=self._seq, kinds=kinds, limit=BATCH)
            for event in events:
                self._take(event)
            if len(events) == BATCH:
                continue
            if self._caught_up:
                return
            # from here on everything is read, or each look would search what lies behind the last event of these kinds
            self._caught_up, kinds = True, frozenset()

    def _take(self, event: Event) -> None:
        if event.kind not in _KINDS:
            self._seq = event.seq
            return
        # what can fail comes first, so that an event counts as a whole or not at all
        run = advance_run(self._runs.get(event.run), event)
        incident = advance_incident(self._incidents.get(event.incident), event)
        self._inhibitions = advance_inhibitions(self._inhibitions, event)
        if incident is not None:
            self._incidents[event.incident] = incident
        if run is not None and run.state.ended:
            del self._runs[event.run]
            if run.runbook in self._keeps:
                self._kept.append(run)
        elif run is not None:
            self._runs[event.run] = run
        self._seq = event.seq
