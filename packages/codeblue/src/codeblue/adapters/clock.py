"""The machine's own clocks: keeps `ports.clock.Clock`."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The time of day, the monotonic clock, and real waiting."""

    def now(self) -> datetime:
        """The time of day, aware UTC; it follows corrections of the machine's clock and can jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow; comparable within this process."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of real time; gives other tasks their turn even for zero or less."""
        await asyncio.sleep(max(0.0, seconds))
