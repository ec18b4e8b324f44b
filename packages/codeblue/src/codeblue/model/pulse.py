"""What the daemon's loop last said: enough to tell a loop that lives from one that hangs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pulse:
    """The loop at one moment.

    Attributes:
        acting: this process holds the lease; False while it stands by.
        sentence: of the last cycle, "" before the first.
        at: when the last cycle ended.
        age_s: seconds since then, or since the process began; by the monotonic clock.
        cycles, seconds: how many ended so far, and how long they took together.
        buckets: of those, how many took at most so many seconds: (upper bound, count), cumulative; the last one has no
            bound.
        verdicts: how often a rule came to an outcome, by (rule, outcome).
    """

    acting: bool = False
    sentence: str = ""
    at: datetime | None = None
    age_s: float = 0.0
    cycles: int = 0
    seconds: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ((float("inf"), 0),)
    verdicts: Mapping[tuple[str, str], int] = field(default_factory=dict)
