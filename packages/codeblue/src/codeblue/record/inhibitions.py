"""What inhibits the triggers, folded from its events (R1b)."""

from collections.abc import Iterable, Mapping

from codeblue.model.event import Event
from codeblue.model.inhibition import Inhibition
from codeblue.record.fields import moment, reading, text, time

#: The kinds of event that inhibitions are folded from.
INHIBITION_KINDS = ("inhibition.begun", "inhibition.released")


def fold_inhibitions(events: Iterable[Event]) -> tuple[Inhibition, ...]:
    """Those that were not released, oldest first, expired ones among them; one of each kind, the newest counts.

    Raises Damaged: an event does not say what it must.
    """
    found: Mapping[str, Inhibition] = {}
    for event in events:
        found = advance_inhibitions(found, event)
    return tuple(found.values())


def advance_inhibitions(found: Mapping[str, Inhibition], event: Event) -> dict[str, Inhibition]:
    """Those by kind after one more event, the oldest first. Raises as `fold_inhibitions`."""
    if event.kind not in INHIBITION_KINDS:
        return dict(found)
    with reading(event):
        kind = text(event.data, "kind")
        others = {k: v for k, v in found.items() if k != kind}
        if event.kind == "inhibition.begun":
            begun, expires = moment(event), time(event.data, "expires")
            others[kind] = Inhibition(kind, text(event.data, "why"), event.actor, begun.at, expires, begun.anchor)
        return others
