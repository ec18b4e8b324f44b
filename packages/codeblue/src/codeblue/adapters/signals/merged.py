"""Several sources as one: keeps `ports.signals.Signals`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from codeblue.model.signal import Reading, Sampling
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Place
from codeblue.ports.signals import Signals


class MergedSignals:
    """Asks all sources at the same time; one that does not answer costs its own readings only.

    Args:
        sources: by name, for the reasons; what an earlier one says of a pod goes before what a later one says.
        timeout_s: of each.
    """

    def __init__(self, sources: Mapping[str, Signals], clock: Clock, *, timeout_s: float) -> None:
        self._sources, self._clock, self._timeout_s = dict(sources), clock, timeout_s

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """See `Signals.sample`."""
        at_s = self._clock.now().timestamp()
        found = await asyncio.gather(*(self._one(name, source, pods) for name, source in self._sources.items()))
        readings: list[Reading] = []
        unknown: dict[str, str] = {}
        for sampling in found:
            readings = _joined(readings, sampling.readings, at_s)
            for source, why in sampling.unknown.items():
                unknown[source] = f"{unknown[source]}; {why}" if source in unknown else why
        return Sampling(at_s, tuple(sorted(readings, key=lambda r: (r.at_s, r.pod))), unknown)

    async def close(self) -> None:
        """See `Signals.close`."""
        for source in self._sources.values():
            await source.close()

    async def _one(self, name: str, source: Signals, pods: Sequence[Place]) -> Sampling:
        try:
            async with asyncio.timeout(self._timeout_s + 0.5):  # a source keeps the limit itself, and says more then
                return await source.sample(pods)
        except TimeoutError:
            return Sampling(self._clock.now().timestamp(), unknown={name: f"no answer within {self._timeout_s:g} s"})


def _joined(had: list[Reading], more: Sequence[Reading], since_s: float) -> list[Reading]:
    """Both together. What was measured during this very look goes into one reading of the pod, the rest beside it.

    A reading of Prometheus can be a minute old: what the platform says now did not hold then.
    """
    joined = list(had)
    fresh = {reading.pod: index for index, reading in enumerate(joined) if reading.at_s >= since_s}
    for reading in more:
        index = fresh.get(reading.pod)
        if index is None or reading.at_s < since_s:
            joined.append(reading)
        else:
            joined[index] = _filled(joined[index], reading)
    return joined


def _filled(reading: Reading, more: Reading) -> Reading:
    """The first reading with what only the second has. Working set and limit belong together: a pod's limit is that of
    all its containers, while a service measures itself only."""
    memory = (reading.working_set_bytes, reading.memory_limit_bytes)
    other = (more.working_set_bytes, more.memory_limit_bytes)
    if None in memory and None not in other:
        memory = other
    kills = [count for count in (reading.oom_kills, more.oom_kills) if count is not None]
    return replace(
        reading,
        requests=more.requests if reading.requests is None else reading.requests,
        errors=more.errors if reading.errors is None else reading.errors,
        buckets=reading.buckets or more.buckets,
        ai_calls=more.ai_calls if reading.ai_calls is None else reading.ai_calls,
        ai_failures=more.ai_failures if reading.ai_failures is None else reading.ai_failures,
        working_set_bytes=memory[0] if memory[0] is not None else other[0],
        memory_limit_bytes=memory[1] if memory[1] is not None else other[1],
        oom_kills=sum(kills) if kills else None,
    )
