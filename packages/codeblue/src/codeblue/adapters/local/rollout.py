"""Which replicas to start and which to stop next: pure, so that a test can walk through every rollout.

The rule is that of a Deployment with `maxUnavailable: 0`: what serves is stopped only when enough others serve, what
does not serve and is of a former template goes first, and never more than `desired + surge` exist at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica that is meant to stay.

    Attributes:
        wanted: it was started from exactly the template in force.
        ready: it answered its health check.
    """

    name: str
    wanted: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class Moves:
    """What to do now. `stop` names replicas, the least useful first."""

    start: int = 0
    stop: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Nothing to do at the moment."""
        return not self.start and not self.stop


def next_moves(desired: int, surge: int, replicas: Sequence[Replica]) -> Moves:
    """The next moves towards `desired` ready replicas of the template in force.

    Args:
        desired: how many replicas there should be.
        surge: how many more may exist meanwhile: 1, or `desired` for all at once.
        replicas: those that are meant to stay, oldest first.
    """
    new = [r for r in replicas if r.wanted]
    old = [r for r in replicas if not r.wanted]
    if len(new) > desired:  # scaled down: those that do not serve first, then the youngest
        extra = sorted(reversed(new), key=lambda r: r.ready)[: len(new) - desired]
        return Moves(stop=tuple(r.name for r in extra))
    stop = [r.name for r in old if not r.ready]
    serving_old = [r.name for r in old if r.ready]
    spare = sum(r.ready for r in replicas) - desired
    if spare > 0:
        stop += serving_old[:spare]
    room = desired + max(1, surge) - (len(replicas) - len(stop))
    return Moves(start=max(0, min(desired - len(new), room)), stop=tuple(stop))
