"""Whose record it is: the first target that acted with it, and those that a person said are the same."""

from collections.abc import Iterable

from codeblue.model.event import Event
from codeblue.model.target import Target
from codeblue.record.fields import reading

CLAIMED, ADOPTED = "record.claimed", "record.adopted"
CLAIM_KINDS = (CLAIMED, ADOPTED)


def targets_of(events: Iterable[Event]) -> tuple[Target, ...]:
    """The targets that the record belongs to, () while it is nobody's.

    Of several claims only the first counts: two targets may have come at the same moment, and the chain has one order.

    Raises:
        Damaged: an event does not say which target.
    """
    found: list[Target] = []
    for event in events:
        if event.kind == ADOPTED or (event.kind == CLAIMED and not found):
            with reading(event):
                found.append(Target.load(event.data))
    return tuple(found)
