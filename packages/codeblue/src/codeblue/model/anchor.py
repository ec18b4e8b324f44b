"""A reading of a clock that no correction of the time of day moves: how long an incident lasts is told by it (R3)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reading; two of the same boot can be subtracted, whichever processes took them.

    Attributes:
        boot: which start of which machine the seconds count from.
        at_s: seconds since then, the machine's sleep included.
    """

    boot: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was, by the time of day and, where that was noted, by a clock that no correction moves."""

    at: datetime
    anchor: Anchor | None = None

    def until_s(self, later: "Moment", *, backwards: float = 0.0) -> float:
        """Seconds from here to a later moment: by the boot's own clock within one boot, else by the time of day.

        Args:
            backwards: the answer where only the time of day tells and it went backwards, which says nothing.
        """
        if self.anchor is not None and later.anchor is not None and self.anchor.boot == later.anchor.boot:
            return max(0.0, later.anchor.at_s - self.anchor.at_s)
        by_day = (later.at - self.at).total_seconds()
        return by_day if by_day >= 0 else backwards
