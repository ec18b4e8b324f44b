"""Where incident reports go."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Form(StrEnum):
    """The forms of a report; the value is how its file ends."""

    MARKDOWN = "md"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Kept:
    """A report where it is kept.

    Attributes:
        place: where people find it.
        sha256: of its bytes, computed from the place itself.
    """

    place: str
    sha256: str


class Reports(Protocol):
    """Keeps one report of each form an incident; a later one replaces the earlier, never half of it.

    The contract suite is `codeblue.testing.contracts.reports`.
    """

    def save(self, incident: str, form: Form, text: str) -> Kept:
        """Store the report. May be called again with another text.

        Raises:
            Refused: that is no id of an incident (`model.ids`); nothing was touched (D51).
            Unreachable: it cannot be written; what was kept before is kept still.
        """

    def find(self, incident: str, form: Form) -> Kept | None:
        """The report that is kept, read from its place; None if there is none. Raises as `save`."""
