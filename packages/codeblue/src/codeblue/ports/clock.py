"""Time comes from one place, so that tests can run on a virtual one."""

from datetime import datetime
from typing import Protocol

from codeblue.model.anchor import Anchor, Moment


class Clock(Protocol):
    """The time of day for records, the monotonic time for waiting, and an anchor for what outlives a process."""

    def now(self) -> datetime:
        """The time of day, aware UTC. It can jump; never subtract two of them to wait."""

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary start, within this process."""

    def anchor(self) -> Anchor:
        """Seconds that only grow, comparable between processes as long as the machine is up; corrections of the time of
        day do not move them."""

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero or less."""


def moment_of(clock: Clock) -> Moment:
    """This moment by both."""
    return Moment(clock.now(), clock.anchor())
