"""What the platform itself knows of the pods, as readings: keeps `ports.signals.Signals`."""

from collections.abc import Sequence

from codeblue.model.errors import CodeBlueError
from codeblue.model.signal import Reading, Sampling
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Place, Platform


class PlatformFacts:
    """Memory and OOM kills of each pod, from `Platform.facts`. The platform is not closed here."""

    def __init__(self, platform: Platform, clock: Clock) -> None:
        self._platform, self._clock = platform, clock

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """See `Signals.sample`; the platform knows its pods itself."""
        at_s = self._clock.now().timestamp()
        try:
            facts = await self._platform.facts()
        except CodeBlueError as error:
            return Sampling(at_s, unknown={"platform": error.message})
        readings = [
            Reading(
                pod=fact.pod,
                at_s=at_s,
                working_set_bytes=fact.memory_bytes,
                memory_limit_bytes=fact.memory_limit,
                oom_kills=fact.oom_kills,
            )
            for fact in facts
        ]
        return Sampling(at_s, tuple(r for r in readings if r != Reading(r.pod, r.at_s)))

    async def close(self) -> None:
        """See `Signals.close`; the platform belongs to whoever made it."""
