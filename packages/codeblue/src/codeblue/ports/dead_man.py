"""Somebody outside who notices when we fall silent."""

from typing import Protocol


class DeadMan(Protocol):
    """A service that expects a sign of life at regular times and calls people when it stays away (healthchecks.io …).

    Its duty is the opposite of a page: nothing is sent when something is wrong, so that it works also where we cannot.
    """

    async def ping(self) -> None:
        """Give one sign of life. Bounded to 10 s.

        Raises:
            Temporary: it did not arrive, or was refused; the next one is tried at its own time. The message never holds
                the address: who knows it can keep a dead Code Blue alive.
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
