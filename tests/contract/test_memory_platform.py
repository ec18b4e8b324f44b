"""The in-memory adapters keep the same contracts as the real ones, so tests that use them prove something."""

from collections.abc import Awaitable, Callable

import pytest

from codeblue.model.change import Fence
from codeblue.model.errors import Unreachable
from codeblue.model.release import Workload
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.lease import LeaseContract
from codeblue.testing.contracts.platform import PlatformContract
from codeblue.testing.memory import MemoryLease, MemoryPlatform
from codeblue.testing.memory_cluster import Behaviour, MemoryCluster, memory_template


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def cluster(clock: VirtualClock) -> MemoryCluster:
    return MemoryCluster(clock, memory_template("1.0"))


class TestMemoryPlatform(PlatformContract):
    @pytest.fixture
    def platform(self, cluster: MemoryCluster) -> MemoryPlatform:
        return MemoryPlatform(cluster)

    @pytest.fixture
    def other(self, cluster: MemoryCluster) -> MemoryPlatform:
        return MemoryPlatform(cluster)

    @pytest.fixture
    def pause(self, clock: VirtualClock) -> Callable[[float], Awaitable[None]]:
        return clock.sleep

    @pytest.fixture
    def deploy(self, cluster: MemoryCluster):
        async def deploy(version: str, *, reference: str = "token-a") -> None:
            cluster.deploy(memory_template(version, reference=reference))

        return deploy

    @pytest.fixture
    def deploy_broken(self, cluster: MemoryCluster):
        async def deploy(version: str, *, reference: str = "token-a") -> None:
            cluster.behave(version, Behaviour(ready_after_s=None, trouble="CrashLoopBackOff"))
            cluster.deploy(memory_template(version, reference=reference))

        return deploy

    @pytest.fixture
    def settled(self, platform: MemoryPlatform, clock: VirtualClock):
        async def settled() -> Workload:
            for _ in range(300):
                seen = await platform.observe()
                counts = (seen.total, seen.updated, seen.available, len(seen.pods))
                if seen.observed_generation == seen.generation and counts == (seen.desired,) * 4:
                    return seen
                await clock.sleep(0.5)
            raise AssertionError(f"not settled after 150 virtual seconds: {seen}")

        return settled

    @pytest.fixture
    def fence(self, cluster: MemoryCluster):
        async def fence() -> Fence:
            return await MemoryLease(cluster).acquire(f"holder-{cluster.epoch}", predecessor=cluster.holder[0])

        return fence


class TestMemoryLease(LeaseContract):
    @pytest.fixture
    def duration_s(self) -> float:
        return 15.0

    @pytest.fixture
    def lease(self, cluster: MemoryCluster) -> MemoryLease:
        return MemoryLease(cluster)

    @pytest.fixture
    def rival(self, cluster: MemoryCluster) -> MemoryLease:
        return MemoryLease(cluster)

    @pytest.fixture
    def pause(self, clock: VirtualClock):
        return clock.sleep

    @pytest.fixture
    def monotonic(self, clock: VirtualClock):
        return clock.monotonic

    @pytest.fixture
    def stamped(self, cluster: MemoryCluster):
        async def stamped() -> int:
            return cluster.epoch

        return stamped


async def test_a_lost_answer_leaves_the_change_in_force_and_the_second_attempt_refused(cluster: MemoryCluster) -> None:
    platform = MemoryPlatform(cluster)
    right = await MemoryLease(cluster).acquire("a")
    change = platform.replace_template(await platform.observe(), memory_template("2.0"), {}, at_once=False, run="r")
    cluster.fail("apply", Unreachable("no answer"), accepted=True)
    with pytest.raises(Unreachable):
        await platform.apply(change, right)
    assert (await platform.observe()).template.version == "2.0"
    assert len(cluster.accepted) == 1


async def test_a_rollout_takes_virtual_time_in_the_same_steps(clock: VirtualClock, cluster: MemoryCluster) -> None:
    platform = MemoryPlatform(cluster)
    cluster.deploy(memory_template("2.0"))
    seen = []
    for _ in range(9):
        w = await platform.observe()
        seen.append((w.observed_generation, w.total, w.updated, w.available))
        await clock.sleep(0.5)
    assert seen[:3] == [(1, 3, 0, 3), (2, 4, 1, 3), (2, 4, 1, 3)]
    assert seen[-1] == (2, 3, 3, 3)
    assert all(available >= 3 for *_, available in seen)
