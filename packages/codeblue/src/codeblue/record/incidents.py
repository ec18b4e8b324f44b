"""An incident, folded from its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from codeblue.model.event import Event

#: The kinds of event that incidents are folded from.
INCIDENT_KINDS = (
    "incident.opened",
    "incident.decided",
    "incident.mitigated",
    "incident.resolved",
    "incident.noted",
    "run.requested",
    "step.made",
)


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident as the record tells it.

    Attributes:
        state: "open", "mitigated" (the service is proven healthy again) or "resolved" (a person closed it).
        began: when the trouble began as far as it is known, not when it was noticed.
        runs: the runs that belong to it, in order.
    """

    id: str
    service: str
    severity: str
    trigger: str
    why: str
    actor: str
    opened: datetime
    began: datetime
    state: str = "open"
    decision: Mapping[str, Any] | None = None
    mitigated: datetime | None = None
    resolved: datetime | None = None
    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    report: str = ""


def fold_incidents(events: Iterable[Event]) -> dict[str, IncidentView]:
    """All incidents among the events, oldest first."""
    incidents: dict[str, IncidentView] = {}
    for event in events:
        if not event.incident:
            continue
        if event.kind == "incident.opened":
            d = event.data
            incidents[event.incident] = IncidentView(
                id=event.incident,
                service=event.service,
                severity=d["severity"],
                trigger=d["trigger"],
                why=d["why"],
                actor=event.actor,
                opened=event.at,
                began=datetime.fromisoformat(d["began"]),
            )
        elif event.incident in incidents:
            incidents[event.incident] = _advance(incidents[event.incident], event)
    return incidents


def open_incident(events: Iterable[Event]) -> IncidentView | None:
    """The incident that is not over yet; there is at most one per service."""
    return next((i for i in fold_incidents(events).values() if i.state == "open"), None)


def _advance(incident: IncidentView, event: Event) -> IncidentView:
    match event.kind:
        case "incident.decided":
            return replace(incident, decision=event.data)
        case "run.requested":
            return replace(incident, runs=(*incident.runs, event.run))
        case "incident.mitigated":
            return replace(incident, state="mitigated", mitigated=event.at)
        case "incident.resolved":
            return replace(incident, state="resolved", resolved=event.at)
        case "incident.noted":
            return replace(incident, notes=(*incident.notes, event.data["text"]))
        case "step.made" if event.data["step"] == "report":
            return replace(incident, report=event.data["reference"])
    return incident
