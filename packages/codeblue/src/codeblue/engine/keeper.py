"""Keeps the lease while we act, and knows when we may no longer."""

import asyncio
from collections.abc import Awaitable, Callable

from codeblue.engine.crashpoint import hangpoint
from codeblue.model.change import Fence
from codeblue.model.errors import CodeBlueError, LeaseLost
from codeblue.ports.clock import Clock
from codeblue.ports.lease import Lease


class Keeper:
    """Renews a lease in the background, three times in its duration.

    A process that was frozen finds out here first: its lease is older than its duration, so `fence` renews before it
    answers, and the renewal fails when somebody else took over. What slips through, the target refuses (B3).
    """

    def __init__(
        self, lease: Lease, duration_s: float, clock: Clock, lost: Callable[[LeaseLost], Awaitable[None]]
    ) -> None:
        self._lease, self._duration_s, self._clock, self._lost = lease, duration_s, clock, lost
        self._fence: Fence | None = None
        self._renewed = 0.0
        self._task: asyncio.Task[None] | None = None

    async def acquire(self, holder: str, *, predecessor: str = "") -> Fence:
        """Become the holder and stay it. Errors as `Lease.acquire`."""
        begun = self._clock.monotonic()
        self._fence = await self._lease.acquire(holder, predecessor=predecessor)
        self._renewed = begun
        self._task = asyncio.create_task(self._keep(), name="lease keeper")
        return self._fence

    async def fence(self) -> Fence:
        """The right to act at this moment.

        Raises:
            LeaseLost: somebody else has it. Unreachable, Forbidden: it ran out and could not be renewed.
        """
        if self._fence is None:
            raise LeaseLost("We do not hold the lease.")
        if self._clock.monotonic() - self._renewed >= self._duration_s:
            await self._renew(self._fence)
        return self._fence

    async def release(self) -> None:
        """Give it up. Does nothing without one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._fence is not None:
            fence, self._fence = self._fence, None
            await self._lease.release(fence)

    async def _renew(self, fence: Fence) -> None:
        begun = self._clock.monotonic()
        await self._lease.renew(fence)
        self._renewed = begun

    async def _keep(self) -> None:
        while (fence := self._fence) is not None:
            await self._clock.sleep(self._duration_s / 3)
            await hangpoint("lease.renewing")
            try:
                await self._renew(fence)
            except LeaseLost as lost:
                self._fence = None
                await self._lost(lost)
                return
            except CodeBlueError:
                continue  # no answer, or no permission: the expiry still counts, and `fence` decides whether we may act
