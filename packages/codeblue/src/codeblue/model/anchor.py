"""A reading of a clock that no correction of the time of day moves: how long an incident lasts is told by it (R3)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anchor:
    """A reading; two of the same boot can be subtracted, whichever processes took them.

    Attributes:
        boot: which start of which machine the seconds count from.
        at_s: seconds since then, the machine's sleep included.
    """

    boot: str
    at_s: float
