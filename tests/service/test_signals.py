"""Bad releases of every kind, as the signals see them: the real service under traffic, its pages scraped and read."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.service.support.service import Service

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.http_prober import HttpProber
from codeblue.adapters.signals.scrape import ScrapedSignals
from codeblue.adapters.signals.series import Vocabulary
from codeblue.model.health import Outcome
from codeblue.model.signal import Reading
from codeblue.ports.platform import Place
from codeblue.profile.load import load_text

CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"]}
PROFILE = load_text(
    "version: 1\nservice: ai-diagnostics-api\nplatform: {kind: local, directory: /tmp/x}\n"
    "contract: {metrics: /metrics, health_database: /api/health/database, health_redis: /api/health/redis,\n"
    "  health_ai_services: /api/health/ai-services, processes: /api/operator/processes}\n"
)


@pytest.fixture
async def prober() -> AsyncIterator[HttpProber]:
    found = HttpProber()
    yield found
    await found.close()


def place(service: Service) -> Place:
    return Place("pod/pod-a", service.url)


async def look(prober: HttpProber, service: Service) -> Reading:
    """One look at the one pod; nothing of it may be unknown."""
    vocabulary = Vocabulary(PROFILE.signals.names, PROFILE.ignored_routes)
    scraped = ScrapedSignals(prober, "/metrics", vocabulary, SystemClock(), timeout_s=5)
    sampling = await scraped.sample((place(service),))
    assert sampling.unknown == {}
    [reading] = sampling.readings
    assert (reading.pod, reading.at_s >= sampling.at_s) == ("pod-a", True)
    return reading


async def probes(prober: HttpProber, service: Service, count: int = 30) -> None:
    """What a kubelet and Code Blue ask for in the meantime: more than the clients do."""
    for _ in range(count):
        for path in ("/api/health", "/api/health/database", "/metrics"):
            await prober.get(place(service), path, timeout_s=5)


def traffic(service: Service, count: int) -> list[int]:
    """Requests of clients, spread over both workers; their statuses."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda _: service.http.get("/api/version").status_code, range(count)))


async def cases(service: Service, count: int) -> list[int]:
    headers = service.auth()

    def ask(_: int) -> int:
        return service.http.post("/api/diagnostics", json=CASE, headers=headers).status_code

    def ask_all() -> list[int]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(ask, range(count)))

    return await asyncio.to_thread(ask_all)


def count(reading: Reading) -> tuple[float, float, float, float]:
    values = (reading.requests, reading.errors, reading.ai_calls, reading.ai_failures)
    assert None not in values
    return tuple(v or 0.0 for v in values)  # type: ignore[return-value]


async def test_a_good_release_has_everything_and_nothing_wrong(prober: HttpProber, launch, emulators) -> None:
    service = launch(**emulators.env, MEMORY_LIMIT_BYTES=str(2**30))
    service.get("/api/version")
    first = await look(prober, service)
    assert (first.errors, first.ai_calls, first.ai_failures) == (0.0, 0.0, 0.0), "counted from the start"
    await probes(prober, service)
    assert set(await asyncio.to_thread(traffic, service, 20)) == {200}
    assert set(await cases(service, 4)) == {201}
    last = await look(prober, service)
    assert [b - a for a, b in zip(count(first), count(last), strict=True)] == [24, 0, 4, 0]
    assert last.buckets[-2][0] > 30
    assert last.memory_limit_bytes == 2**30
    assert 0 < (last.working_set_bytes or 0) < 2**30


@pytest.mark.req("R4")
async def test_bad_health_is_seen_by_the_probe(prober: HttpProber, launch) -> None:
    service = launch(RELEASE_FAULT="health")
    probe = await prober.get(place(service), "/api/health", timeout_s=5)
    assert (probe.outcome, probe.status) == (Outcome.BREACH, 503)
    service.http.get("/api/version")
    assert count(await look(prober, service))[:2] == (1, 0), "a failing probe is no failing client"


@pytest.mark.req("R5")
async def test_errors_show_in_their_share_however_much_is_probed(prober: HttpProber, launch) -> None:
    service = launch(RELEASE_FAULT="errors:0.2")
    traffic(service, 2)
    first = await look(prober, service)
    await probes(prober, service)
    codes = await asyncio.to_thread(traffic, service, 100)
    last = await look(prober, service)
    requests, errors = (last.requests or 0) - (first.requests or 0), (last.errors or 0) - (first.errors or 0)
    assert (requests, errors) == (100, codes.count(500))
    assert 0.15 < errors / requests < 0.25


@pytest.mark.slow
@pytest.mark.req("R6")
@pytest.mark.defect("D18")
async def test_slowness_shows_above_thirty_seconds(prober: HttpProber, launch) -> None:
    """One worker's requests sleep side by side; the slow ones are all there is, however fast the probes are."""
    service = launch(RELEASE_FAULT="slow:31")
    first = await look(prober, service)
    service.http.timeout = 60
    asked = asyncio.create_task(asyncio.to_thread(traffic, service, 4))
    await probes(prober, service)
    assert set(await asked) == {200}
    last = await look(prober, service)
    before = dict(first.buckets) or {bound: 0.0 for bound, _ in last.buckets}
    grown = {bound: value - before[bound] for bound, value in last.buckets}
    assert (grown[30.0], grown[45.0], grown[math.inf]) == (0, 4, 4)


@pytest.mark.slow
@pytest.mark.req("R7")
async def test_memory_shows_against_its_limit(prober: HttpProber, launch, until) -> None:
    service = launch()
    service.get("/api/version")
    resting = (await look(prober, service)).working_set_bytes or 0
    service.process.close()
    leaky = launch(RELEASE_FAULT="memory:120", MEMORY_LIMIT_BYTES=str(int((resting + 100 * 2**20) / 0.95)))
    leaky.get("/api/version")

    def full() -> bool:
        used = leaky.metric("service_memory_working_set_bytes")
        return used / leaky.metric("service_memory_limit_bytes") > 0.95

    await asyncio.to_thread(until, "more than 95 %", full)
    reading = await look(prober, leaky)
    assert (reading.working_set_bytes or 0) / (reading.memory_limit_bytes or math.inf) > 0.95


@pytest.mark.req("R8")
async def test_failing_calls_of_the_model_show_in_their_share(prober: HttpProber, launch, emulators) -> None:
    service = launch(**emulators.env, RELEASE_FAULT="ai:0.5")
    first = await look(prober, service)
    codes = await cases(service, 20)
    last = await look(prober, service)
    calls, failures = (last.ai_calls or 0) - (first.ai_calls or 0), (last.ai_failures or 0) - (first.ai_failures or 0)
    assert (calls, failures) == (20, 20 - codes.count(201))
    assert failures / calls > 0.1


@pytest.mark.req("R8")
@pytest.mark.defect("D20")
async def test_a_provider_that_is_down_goes_on_failing_when_the_breaker_opens(
    prober: HttpProber, launch, emulators
) -> None:
    service = launch(**emulators.env)
    emulators.set("openrouter", "down")
    await cases(service, 20)
    first = await look(prober, service)
    codes = await cases(service, 20)
    last = await look(prober, service)
    assert codes.count(503) > 0, "the breaker is open"
    calls, failures = (last.ai_calls or 0) - (first.ai_calls or 0), (last.ai_failures or 0) - (first.ai_failures or 0)
    assert calls == failures == 20


@pytest.mark.req("R5", "R7")
async def test_a_worker_that_dies_takes_no_count_with_it(prober: HttpProber, launch, until) -> None:
    service = launch(MEMORY_LIMIT_BYTES=str(2**30))
    traffic(service, 20)
    first = await look(prober, service)
    victim = next(iter(service.each_worker()))
    os.kill(victim, signal.SIGKILL)
    until("a new worker", lambda: service.process.output.count('"event": "ready"') >= 3)
    last = await look(prober, service)
    assert (last.requests or 0) >= (first.requests or 0)
    assert last.memory_limit_bytes == 2**30
