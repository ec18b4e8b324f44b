"""What only a person knows of an incident (R47): notes in the record, without which no incident is closed."""

from collections.abc import Iterable
from enum import StrEnum

from codeblue.model.event import Event
from codeblue.record.fields import reading, text


class Finding(StrEnum):
    """What `codeblue incident note --about` names. A note about none of them stands under "Notes"."""

    ROOT_CAUSE = "root-cause"
    IMPACT = "impact"
    LESSONS = "lessons"
    ACTIONS = "actions"

    @property
    def heading(self) -> str:
        """Where it stands in the report."""
        return _HEADINGS[self]

    @property
    def asks(self) -> str:
        """What to say."""
        return _ASKS[self]

    def command(self, incident: str) -> str:
        """How it is given."""
        return f'codeblue incident note {incident} "…" --about {self.value}'


_HEADINGS = {
    Finding.ROOT_CAUSE: "Root cause",
    Finding.IMPACT: "Impact",
    Finding.LESSONS: "Lessons",
    Finding.ACTIONS: "Action items",
}
_ASKS = {
    Finding.ROOT_CAUSE: "why it happened",
    Finding.IMPACT: "patients and users affected, requests lost, revenue; without names or other patient data",
    Finding.LESSONS: "what went well, what did not",
    Finding.ACTIONS: "who does what until when",
}


def about(event: Event) -> Finding | None:
    """What a note is about; None for one about none of the findings. Raises Damaged."""
    with reading(event):
        named = text(event.data, "about") if "about" in event.data else ""
        return next((finding for finding in Finding if finding.value == named), None)


def missing(events: Iterable[Event]) -> tuple[Finding, ...]:
    """The findings that nobody noted yet. Args: events of one incident. Raises Damaged."""
    noted = {about(e) for e in events if e.kind == "incident.noted"}
    return tuple(finding for finding in Finding if finding not in noted)
