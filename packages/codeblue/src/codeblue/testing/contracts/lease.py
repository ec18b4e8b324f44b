"""The contract of `ports.lease.Lease`.

A subclass gives the fixtures that raise `NotImplementedError` here. `pause` decides how long the suite takes: with a
virtual clock that both leases share it takes no time.
"""
# ruff: noqa: S101 - a contract suite is made of asserts

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from codeblue.model.change import Fence
from codeblue.model.errors import LeaseHeld, LeaseLost
from codeblue.ports.lease import Lease

_Pause = Callable[[float], Awaitable[None]]
_Stamped = Callable[[], Awaitable[int]]


@asynccontextmanager
async def renewing(lease: Lease, fence: Fence, duration_s: float, pause: _Pause) -> AsyncIterator[None]:
    """Somebody keeps the lease meanwhile."""
    stop = asyncio.Event()

    async def renew() -> None:
        while not stop.is_set():
            await pause(duration_s / 4)
            await lease.renew(fence)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        stop.set()
        await task


class LeaseContract:
    """Subclass it as `class TestX(LeaseContract)` and give the first five fixtures."""

    @pytest.fixture
    def lease(self) -> Lease:
        """The adapter under test, free at the start of each test."""
        raise NotImplementedError

    @pytest.fixture
    def rival(self) -> Lease:
        """The same lease as another process sees it, with the same duration."""
        raise NotImplementedError

    @pytest.fixture
    def duration_s(self) -> float:
        """How long an unrenewed lease lasts, in seconds."""
        raise NotImplementedError

    @pytest.fixture
    def pause(self) -> _Pause:
        """Waits on the clock that the leases use."""
        raise NotImplementedError

    @pytest.fixture
    def monotonic(self) -> Callable[[], float]:
        """The seconds of the clock that the leases use; real ones unless overridden."""
        return time.monotonic

    @pytest.fixture
    def stamped(self) -> _Stamped:
        """The epoch that the workload carries now."""
        raise NotImplementedError

    async def test_it_is_free_until_somebody_takes_it(self, lease: Lease, rival: Lease, duration_s: float) -> None:
        assert await lease.view() is None
        fence = await lease.acquire("a")
        assert fence.holder == "a"
        assert fence.epoch >= 1
        seen = await rival.view()
        assert seen is not None
        assert (seen.holder, seen.epoch) == ("a", fence.epoch)
        assert seen.duration_s == pytest.approx(duration_s)
        assert seen.renewed is None or seen.renewed.tzinfo is not None

    @pytest.mark.req("B3")
    async def test_the_epoch_is_on_the_workload_when_acquire_returns(self, lease: Lease, stamped: _Stamped) -> None:
        first = await lease.acquire("a")
        assert await stamped() == first.epoch
        await lease.release(first)
        second = await lease.acquire("b")
        assert second.epoch > first.epoch
        assert await stamped() == second.epoch

    @pytest.mark.defect("D7")
    async def test_a_second_one_is_refused_while_the_first_renews(
        self, lease: Lease, rival: Lease, duration_s: float, pause: _Pause, stamped: _Stamped
    ) -> None:
        fence = await lease.acquire("a")
        async with renewing(lease, fence, duration_s, pause):
            with pytest.raises(LeaseHeld, match="a") as refused:
                await rival.acquire("b")
        assert refused.value.remedy
        assert await stamped() == fence.epoch
        seen = await rival.view()
        assert seen is not None
        assert seen.holder == "a"

    @pytest.mark.defect("D7")
    async def test_one_that_is_given_up_while_we_watch_is_a_reason_to_decide_again(
        self, lease: Lease, rival: Lease, duration_s: float, pause: _Pause
    ) -> None:
        fence = await lease.acquire("a")
        waiting = asyncio.create_task(rival.acquire("b"))
        await pause(duration_s / 4)
        await lease.release(fence)
        with pytest.raises(LeaseHeld) as refused:
            await waiting
        assert refused.value.remedy
        assert (await rival.acquire("b")).epoch > fence.epoch

    async def test_one_that_is_not_renewed_is_taken_over_and_the_former_holder_finds_out(
        self, lease: Lease, rival: Lease, stamped: _Stamped
    ) -> None:
        former = await lease.acquire("a")
        latest = await rival.acquire("b")
        assert latest.epoch > former.epoch
        assert await stamped() == latest.epoch
        with pytest.raises(LeaseLost):
            await lease.renew(former)
        await lease.release(former)
        seen = await lease.view()
        assert seen is not None, "a former holder cannot release it"
        assert (seen.holder, seen.epoch) == ("b", latest.epoch)

    async def test_a_late_renewal_counts_as_long_as_nobody_took_over(
        self, lease: Lease, duration_s: float, pause: _Pause
    ) -> None:
        fence = await lease.acquire("a")
        await pause(duration_s * 1.5)
        await lease.renew(fence)
        seen = await lease.view()
        assert seen is not None
        assert seen.epoch == fence.epoch

    async def test_releasing_frees_it_at_once_and_may_be_repeated(self, lease: Lease, rival: Lease) -> None:
        fence = await lease.acquire("a")
        await lease.release(fence)
        await lease.release(fence)
        assert await rival.view() is None
        with pytest.raises(LeaseLost):
            await lease.renew(fence)
        assert (await rival.acquire("b")).epoch > fence.epoch

    async def test_a_dead_predecessor_is_succeeded_without_waiting(
        self, lease: Lease, rival: Lease, stamped: _Stamped, duration_s: float, monotonic: Callable[[], float]
    ) -> None:
        dead = await lease.acquire("a")
        started = monotonic()
        heir = await rival.acquire("b", predecessor="a")
        assert monotonic() - started < duration_s / 2
        assert heir.epoch > dead.epoch
        assert await stamped() == heir.epoch
        with pytest.raises(LeaseLost):
            await lease.renew(dead)

    async def test_another_predecessor_gives_no_right(
        self, lease: Lease, rival: Lease, duration_s: float, pause: _Pause
    ) -> None:
        fence = await lease.acquire("a")
        async with renewing(lease, fence, duration_s, pause):
            with pytest.raises(LeaseHeld):
                await rival.acquire("b", predecessor="c")

    @pytest.mark.req("B3")
    async def test_of_many_at_the_same_time_one_holds_it(self, lease: Lease, rival: Lease) -> None:
        """Each new epoch voids the one before, so at the end exactly one fence is still good."""
        first = await lease.acquire("dead")

        async def take(client: Lease, name: str) -> Fence | None:
            try:
                return await client.acquire(name)
            except LeaseHeld:
                return None

        results = await asyncio.gather(*(take(c, f"n{i}") for i, c in enumerate([lease, rival] * 3)))
        fences = [f for f in results if f is not None]
        assert fences
        assert len({f.epoch for f in fences}) == len(fences)
        assert all(f.epoch > first.epoch for f in fences)
        alive = 0
        for fence in fences:
            try:
                await lease.renew(fence)
                alive += 1
            except LeaseLost:
                pass
        assert alive == 1
