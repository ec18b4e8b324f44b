"""What flags were before they were switched off, folded from the runs that did it (R20)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from codeblue.model.event import Event
from codeblue.model.flag import FlagValue
from codeblue.record.fields import mapping, reading

#: The procedures, by the names that the record has.
DISABLE: Final = "flags_disable"
RESTORE: Final = "flags_restore"
#: The kinds of event that the former values are folded from.
FLAG_KINDS: Final = ("run.requested", "run.started", "run.ended")


def prior_values(events: Iterable[Event]) -> dict[str, FlagValue]:
    """The value of each flag before the first run that switched it off since it was last restored.

    A second run finds flags that are off already: what it found is not what is to be restored. A run that never began
    changed nothing.

    Raises:
        Damaged: an event does not say what it must.
    """
    asked: dict[str, tuple[str, Mapping[str, Any]]] = {}
    prior: dict[str, FlagValue] = {}
    for event in events:
        with reading(event):
            if event.kind == "run.requested" and event.data["runbook"] in (DISABLE, RESTORE):
                asked[event.run] = (event.data["runbook"], mapping(event.data, "inputs"))
            runbook, inputs = asked.get(event.run, ("", {}))
            if event.kind == "run.started" and runbook == DISABLE:
                prior = {**_values(inputs["prior"]), **prior}
            if event.kind == "run.ended" and runbook == RESTORE and event.data["state"] == "done":
                back = _values(inputs["wanted"])
                prior = {name: value for name, value in prior.items() if name not in back}
    return prior


def _values(pairs: Any) -> dict[str, FlagValue]:
    """Those that are known; raises TypeError, ValueError for another form."""
    return {str(name): value for name, value in pairs if isinstance(value, bool | int)}
