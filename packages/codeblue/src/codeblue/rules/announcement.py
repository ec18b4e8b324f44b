"""What the public should be told of an incident (R22): a function of what the record says, and of nothing else."""

from collections.abc import Collection, Iterable

from codeblue.ports.status_page import Posted
from codeblue.record.incidents import IncidentView
from codeblue.record.runs import RunState, RunView

#: Runbooks that look or write, and restore nothing.
_RESTORES_NOTHING = ("recovery", "known_good", "incident_report")
_ORDER = {status: place for place, status in enumerate(Posted)}


def desired(incident: IncidentView, runs: Iterable[RunView]) -> Posted:
    """The status that is true now.

    - `resolved`: the service is proven healthy (mitigated), or a person closed the incident.
    - `monitoring`: what restores the service was done and proven; its verification goes on.
    - `identified`: what restores the service was begun. A decision alone is a wish: nothing follows from it in mode
      observe, before an approval, after a freeze, and where no procedure does it.
    - `investigating`: everything else.

    Args:
        runs: those that belong to the incident.
    """
    if incident.state != "open":
        return Posted.RESOLVED
    restoring = [r for r in runs if r.runbook not in _RESTORES_NOTHING]
    if any(r.state is RunState.DONE for r in restoring):
        return Posted.MONITORING
    if any(r.started is not None for r in restoring):
        return Posted.IDENTIFIED
    return Posted.INVESTIGATING


def is_public(incident: IncidentView, severities: Collection[str]) -> bool:
    """Whether the public is told of it: never of a drill."""
    return incident.severity in severities and not incident.drill


def further(one: Posted, other: Posted | None) -> bool:
    """Whether a status is further on than another; everything is further than none. Statuses only move forward."""
    return other is None or _ORDER[one] > _ORDER[other]
