"""Signals in memory: what a test says they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from codeblue.model.signal import Reading, Sampling
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Place

#: What a pod's metrics say at a moment: "pod name, seconds since the test began" → a reading, a reason why it is
#: unknown, or None for a pod that offers nothing. Pod and time of the reading are filled in.
Script = Callable[[str, float], Reading | str | None]


class MemorySignals:
    """Keeps `ports.signals.Signals`: each pod that is asked for says what `script` makes of it.

    Args:
        clock: the time of the readings.
        script: may be exchanged while a test runs.
    """

    def __init__(self, clock: Clock, script: Script | None = None) -> None:
        self._clock, self._began = clock, clock.monotonic()
        self.script: Script = script or (lambda pod, at_s: None)
        #: Sources that are dead, with their reasons: they are unknown in each look.
        self.unknown: Mapping[str, str] = {}
        #: When set, no reading comes through.
        self.blind = False
        #: How often it was asked.
        self.looks = 0

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """See `Signals.sample`."""
        self.looks += 1
        at_s, elapsed_s = self._clock.now().timestamp(), self._clock.monotonic() - self._began
        readings, unknown = list[Reading](), dict(self.unknown)
        if self.blind:
            return Sampling(at_s, unknown=unknown or {"memory": "the test sees nothing"})
        for place in pods:
            pod = place.name.removeprefix("pod/")
            said = self.script(pod, elapsed_s)
            if isinstance(said, str):
                unknown[place.name] = said
            elif said is not None:
                readings.append(replace(said, pod=pod, at_s=at_s))
        return Sampling(at_s, tuple(readings), unknown)

    async def close(self) -> None:
        """See `Signals.close`."""
