"""The machine's own clocks: keeps `ports.clock.Clock`. Who only needs the time of day does not load asyncio for it."""

import time
from datetime import UTC, datetime

#: A laptop that slept has not renewed its lease: its sleep counts. Where the system has no such clock, the usual one.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The time of day, the monotonic clock, and real waiting."""

    def now(self) -> datetime:
        """The time of day, aware UTC; it follows corrections of the machine's clock and can jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow, a suspended machine's sleep included; comparable within this process."""
        return time.clock_gettime(_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of real time; gives other tasks their turn even for zero or less."""
        import asyncio

        await asyncio.sleep(max(0.0, seconds))
