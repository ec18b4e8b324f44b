"""The machine's own clocks: keeps `ports.clock.Clock`. Who only needs the time of day does not load asyncio for it."""

import hashlib
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from codeblue.model.anchor import Anchor

#: A laptop that slept has not renewed its lease: its sleep counts. Where the system has no such clock, the usual one.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_PROC = Path("/proc")


class SystemClock:
    """The time of day, the monotonic clock, and real waiting."""

    def __init__(self) -> None:
        self._boot = ""

    def now(self) -> datetime:
        """The time of day, aware UTC; it follows corrections of the machine's clock and can jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow, a suspended machine's sleep included; comparable within this process."""
        return time.clock_gettime(_BOOTTIME)

    def anchor(self) -> Anchor:
        """See `Clock.anchor`. Where the system does not tell its boot, only this object's readings are comparable."""
        if not self._boot:
            self._boot = _boot(_PROC)
        return Anchor(self._boot, round(time.clock_gettime(_BOOTTIME), 3))

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of real time; gives other tasks their turn even for zero or less."""
        import asyncio

        await asyncio.sleep(max(0.0, seconds))


def _boot(proc: Path) -> str:
    """A digest of this boot of this machine, and of the namespace of its time (a container can have its own)."""
    try:
        told = [(proc / "sys/kernel/random/boot_id").read_text("ascii").strip()]
    except (OSError, UnicodeDecodeError):
        return f"process-{os.urandom(8).hex()}"
    with suppress(OSError):  # before Linux 5.6 there is one for all
        told.append(str((proc / "self/ns/time").readlink()))
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:16]
