"""Where incident reports go."""

from pathlib import Path
from typing import Protocol


class Reports(Protocol):
    """Keeps one report an incident; a later one replaces the earlier, never half of it."""

    def save(self, incident: str, text: str) -> Path:
        """Store the report.

        Raises:
            Unreachable: it cannot be written.
        """
