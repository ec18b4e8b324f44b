"""An incident, folded from its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from codeblue.model.event import Event
from codeblue.model.health import Outcome
from codeblue.record.chain import plain
from codeblue.record.fields import mapping, reading, text, time

if TYPE_CHECKING:
    from codeblue.model.verdict import InForce

#: The kinds of event that incidents are folded from.
INCIDENT_KINDS = (
    "incident.opened",
    "incident.decided",
    "incident.mitigated",
    "incident.resolved",
    "incident.noted",
    "incident.severity",
    "incident.acknowledged",
    "incident.escalated",
    "run.requested",
    "step.made",
)


#: The action of a decision after which nothing changes without an approval.
FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident as the record tells it.

    Attributes:
        state: "open", "mitigated" (the service is proven healthy again) or "resolved" (a person closed it).
        began: when the trouble began as far as it is known, not when it was noticed.
        runs: the runs that belong to it, in order.
        mitigation: by what it is known that the service is healthy again.
        resolved_by, resolution: who closed it, and why.
        impact: what it does to those who use the service ("outage", "degraded", "none"), "" where nobody said.
        acknowledged, acknowledged_by: the latest acknowledgement, whether it still counts or not (`record.pages`).
        escalated: the levels that were called by hand.
        in_force: the release that was in force when it was opened; None where whoever opened it did not look.
        frozen: every change needs an approval while it is open, whatever else is decided later (R9).
        drill: whoever declared it said that it is one: people are paged, nothing is frozen, the public is not told.
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
    mitigation: str = ""
    resolved: datetime | None = None
    resolved_by: str = ""
    resolution: str = ""
    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    report: str = ""
    impact: str = ""
    acknowledged: datetime | None = None
    acknowledged_by: str = ""
    escalated: tuple[str, ...] = ()
    frozen: bool = False
    in_force: "InForce | None" = None
    drill: bool = False

    @property
    def over(self) -> bool:
        """Whether nobody has to do anything about the service any more."""
        return self.state != "open"

    @property
    def declared(self) -> bool:
        """Whether a person opened it (R9): what the watch sees of the service's health does not end it."""
        return self.actor.startswith("person:")


def fold_incidents(events: Iterable[Event]) -> dict[str, IncidentView]:
    """All incidents among the events, oldest first. Raises Damaged: an event does not say what it must."""
    incidents: dict[str, IncidentView] = {}
    for event in events:
        view = advance_incident(incidents.get(event.incident), event)
        if view is not None:
            incidents[event.incident] = view
    return incidents


def advance_incident(incident: IncidentView | None, event: Event) -> IncidentView | None:
    """The incident after one more of its events; None before it was opened. Raises as `fold_incidents`."""
    if not event.incident:
        return None
    with reading(event):
        if event.kind == "incident.opened":
            return _opened(event)
        return None if incident is None else _advance(incident, event)


def open_incidents(events: Iterable[Event]) -> list[IncidentView]:
    """Those that are not over yet, the newest first: one of the watch, and any that people declared.

    No drills: what is really done belongs to none. Raises as `fold_incidents`.
    """
    return [i for i in reversed(fold_incidents(events).values()) if i.state == "open" and not i.drill]


def freeze_of(events: Iterable[Event]) -> IncidentView | None:
    """The open incident because of which every change needs an approval (R9); None where there is none.

    Raises as `fold_incidents`.
    """
    return frozen_by(fold_incidents(events).values())


def frozen_by(incidents: Iterable[IncidentView]) -> IncidentView | None:
    """As `freeze_of`, of incidents that were folded already."""
    return next((i for i in incidents if i.frozen and not i.over), None)


def breached(incident: IncidentView, events: Iterable[Event]) -> frozenset[str]:
    """The rules that fired while it was open, without those that only an alert said to fire. Raises Damaged."""
    seen, alerted = set[str](), set[str]()
    for event in events:
        if event.kind == "incident.decided" and event.incident == incident.id:
            with reading(event):
                for verdict in event.data.get("verdicts", ()):
                    if text(verdict, "outcome") == Outcome.BREACH:
                        (alerted if verdict.get("alerted") else seen).add(text(verdict, "rule"))
    return frozenset(seen | ({incident.trigger} - alerted))


_DONE = {"rollback": "rolled back", "replace_pod": "replaced the pod", "disable_flags": "disabled the flags"}


def decision_in_words(decision: Mapping[str, Any]) -> str:
    """What was decided, and whether anything follows from it: nobody may take the wish for the deed.

    Args:
        decision: `IncidentView.decision`; the mode is missing in records from before it was noted.

    Raises:
        KeyError, TypeError: it does not say what it must.
    """
    action, head, mode = text(decision, "action"), decision_in_short(decision), decision.get("mode")
    words = action.replace("_", " ")
    why = text(decision, "sentence").removeprefix(f"{words}: ").removeprefix(f"{action}: ")
    if action == "page_only":
        return (
            f"no change: {why.removeprefix('no change: ').removesuffix('; a person must decide')}; a person must decide"
        )
    acts = isinstance(mode, str) and mode not in ("observe", "ask") and action != FREEZE
    return f"{head}: {why}" + (f" (mode {mode})" if acts else "")


def decision_in_short(decision: Mapping[str, Any]) -> str:
    """`decision_in_words` without the reasons and their arithmetic. Raises as that."""
    action, mode = text(decision, "action"), decision.get("mode")
    words = action.replace("_", " ")
    if action == "page_only":
        return "no change; a person must decide"
    if action == FREEZE:
        return "freeze"
    if mode == "observe":
        return f"would have {_DONE.get(action, f'done “{words}”')} (mode observe), and does not"
    if mode == "ask":
        return f"{words} once a person approves (mode ask)"
    return words


def decision_in_brief(incident: IncidentView) -> str:
    """What was decided, for a page: without the sentence, which can have text of the service; "" where nothing was.

    What was decided is no deed: it is said that nothing was begun as long as no run was. Raises as `decision_in_short`.
    """
    if incident.decision is None or "action" not in incident.decision:
        return ""
    follows = incident.decision["action"] not in ("page_only", FREEZE)
    waits = incident.decision.get("mode") in ("observe", "ask")
    said = decision_in_short(incident.decision)
    return f"{said}: not begun" if follows and not waits and not incident.runs else said


def _opened(event: Event) -> IncidentView:
    d = event.data
    return IncidentView(
        id=event.incident,
        service=event.service,
        severity=text(d, "severity"),
        trigger=text(d, "trigger"),
        why=text(d, "why"),
        actor=event.actor,
        opened=event.at,
        began=time(d, "began"),
        impact=text(d, "impact") if "impact" in d else "",
        in_force=_in_force(mapping(d, "in_force")) if d.get("in_force") is not None else None,
        drill=d.get("drill") is True,
    )


def _in_force(data: Mapping[str, Any]) -> "InForce":
    from codeblue.model.verdict import InForce  # `status` folds incidents, and has no time for verdicts

    return InForce(text(data, "release"), text(data, "label"))


def _advance(incident: IncidentView, event: Event) -> IncidentView:
    match event.kind:
        case "incident.decided":
            text(event.data, "sentence")
            frozen = incident.frozen or text(event.data, "action") == FREEZE
            return replace(incident, decision=plain(event.data), frozen=frozen)
        case "run.requested":
            return replace(incident, runs=(*incident.runs, event.run))
        case "incident.mitigated":
            state = "resolved" if incident.state == "resolved" else "mitigated"  # what a person closed stays closed
            return replace(incident, state=state, mitigated=event.at, mitigation=text(event.data, "why"))
        case "incident.resolved":
            reason = text(event.data, "reason") if "reason" in event.data else ""
            return replace(incident, state="resolved", resolved=event.at, resolved_by=event.actor, resolution=reason)
        case "incident.severity":
            return replace(incident, severity=text(event.data, "severity"))
        case "incident.acknowledged":
            return replace(incident, acknowledged=event.at, acknowledged_by=event.actor)
        case "incident.escalated":
            return replace(incident, escalated=(*incident.escalated, text(event.data, "level")))
        case "incident.noted":
            return replace(incident, notes=(*incident.notes, text(event.data, "text")))
        case "step.made" if text(event.data, "step") == "report":
            return replace(incident, report=text(event.data, "reference"))
    return incident
