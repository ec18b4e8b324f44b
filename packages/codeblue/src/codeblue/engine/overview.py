"""What is going on, from the record alone: the same for `codeblue status` and for whoever asks over HTTP."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeblue.engine.state import Owner, StateDirectory
from codeblue.model.event import Event
from codeblue.model.inhibition import Inhibition
from codeblue.ports.record import RecordStore
from codeblue.record.announcements import ANNOUNCEMENT_KINDS, fold_announcement
from codeblue.record.chain import plain
from codeblue.record.claims import CLAIM_KINDS
from codeblue.record.incidents import INCIDENT_KINDS, IncidentView, fold_incidents
from codeblue.record.inhibitions import INHIBITION_KINDS, fold_inhibitions
from codeblue.record.releases import MARKED, Known, last_known
from codeblue.record.runs import RUN_KINDS, RunView, fold_runs

#: Runs about the report of an incident: they must not fill the place of those that did something.
REPORT = "incident_report"

#: So many of the last runs are told.
RECENT = 3


@dataclass(frozen=True, slots=True)
class Overview:
    """What the record tells now.

    Attributes:
        owner: who owns the state directory; None where nobody does, or where a database tells nothing of it.
        runs: all of them; those of `recent` and the unfinished ones with what their steps did.
        recent: ids of the last runs.
        still: ids of the runs that nobody executes.
        inhibitions: those that nobody released, expired ones among them.
        behind: what the status page does not say and should, by incident.
        last: the last event of the record, of whatever kind.
    """

    owner: Owner | None
    incidents: tuple[IncidentView, ...]
    runs: tuple[RunView, ...]
    recent: tuple[str, ...]
    still: frozenset[str]
    known: Known | None
    inhibitions: tuple[Inhibition, ...]
    behind: Mapping[str, str]
    last: Event | None

    @property
    def unclosed(self) -> list[IncidentView]:
        """Incidents that are over for those who use the service, and that no person has closed."""
        return [i for i in self.incidents if i.state == "mitigated"]

    @property
    def unfinished(self) -> list[RunView]:
        """Runs that have not ended."""
        return [r for r in self.runs if not r.state.ended]

    def document(self, *, service: str, target: str, place: str, present: bool, others: tuple[str, ...]) -> Any:
        """It as JSON, schema codeblue/status/1.

        Args:
            present: whether there is a record at all.
            others: other records of the service, where there is none here.
        """
        runs = {r.id: r for r in self.runs}
        return {
            "schema": "codeblue/status/1",
            "service": service,
            "target": target,
            "record": {
                "place": place,
                "state": "present" if self.last else "empty" if present else "absent",
                "others": list(others),
            },
            "daemon": self.owner.holder if self.owner and self.owner.kind != "command" else None,
            "inhibitions": [plain(i) for i in self.inhibitions],
            "open_incidents": [plain(i) for i in self.incidents if i.state == "open"],
            "unclosed_incidents": [i.id for i in self.unclosed],
            "status_page_behind": dict(self.behind),
            "unfinished_runs": [plain(r) for r in self.unfinished],
            "stands_still": sorted(self.still),
            "release_in_force": plain(self.known),
            "last_runs": [plain(runs[r]) for r in self.recent],
            "last_event": plain(self.last.at) if self.last else None,
        }


def overview(record: RecordStore | None, directory: Path | None) -> Overview:
    """Read it.

    Args:
        record: None where there is none.
        directory: that of the state, None where its owner says nothing about who executes.

    Raises:
        As `RecordStore.read`.
    """
    # what the steps of old runs did is most of a record, and nobody asks for it here
    kinds = {*RUN_KINDS, *INCIDENT_KINDS, *CLAIM_KINDS, *INHIBITION_KINDS, *ANNOUNCEMENT_KINDS, MARKED}
    events = list(record.read(kinds=kinds)) if record else []
    folded = fold_runs(events)
    recent = tuple(r for r, run in folded.items() if run.runbook != REPORT)[-RECENT:]
    shown = {*[r for r, run in folded.items() if not run.state.ended], *recent}
    owner = StateDirectory(directory).owner() if directory else None
    still = abandoned(folded.values(), record, directory) if record else frozenset[str]()
    whole = [e for r in shown for e in record.read(run=r)] if record else []
    folded |= fold_runs(whole)
    runs = tuple(folded.values())
    return Overview(
        owner,
        tuple(fold_incidents(events).values()),
        runs,
        recent,
        still,
        last_known(events, runs),
        fold_inhibitions(events),
        _behind(events),
        record.last() if record else None,
    )


def _behind(events: Iterable[Event]) -> dict[str, str]:
    told: dict[str, list[Event]] = {}
    for event in events:
        if event.kind in ANNOUNCEMENT_KINDS:
            told.setdefault(event.incident, []).append(event)
    return {incident: why for incident, own in told.items() if (why := fold_announcement(own).behind)}


def abandoned(runs: Iterable[RunView], record: RecordStore, directory: Path | None) -> frozenset[str]:
    """The ids of the unfinished runs that nobody executes: whoever did is dead, and none came after it.

    Only of runs that change something can that be told: those that only look are executed without owning the state.

    Args:
        directory: that of the state, None where its owner says nothing about who executes.

    Raises:
        As `RecordStore.read`.
    """
    begun = [r for r in runs if not r.state.ended]
    if not begun or directory is None:
        return frozenset()
    from codeblue.runbooks.registry import RUNBOOKS

    begun = [r for r in begun if r.runbook in RUNBOOKS and RUNBOOKS[r.runbook].changes]
    if not begun or StateDirectory(directory).owner() is not None:
        return frozenset()
    # read again after nobody was seen to own it: it may have ended in order meanwhile
    now = (fold_runs(record.read(run=r.id)).get(r.id) for r in begun)
    return frozenset(r.id for r in now if r is not None and not r.state.ended)
