"""What inhibits the triggers, folded from its events (R1b)."""

from collections.abc import Iterable

from codeblue.model.event import Event
from codeblue.model.inhibition import Inhibition
from codeblue.record.fields import reading, text, time

#: The kinds of event that inhibitions are folded from.
INHIBITION_KINDS = ("inhibition.begun", "inhibition.released")


def fold_inhibitions(events: Iterable[Event]) -> tuple[Inhibition, ...]:
    """Those that were not released, oldest first, expired ones among them; one of each kind, the newest counts.

    Raises Damaged: an event does not say what it must.
    """
    found: dict[str, Inhibition] = {}
    for event in events:
        if event.kind not in INHIBITION_KINDS:
            continue
        with reading(event):
            kind = text(event.data, "kind")
            found.pop(kind, None)
            if event.kind == "inhibition.begun":
                expires = time(event.data, "expires")
                found[kind] = Inhibition(kind, text(event.data, "why"), event.actor, event.at, expires)
    return tuple(found.values())
