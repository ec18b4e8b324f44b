"""The loop's pulse: beaten by the loop, read by the watchdog and by whoever asks over HTTP."""

import threading
from collections import Counter
from collections.abc import Iterable

from codeblue.model.pulse import Pulse
from codeblue.model.verdict import Verdict
from codeblue.ports.clock import Clock

#: Upper bounds of the histogram of cycle durations, in seconds.
BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Heart:
    """Keeps `ports.pulse.LoopPulse`. The loop's thread beats, any other reads."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._last = clock.monotonic()
        self._pulse = Pulse(buckets=tuple((bound, 0) for bound in (*BOUNDS_S, float("inf"))))
        self._verdicts: Counter[tuple[str, str]] = Counter()

    def beat(self, sentence: str, *, took_s: float, acting: bool) -> None:
        """A cycle has ended, whatever came of it.

        Args:
            took_s: how long it took.
            acting: whether this process holds the lease.
        """
        with self._lock:
            before = self._pulse
            self._last = self._clock.monotonic()
            self._pulse = Pulse(
                acting=acting,
                sentence=sentence,
                at=self._clock.now(),
                cycles=before.cycles + 1,
                seconds=before.seconds + took_s,
                buckets=tuple((bound, n + (took_s <= bound)) for bound, n in before.buckets),
            )

    def judged(self, verdicts: Iterable[Verdict]) -> None:
        """What the rules came to in a cycle."""
        with self._lock:
            self._verdicts.update((v.rule, v.outcome.value) for v in verdicts)

    def pulse(self) -> Pulse:
        """See `LoopPulse.pulse`."""
        with self._lock:
            p = self._pulse
            age_s = self._clock.monotonic() - self._last
            verdicts = dict(self._verdicts)
        return Pulse(p.acting, p.sentence, p.at, age_s, p.cycles, p.seconds, p.buckets, verdicts)
