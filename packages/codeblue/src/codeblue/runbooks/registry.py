"""The procedures by name. A new one is a file of its own and a line in both tables: then it is planned and checked."""

from collections.abc import Callable
from typing import Any

from codeblue.model.errors import Refused
from codeblue.profile.model import Profile
from codeblue.runbooks import flags, known_good, quick_rollback, recovery
from codeblue.runbooks.flags import FlagsDisable, FlagsRestore
from codeblue.runbooks.incident_report import IncidentReport
from codeblue.runbooks.known_good import KnownGood
from codeblue.runbooks.quick_rollback import QuickRollback
from codeblue.runbooks.recovery import Recovery
from codeblue.runbooks.replace_pod import ReplacePod
from codeblue.runbooks.step import Runbook

RUNBOOKS: dict[str, Runbook[Any]] = {
    r.name: r
    for r in (
        QuickRollback(),
        ReplacePod(),
        FlagsDisable(),
        FlagsRestore(),
        Recovery(),
        KnownGood(),
        IncidentReport(),
    )
}

#: What each is asked for when nobody names more than the profile does; None for one that needs arguments.
USUAL: dict[str, Callable[[Profile], object] | None] = {
    "quick_rollback": lambda profile: quick_rollback.Request(at_once=profile.runbooks.quick_rollback.at_once),
    "replace_pod": None,
    "flags_disable": lambda _: flags.DisableRequest(),
    "flags_restore": None,
    "recovery": lambda _: recovery.Request(),
    "known_good": lambda _: known_good.Request(),
    "incident_report": None,
}


def runbook(name: str) -> Runbook[Any]:
    """The procedure of this name. Raises Refused for one that this version does not know."""
    try:
        return RUNBOOKS[name]
    except KeyError:
        raise Refused(
            f"This version of Code Blue knows no procedure {name!r}.",
            remedy="The run was begun by another version; resume it there, or abort it.",
        ) from None
