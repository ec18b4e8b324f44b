"""A source of metrics with another behind it: keeps `ports.signals.Signals` (B5).

When the metrics system is away, an independent look at the pods themselves decides.
"""

from collections.abc import Sequence

from codeblue.model.signal import Sampling
from codeblue.ports.platform import Place
from codeblue.ports.signals import Signals


class FallbackSignals:
    """Asks the second source in each look in which the first one gave no reading.

    That the first one is away stays in `Sampling.unknown`: somebody has to mend it, also while we still see.

    Args:
        first: the metrics system.
        second: the pods themselves, whose counters are the same ones.
    """

    def __init__(self, first: Signals, second: Signals) -> None:
        self._first, self._second = first, second

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """See `Signals.sample`."""
        found = await self._first.sample(pods)
        if found.readings:
            return found
        other = await self._second.sample(pods)
        return Sampling(other.at_s, other.readings, {**other.unknown, **found.unknown})

    async def close(self) -> None:
        """See `Signals.close`."""
        await self._first.close()
        await self._second.close()
