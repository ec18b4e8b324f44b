"""Where the service's metrics come from."""

from collections.abc import Sequence
from typing import Protocol

from codeblue.model.signal import Sampling
from codeblue.ports.platform import Place


class Signals(Protocol):
    """Reads metrics; decides nothing. Kept by the scraper of pods, by Prometheus, by the platform's pod facts."""

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """What the signals say now.

        Never raises for a source that does not answer, answers in part, or with something that is no metrics: that is
        `Sampling.unknown` (B5). An empty result where there should be one is unknown too (D34). Bounded in time (the
        profile's `signals.timeout`) and in memory, whatever the answer.

        A look may repeat readings of an earlier one: the same pod and `at_s` is the same reading. A reading need not
        have everything that is known of its pod: what several sources measured at different moments are several
        readings, and a value that is None in one of them says nothing about that moment.

        Args:
            pods: where the pods can be asked; a source that does not ask pods ignores it.
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
