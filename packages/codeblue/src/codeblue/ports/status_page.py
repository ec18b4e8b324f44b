"""What the public is told (R22)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Posted(StrEnum):
    """The life of an entry, in its order."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Entry:
    """An incident on the status page, as the page itself has it.

    Attributes:
        id: the page's own id.
        incident: ours, as kept in the entry's metadata.
        url: where people read it, "" where the page does not say.
    """

    id: str
    incident: str
    status: Posted
    url: str = ""


class StatusPage(Protocol):
    """A public status page. The contract suite is `codeblue.testing.contracts.status_page`.

    Every call is bounded to 15 s and raises Unreachable (no answer, 420, 429, 5xx: `delay_s` says how long the page
    asks us to wait), Forbidden (the key), Refused (an answer that no retry changes).
    """

    async def find(self, incident: str) -> Entry | None:
        """The entry of our incident by its metadata, resolved or not; None where there certainly is none."""

    async def post(self, incident: str, status: Posted, text: str) -> Entry:
        """A new entry. The page takes no idempotency key: call `find` before.

        Args:
            text: what the public reads; from the profile's wording, never free text (B9).
        """

    async def update(self, entry: Entry, status: Posted, text: str) -> Entry:
        """The same entry with another status."""

    async def close(self) -> None:
        """Release connections. May be called twice."""
