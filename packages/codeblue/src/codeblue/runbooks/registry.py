"""The procedures by name. A new one is a file of its own and a line here; plans and readiness have it then."""

from typing import Any

from codeblue.model.errors import Refused
from codeblue.runbooks.incident_report import IncidentReport
from codeblue.runbooks.known_good import KnownGood
from codeblue.runbooks.quick_rollback import QuickRollback
from codeblue.runbooks.recovery import Recovery
from codeblue.runbooks.step import Runbook

RUNBOOKS: dict[str, Runbook[Any]] = {r.name: r for r in (QuickRollback(), Recovery(), KnownGood(), IncidentReport())}


def runbook(name: str) -> Runbook[Any]:
    """The procedure of this name. Raises Refused for one that this version does not know."""
    try:
        return RUNBOOKS[name]
    except KeyError:
        raise Refused(
            f"This version of Code Blue knows no procedure {name!r}.",
            remedy="The run was begun by another version; resume it there, or abort it.",
        ) from None
