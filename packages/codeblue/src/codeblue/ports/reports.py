"""Where incident reports go."""

from dataclasses import dataclass
from typing import Protocol


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
    """Keeps one report an incident; a later one replaces the earlier, never half of it."""

    def save(self, incident: str, text: str) -> Kept:
        """Store the report.

        Raises:
            Unreachable: it cannot be written.
        """

    def find(self, incident: str) -> Kept | None:
        """The report that is kept, read from its place; None if there is none. Raises Unreachable."""
