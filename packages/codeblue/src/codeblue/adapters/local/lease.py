"""The lease port beside a local workload: a file, changed under the lock of the workload's state."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from codeblue.adapters.local import store
from codeblue.adapters.local.files import Json, Layout, locked, read_json, write_json
from codeblue.adapters.local.state import to_json
from codeblue.model.change import Fence, LeaseView
from codeblue.model.errors import LeaseHeld, LeaseLost, NotFound, Unreachable
from codeblue.ports.clock import Clock

T = TypeVar("T")

#: Seconds that one call may take, besides the watching of `acquire`.
CALL_S = 10.0


class LocalLease:
    """Keeps `ports.lease.Lease` for the workload in a directory.

    Lease and workload change under one lock, so there is no moment at which the new holder has the lease and the
    workload still takes changes of the former one.

    Args:
        directory: of the workload.
        clock: that expiry is judged by.
        duration_s: how long an unrenewed lease lasts.
    """

    def __init__(self, directory: Path, clock: Clock, *, duration_s: float = 15.0) -> None:
        self._layout, self._clock, self._duration_s = Layout(directory), clock, duration_s

    async def view(self) -> LeaseView | None:
        """See `Lease.view`."""
        data = await self._call(self._read)
        if not data["holder"]:
            return None
        return LeaseView(data["holder"], data["epoch"], datetime.fromisoformat(data["renewed"]), data["duration_s"])

    async def acquire(self, holder: str, *, predecessor: str = "") -> Fence:
        """See `Lease.acquire`."""
        watched = await self._call(self._read)
        since = self._clock.monotonic()
        while True:
            free = watched["holder"] in ("", holder, predecessor)
            if free or self._clock.monotonic() - since > watched["duration_s"]:
                fence = await self._call(partial(self._take, holder, watched))
                if fence is not None:
                    return fence
            now = await self._call(self._read)
            if now != watched and now["holder"] not in ("", holder, predecessor):
                raise LeaseHeld(
                    f"{now['holder']} acts on {self._layout.directory} at this moment (epoch {now['epoch']}); it "
                    f"renewed its lease while we watched. Nothing was changed.",
                    remedy="Look at its run with `codeblue run list` there, and let it finish or abort it there.",
                )
            if now != watched and watched["holder"] not in ("", holder, predecessor):
                raise LeaseHeld(
                    f"{watched['holder']} acted on {self._layout.directory} until a moment ago. Nothing was changed.",
                    remedy="Look at how it is now (`codeblue check --live`), then decide again.",
                )
            if now != watched:
                watched, since = now, self._clock.monotonic()
                continue
            await self._clock.sleep(self._duration_s / 10)

    async def renew(self, fence: Fence) -> None:
        """See `Lease.renew`."""
        await self._call(lambda: self._renew(fence))

    async def release(self, fence: Fence) -> None:
        """See `Lease.release`."""
        await self._call(lambda: self._release(fence))

    def _read(self) -> Json:
        """The lease as it is; a free one where there is none."""
        data = read_json(self._layout.lease)
        if data is None:
            return {"holder": "", "epoch": 0, "beat": 0, "renewed": "", "duration_s": self._duration_s}
        try:
            return {
                "holder": str(data["holder"]),
                "epoch": int(data["epoch"]),
                "beat": int(data["beat"]),
                "renewed": str(data["renewed"]),
                "duration_s": float(data["duration_s"]),
            }
        except (KeyError, TypeError, ValueError) as error:
            raise Unreachable(
                f"{self._layout.lease} is damaged: {error}.",
                remedy="Make sure that no Code Blue acts on this service, then remove it; the epoch goes on.",
            ) from error

    def _take(self, holder: str, expected: Json) -> Fence | None:
        """Become the holder if the lease still is what was seen; None otherwise."""
        with self._locked():
            if self._read() != expected:
                return None
            state = store.load(self._layout)
            epoch = max(expected["epoch"], state.epoch) + 1
            # The lease first: a crash in between leaves a dead holder, and a dead holder is taken over in time.
            self._write(holder, epoch, expected["beat"] + 1)
            write_json(self._layout.state, to_json(state.with_epoch(epoch)))
        return Fence(holder=holder, epoch=epoch, lease=str(self._layout.lease))

    def _renew(self, fence: Fence) -> None:
        with self._locked():
            now = self._read()
            if (now["holder"], now["epoch"]) != (fence.holder, fence.epoch):
                raise LeaseLost(
                    f"The lease of {self._layout.directory} is held by {now['holder'] or 'nobody'} in epoch "
                    f"{now['epoch']}; ours was epoch {fence.epoch}.",
                    remedy="It was taken over, changed or deleted: find out who acts now; this one stands down.",
                )
            self._write(fence.holder, fence.epoch, now["beat"] + 1)

    def _release(self, fence: Fence) -> None:
        with self._locked():
            now = self._read()
            if (now["holder"], now["epoch"]) == (fence.holder, fence.epoch):
                self._write("", fence.epoch, now["beat"] + 1)

    def _write(self, holder: str, epoch: int, beat: int) -> None:
        data = {
            "holder": holder,
            "epoch": epoch,
            "beat": beat,
            "renewed": self._clock.now().isoformat(),
            "duration_s": self._duration_s,
        }
        write_json(self._layout.lease, data)

    def _locked(self) -> AbstractContextManager[None]:
        if not self._layout.state.exists():
            raise NotFound(f"There is no local workload in {self._layout.directory}.", remedy="Start one there first.")
        return locked(self._layout.lock)

    async def _call(self, what: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(CALL_S):
                return await asyncio.to_thread(what)
        except TimeoutError as error:
            raise Unreachable(f"The lease in {self._layout.directory} did not answer within {CALL_S:g} s.") from error
