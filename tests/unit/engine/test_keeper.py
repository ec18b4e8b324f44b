"""The lease is kept while we act; whoever was away too long renews first (B3)."""

import asyncio
from datetime import timedelta

import pytest
from tests.unit.world import Lab

from codeblue.engine.keeper import Keeper
from codeblue.model.change import Fence
from codeblue.model.errors import Forbidden, LeaseLost, Unreachable

DURATION_S = 15.0


class Bench:
    def __init__(self) -> None:
        self.lab = Lab()
        self.clock, self.cluster, self.lease = self.lab.clock, self.lab.cluster, self.lab.lease
        self.lost: list[LeaseLost] = []
        self.keeper = Keeper(self.lease, DURATION_S, self.clock, self._lost)

    async def _lost(self, error: LeaseLost) -> None:
        self.lost.append(error)

    def rob(self) -> None:
        """Another machine takes over."""
        holder, epoch, _ = self.cluster.holder
        self.cluster.holder = (f"not {holder}", epoch + 1, 0)

    @property
    def beats(self) -> int:
        return self.cluster.holder[2]


@pytest.fixture
async def bench():
    bench = Bench()
    yield bench
    await bench.keeper.release()


@pytest.mark.req("B3")
async def test_it_renews_three_times_in_the_leases_duration(bench: Bench) -> None:
    fence = await bench.keeper.acquire("me")
    assert fence.holder == "me"
    await bench.clock.sleep(DURATION_S * 4 + 1)
    assert bench.beats == 12
    assert await bench.keeper.fence() == fence
    assert bench.beats == 12, "a fresh lease needs no renewal before acting"


async def test_nobody_acts_without_a_lease(bench: Bench) -> None:
    with pytest.raises(LeaseLost, match="do not hold"):
        await bench.keeper.fence()


@pytest.mark.req("B3")
@pytest.mark.defect("D7")
async def test_who_was_frozen_renews_before_acting(bench: Bench) -> None:
    fence = await bench.keeper.acquire("me")
    bench.clock.advance(DURATION_S - 0.1)
    await bench.keeper.fence()
    assert bench.beats == 0, "not yet older than its duration"
    bench.clock.advance(0.1)
    assert await bench.keeper.fence() == fence
    assert bench.beats == 1


@pytest.mark.req("B3")
async def test_who_was_frozen_and_robbed_may_not_act(bench: Bench) -> None:
    await bench.keeper.acquire("me")
    bench.rob()
    bench.clock.advance(DURATION_S)
    with pytest.raises(LeaseLost):
        await bench.keeper.fence()


@pytest.mark.req("B3")
async def test_a_lease_that_ran_out_and_cannot_be_renewed_is_no_right_to_act(bench: Bench) -> None:
    await bench.keeper.acquire("me")
    bench.clock.advance(DURATION_S)
    bench.cluster.fail("renew", Unreachable("no API server"))
    with pytest.raises(Unreachable):
        await bench.keeper.fence()
    await bench.keeper.fence()  # the next renewal goes through


async def test_a_robbed_lease_is_noticed_in_the_background(bench: Bench) -> None:
    await bench.keeper.acquire("me")
    bench.rob()
    await bench.clock.sleep(DURATION_S / 3 + 0.1)
    assert len(bench.lost) == 1
    with pytest.raises(LeaseLost):
        await bench.keeper.fence()


@pytest.mark.parametrize("error", [Unreachable("no API server"), Forbidden("no right to patch leases")])
async def test_a_renewal_that_fails_once_is_tried_again(bench: Bench, error) -> None:
    await bench.keeper.acquire("me")
    bench.cluster.fail("renew", error)
    await bench.clock.sleep(DURATION_S + 0.1)
    assert bench.beats == 2
    assert not bench.lost


async def test_the_age_of_a_renewal_counts_from_its_beginning(bench: Bench) -> None:
    """A renewal that took ten seconds was written at its beginning, perhaps: only then it is surely that old."""
    await bench.keeper.acquire("me")
    renew = bench.lease.renew

    async def slow(fence: Fence) -> None:
        await renew(fence)
        bench.clock.advance(10)

    bench.lease.renew = slow  # type: ignore[method-assign]
    bench.clock.advance(DURATION_S)
    await bench.keeper.fence()
    bench.clock.advance(DURATION_S - 10)
    await bench.keeper.fence()
    assert bench.beats == 2


async def test_releasing_frees_it_at_once_and_may_be_done_twice(bench: Bench) -> None:
    await bench.keeper.acquire("me")
    await bench.keeper.release()
    assert bench.cluster.holder[0] == ""
    await bench.keeper.release()
    with pytest.raises(LeaseLost):
        await bench.keeper.fence()
    await asyncio.sleep(0)
    begun = bench.clock.now()
    assert (await bench.keeper.acquire("me")).epoch == 2
    assert bench.clock.now() - begun == timedelta(0), "a free lease is waited for"
