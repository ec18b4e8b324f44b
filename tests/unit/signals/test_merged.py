"""Several sources as one sampling; what the platform knows beside the metrics; what is wired for a profile."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from tests.unit.profile.faults import LOCAL
from tests.unit.signals.pages import GOOD, VOCABULARY
from tests.unit.signals.servers import hangs, says, serving

from codeblue import wiring
from codeblue.adapters.clock import SystemClock
from codeblue.adapters.http_prober import HttpProber
from codeblue.adapters.signals.facts import PlatformFacts
from codeblue.adapters.signals.merged import MergedSignals
from codeblue.adapters.signals.prometheus import PrometheusSignals
from codeblue.adapters.signals.scrape import ScrapedSignals
from codeblue.model.errors import Unreachable
from codeblue.model.signal import Reading, Sampling
from codeblue.ports.platform import Place
from codeblue.ports.signals import Signals
from codeblue.profile.load import load_text
from codeblue.profile.signals import Prometheus
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.signals import SignalsContract, assert_well_formed
from codeblue.testing.memory import MemoryPlatform
from codeblue.testing.memory_cluster import MemoryCluster, memory_template
from codeblue.testing.memory_signals import MemorySignals

MIB = 2**20


class Fixed:
    """A source that says the same each time, or hangs."""

    def __init__(self, sampling: Sampling | None) -> None:
        self.sampling, self.closed = sampling, 0

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        if self.sampling is None:
            await asyncio.Event().wait()
        assert self.sampling is not None
        return self.sampling

    async def close(self) -> None:
        self.closed += 1


async def merged(*samplings: Sampling | None, timeout_s: float = 0.05) -> Sampling:
    clock = VirtualClock()
    at = MergedSignals({f"s{n}": Fixed(s) for n, s in enumerate(samplings)}, clock, timeout_s=timeout_s)
    sampling = await at.sample(())
    assert_well_formed(sampling)
    return sampling


NOW = VirtualClock().now().timestamp()


async def test_what_was_measured_in_the_same_look_is_one_reading_of_a_pod() -> None:
    service = Reading("a", NOW + 0.1, requests=5.0, errors=1.0, oom_kills=1)
    platform = Reading("a", NOW + 0.2, working_set_bytes=90.0, memory_limit_bytes=100.0, oom_kills=2)
    other = Reading("b", NOW + 0.2, working_set_bytes=10.0)
    found = await merged(Sampling(NOW, (service,)), Sampling(NOW, (platform, other)))
    assert found.readings == (
        Reading("a", NOW + 0.1, 5.0, 1.0, working_set_bytes=90.0, memory_limit_bytes=100.0, oom_kills=3),
        other,
    )


async def test_what_prometheus_measured_before_stays_apart() -> None:
    """What the platform says now did not hold then; and a reading that is repeated does not change."""
    old = Reading("a", NOW - 40, requests=5.0)
    platform = Reading("a", NOW, oom_kills=2)
    for first, second in ((old, platform), (platform, old)):
        assert (await merged(Sampling(NOW, (first,)), Sampling(NOW, (second,)))).readings == (old, platform)


@pytest.mark.req("R7")
@pytest.mark.parametrize(
    ("service", "platform", "taken"),
    [
        ((90.0, 100.0), (50.0, 200.0), (90.0, 100.0)),
        ((90.0, None), (95.0, 200.0), (95.0, 200.0)),
        ((None, 100.0), (95.0, 200.0), (95.0, 200.0)),
        ((None, None), (95.0, None), (95.0, None)),
        ((90.0, None), (95.0, None), (90.0, None)),
        ((90.0, None), (None, 200.0), (90.0, 200.0)),
    ],
)
async def test_working_set_and_limit_belong_together(
    service: tuple[float | None, ...], platform: tuple[float | None, ...], taken: tuple[float | None, ...]
) -> None:
    def reading(memory: tuple[float | None, ...]) -> Reading:
        return Reading("a", NOW, requests=1.0, working_set_bytes=memory[0], memory_limit_bytes=memory[1])

    [found] = (await merged(Sampling(NOW, (reading(service),)), Sampling(NOW, (reading(platform),)))).readings
    assert (found.working_set_bytes, found.memory_limit_bytes) == taken


@pytest.mark.req("B5")
async def test_a_source_that_hangs_costs_its_own_readings_only() -> None:
    reading = Reading("a", NOW, requests=1.0)
    found = await merged(None, Sampling(NOW, (reading,), {"pod/b": "status 503"}))
    assert found.readings == (reading,)
    assert found.unknown == {"s0": "no answer within 0.05 s", "pod/b": "status 503"}


async def test_reasons_of_two_sources_about_one_pod_are_both_told() -> None:
    found = await merged(Sampling(NOW, unknown={"pod/a": "one"}), Sampling(NOW, unknown={"pod/a": "two"}))
    assert found.unknown == {"pod/a": "one; two"}


@pytest.mark.req("R7")
@pytest.mark.defect("D19")
async def test_the_platform_tells_of_memory_and_of_kills() -> None:
    clock = VirtualClock()
    cluster = MemoryCluster(clock, memory_template("1.0"), replicas=2)
    facts = PlatformFacts(MemoryPlatform(cluster), clock)
    one, two = sorted(p.name for p in cluster.pods())
    cluster.oom_kill(two)
    cluster.oom_kill(two)
    sampling = await facts.sample(())
    assert {(r.pod, r.oom_kills, r.working_set_bytes, r.memory_limit_bytes) for r in sampling.readings} == {
        (one, 0, 64.0 * MIB, 256.0 * MIB),
        (two, 2, 64.0 * MIB, 256.0 * MIB),
    }
    cluster.fail("facts", Unreachable("the API server is away"))
    assert (await facts.sample(())).unknown == {"platform": "the API server is away"}


@pytest.mark.parametrize(
    ("profile", "sources"),
    [
        ("", ["platform"]),
        ("contract: {metrics: /m}\n", ["scrape", "platform"]),
        ("signals: {source: prometheus, prometheus: {url: 'http://127.0.0.1:1'}}\n", ["prometheus", "platform"]),
    ],
)
async def test_what_a_profile_is_wired_to(profile: str, sources: list[str]) -> None:
    loaded, clock = load_text(LOCAL + profile), VirtualClock()
    cluster = MemoryCluster(clock, memory_template("1.0"))
    prober = HttpProber()
    at = wiring._signals(loaded, MemoryPlatform(cluster), prober, clock)
    assert isinstance(at, MergedSignals)
    assert list(at._sources) == sources
    queries = wiring.open_queries(loaded)
    assert (queries is not None) is ("prometheus" in sources)
    if queries is not None:
        assert (await queries.instant("up")).unknown == "no answer: ConnectError"
        await queries.close()
    await at.close()
    await prober.close()


class TestScraped(SignalsContract):
    @pytest.fixture
    async def stack(self) -> AsyncIterator[AsyncExitStack]:
        async with AsyncExitStack() as stack:
            yield stack

    @pytest.fixture
    async def prober(self) -> AsyncIterator[HttpProber]:
        prober = HttpProber()
        yield prober
        await prober.close()

    @pytest.fixture
    async def pods(self, stack: AsyncExitStack) -> Sequence[Place]:
        urls = [await stack.enter_async_context(serving(says(GOOD))) for _ in range(2)]
        return [Place(f"pod/{n}", url) for n, url in enumerate(urls)]

    @pytest.fixture
    def signals(self, prober: HttpProber) -> Signals:
        return ScrapedSignals(prober, "/metrics", VOCABULARY, SystemClock(), timeout_s=2)

    @pytest.fixture
    async def dead(self, stack: AsyncExitStack, prober: HttpProber) -> Signals:
        url = await stack.enter_async_context(serving(hangs))

        class Elsewhere(ScrapedSignals):
            async def sample(self, pods: Sequence[Place]) -> Sampling:
                return await super().sample([Place(place.name, url) for place in pods])

        return Elsewhere(prober, "/metrics", VOCABULARY, SystemClock(), timeout_s=0.5)


class TestMemory(SignalsContract):
    @pytest.fixture
    def pods(self) -> Sequence[Place]:
        return [Place("pod/a", "memory://a"), Place("pod/b", "memory://b")]

    @pytest.fixture
    def signals(self) -> Signals:
        return MemorySignals(VirtualClock(), lambda pod, at_s: Reading(pod, at_s, requests=at_s))

    @pytest.fixture
    def dead(self) -> Signals:
        signals = MemorySignals(VirtualClock())
        signals.blind = True
        return signals


class TestFacts(SignalsContract):
    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster(VirtualClock(), memory_template("1.0"))

    @pytest.fixture
    def pods(self, cluster: MemoryCluster) -> Sequence[Place]:
        return [Place(f"pod/{p.name}", "memory://") for p in cluster.pods()]

    @pytest.fixture
    def signals(self, cluster: MemoryCluster) -> Signals:
        return PlatformFacts(MemoryPlatform(cluster), SystemClock())

    @pytest.fixture
    def dead(self, cluster: MemoryCluster) -> Signals:
        cluster.fail("facts", Unreachable("away"))
        return PlatformFacts(MemoryPlatform(cluster), SystemClock())


class TestMerged(TestFacts):
    @pytest.fixture
    def signals(self, cluster: MemoryCluster) -> Signals:
        clock = SystemClock()
        sources: dict[str, Signals] = {
            "memory": MemorySignals(clock, lambda pod, at_s: Reading(pod, at_s, requests=1.0)),
            "platform": PlatformFacts(MemoryPlatform(cluster), clock),
        }
        return MergedSignals(sources, clock, timeout_s=1)

    @pytest.fixture
    def dead(self, cluster: MemoryCluster) -> Signals:
        cluster.fail("facts", Unreachable("away"))
        clock = SystemClock()
        dead = PrometheusSignals(Prometheus(url="http://127.0.0.1:1"), "api", VOCABULARY, clock, timeout_s=0.5)
        sources: dict[str, Signals] = {"prometheus": dead, "hangs": Fixed(None)}
        return MergedSignals(
            sources | {"platform": PlatformFacts(MemoryPlatform(cluster), clock)}, clock, timeout_s=0.5
        )

    async def test_both_are_in_one_reading(self, signals: Signals, pods: Sequence[Place]) -> None:
        sampling = await signals.sample(pods)
        assert len(sampling.readings) == len(pods)
        assert all(r.requests == 1.0 and r.memory_limit_bytes == 256 * MIB for r in sampling.readings)


async def test_sources_are_asked_at_the_same_time() -> None:
    began = time.monotonic()
    clock = SystemClock()
    hanging: dict[str, Signals] = {f"s{n}": Fixed(None) for n in range(5)}
    await MergedSignals(hanging, clock, timeout_s=0.2).sample(())
    assert time.monotonic() - began < 2
