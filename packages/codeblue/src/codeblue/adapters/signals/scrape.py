"""Metrics from the pods themselves: keeps `ports.signals.Signals`."""

import asyncio
from collections.abc import Sequence

from codeblue.adapters.signals.exposition import PAGE_LIMIT, NotMetrics, read_page
from codeblue.adapters.signals.series import Found, Vocabulary
from codeblue.model.health import Outcome
from codeblue.model.signal import Reading, Sampling
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Place
from codeblue.ports.prober import Prober

#: Pods that are asked at the same time: so many pages of 4 MiB can be in memory.
AT_ONCE = 24


class ScrapedSignals:
    """GETs of each pod's page of metrics, which holds those of all of its worker processes.

    Args:
        prober: the way to the pods, the API server's proxy too. It is not closed here.
        path: of the metrics.
        timeout_s: of one look at all pods.
    """

    def __init__(self, prober: Prober, path: str, vocabulary: Vocabulary, clock: Clock, *, timeout_s: float) -> None:
        self._prober, self._path, self._clock, self._timeout_s = prober, path, clock, timeout_s
        self._vocabulary, self._wanted = vocabulary, vocabulary.wanted
        self._slots, self._parser = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """See `Signals.sample`. A pod that does not answer costs its own reading only."""
        at_s = self._clock.now().timestamp()
        deadline = self._clock.monotonic() + self._timeout_s
        found = await asyncio.gather(*(self._pod(place, deadline) for place in pods))
        readings: list[Reading] = []
        unknown: dict[str, str] = {}
        for place, one in zip(pods, found, strict=True):
            if one.reading is not None:
                readings.append(one.reading)
            if one.problems:
                unknown[place.name] = "; ".join(one.problems)
        return Sampling(at_s, tuple(readings), unknown)

    async def close(self) -> None:
        """See `Signals.close`; the prober belongs to whoever made it."""

    async def _pod(self, place: Place, deadline: float) -> Found:
        async with self._slots:
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                return Found(None, (f"not asked: other pods took all of the {self._timeout_s:g} s",))
            probe, body = await self._prober.read(place, self._path, timeout_s=left_s, limit=PAGE_LIMIT + 1)
            at_s = self._clock.now().timestamp()
            if probe.outcome is not Outcome.OK:
                return Found(None, (f"{self._path}: {probe.detail}",))
            async with self._parser:  # one at a time: several would only slow each other down
                return await asyncio.to_thread(self._read, place.name.removeprefix("pod/"), at_s, body)

    def _read(self, pod: str, at_s: float, body: bytes) -> Found:
        try:
            page = read_page(body, self._wanted)
        except NotMetrics as why:
            return Found(None, (f"{self._path}: {why}",))
        found = self._vocabulary.read(pod, at_s, page.samples, page.declared)
        if found.reading is None and not found.problems:
            return Found(None, (f"{self._path}: none of the metrics that signals.names names is there",))
        return found
