"""Virtual time: a minute of waiting takes no time, and always the same order."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

from codeblue.model.anchor import Anchor

#: Turns of the event loop that other tasks get before time moves on, so that what is ready runs first.
_TURNS = 20


class VirtualClock:
    """Keeps `ports.clock.Clock`. `sleep` moves the time on at once, in the order of the sleepers' deadlines.

    Where several tasks sleep, the one with the earliest deadline wakes first, and time never passes a sleeper. Tasks
    that wait for real input or output do not hold the time back: use a `SystemClock` with those.

    Args:
        start: the time of day at the beginning, aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 5, 3, 15, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._jump = timedelta()
        self._boot, self._booted = 1, 0.0
        self._order = itertools.count()
        self._moves = 0
        self._sleepers: list[tuple[float, int]] = []

    def now(self) -> datetime:
        """The virtual time of day."""
        return self._start + self._jump + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds since the beginning; unmoved by `jump`."""
        return self._elapsed

    def anchor(self) -> Anchor:
        """See `Clock.anchor`; moved neither by `jump` nor by a new process, begun anew by `reboot`."""
        return Anchor(f"boot-{self._boot}", round(self._elapsed - self._booted, 3))

    async def sleep(self, seconds: float) -> None:
        """Wait virtual seconds: returns when all earlier sleepers woke and time has reached the deadline."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        me = (self._elapsed + seconds, next(self._order))
        heapq.heappush(self._sleepers, me)
        self._moves += 1
        try:
            while True:
                moves = self._moves
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                # a task that just woke is on its way to its next sleep, or wakes one that waits for it: let it
                if self._sleepers[0] == me and self._moves == moves:
                    break
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)
            self._moves += 1
        self._elapsed = max(self._elapsed, me[0])

    def advance(self, seconds: float) -> None:
        """Move the time on from outside; sleepers whose deadline has passed wake in their order."""
        self._elapsed += seconds

    def jump(self, by: timedelta) -> None:
        """The time of day jumps (a corrected clock); the monotonic time does not."""
        self._jump += by

    def reboot(self) -> None:
        """The machine starts anew, or another one takes over: anchors from before say nothing any more."""
        self._boot, self._booted = self._boot + 1, self._elapsed
