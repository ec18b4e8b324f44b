"""The signals from a real Prometheus that scrapes the real service."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests import prometheus
from tests.prometheus import Prometheus
from tests.service.support.service import Service

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.signals.prometheus import PrometheusSignals
from codeblue.adapters.signals.series import Vocabulary
from codeblue.model.signal import Sampling
from codeblue.ports.platform import Place
from codeblue.profile import signals as profile
from codeblue.testing.contracts.signals import SignalsContract

JOB = "ai-diagnostics-api"
VOCABULARY = Vocabulary(profile.Names(), frozenset({"/api/health", "/metrics"}))
UP = f'up{{job="{JOB}"}}'


def signals(url: str, *, timeout_s: float = 5.0, job: str = JOB, **more: object) -> PrometheusSignals:
    at = profile.Prometheus.model_validate({"url": url, **more})
    return PrometheusSignals(at, job, VOCABULARY, SystemClock(), timeout_s=timeout_s)


@pytest.fixture(scope="module")
def server(_steady: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrapes the service as pod-a, and a second target where nobody listens as pod-b."""
    target = urlsplit(_steady.url).netloc
    jobs = {
        JOB: [{"targets": [target], "labels": {"pod": "pod-a", "odd": 'a "quoted" \\ label & more'}}],
        "elsewhere": [{"targets": ["127.0.0.1:1"], "labels": {"pod": "pod-b"}}],
        "bare": [{"targets": [target]}],
    }
    with prometheus.running(tmp_path_factory.mktemp("prometheus"), jobs) as found:
        yield found


@pytest.fixture
async def at(server: Prometheus) -> AsyncIterator[PrometheusSignals]:
    found = signals(server.url)
    yield found
    await found.close()


class TestContract(SignalsContract):
    @pytest.fixture
    def pods(self, server: Prometheus) -> Sequence[Place]:
        server.until(f"{UP} == 1")
        return [Place("pod/pod-a", "http://10.0.0.1:5000")]

    @pytest.fixture
    def signals(self, at: PrometheusSignals) -> PrometheusSignals:
        return at

    @pytest.fixture
    def dead(self) -> PrometheusSignals:
        return signals("http://127.0.0.1:1")


async def newest(at: PrometheusSignals, pods: tuple[Place, ...] = ()) -> Sampling:
    sampling = await at.sample(pods)
    assert not sampling.unknown
    return sampling


@pytest.mark.req("R5", "R6", "R7", "R8")
async def test_raw_samples_are_readings_with_the_moments_of_prometheus(
    server: Prometheus, at: PrometheusSignals, steady: Service
) -> None:
    before = steady.metric("http_requests_total", route="/api/version")
    for _ in range(7):
        steady.get("/api/version")
    total = f'http_requests_total{{job="{JOB}",route="/api/version"}}'
    server.until(f"{total} == {before + 7}")
    server.until(f"count_over_time({total}[1m]) > 3")
    sampling = await newest(at)
    readings = sampling.readings
    assert {r.pod for r in readings} == {"pod-a"}
    moments = [r.at_s for r in readings]
    assert moments == sorted(moments) and len(set(moments)) == len(moments) > 1
    assert abs(time.time() - moments[-1]) < 5
    last = readings[-1]
    others = server.ask(f'sum(http_requests_total{{job="{JOB}",route!~"/api/health|/metrics"}})')
    assert last.requests == float(others[0]["value"][1])
    assert last.errors == 0
    assert last.ai_calls is not None and last.ai_failures is not None
    assert last.working_set_bytes is not None and last.working_set_bytes > 5e6
    assert last.buckets[-1][0] == float("inf") and last.buckets[-2][0] == 120.0
    assert last.buckets[-1][1] == last.requests, "one observation for each request of a client"


@pytest.mark.req("R23")
@pytest.mark.defect("D34")
async def test_the_query_reaches_the_server_letter_by_letter(server: Prometheus, at: PrometheusSignals) -> None:
    server.until(f"{UP} == 1")
    answer = await at.instant(UP)
    assert [(p.labels["job"], p.labels["pod"], p.value) for p in answer.points] == [(JOB, "pod-a", 1.0)]
    assert abs(answer.points[0].at_s - time.time()) < 10
    assert UP in server.queries()
    # what the document's command line makes of it: the braces and the quotes are gone, and the server refuses it
    assert (await at.instant(f"upjob={JOB}")).unknown == "status 400: Prometheus says bad_data"


@pytest.mark.defect("D34")
async def test_quotes_backslashes_and_ampersands_of_a_label_arrive(server: Prometheus) -> None:
    odd = signals(server.url, match={"odd": 'a "quoted" \\ label & more'})
    server.until(f"{UP} == 1")
    assert (await newest(odd)).readings
    assert (await odd.instant("1 + 1")).points[0].value == 2, "a plus is no blank"
    assert (await odd.instant('label_replace(vector(7), "x", "ü €%41", "", "")')).points[0].labels == {"x": "ü €%41"}
    await odd.close()


@pytest.mark.req("B5")
@pytest.mark.defect("D34")
async def test_an_empty_result_is_unknown(server: Prometheus) -> None:
    nobody = signals(server.url, job="a-job-that-nobody-has")
    sampling = await nobody.sample(())
    assert sampling.readings == ()
    assert "empty result" in sampling.unknown["prometheus"]
    assert (await nobody.instant('up{job="a-job-that-nobody-has"}')).unknown == "an empty result: no series matches"
    await nobody.close()


@pytest.mark.req("B5")
async def test_a_pod_that_prometheus_cannot_scrape_is_unknown(server: Prometheus) -> None:
    server.until('up{job="elsewhere"} == 0')
    down = signals(server.url, job="elsewhere")
    sampling = await down.sample((Place("pod/pod-b", "http://127.0.0.1:1"),))
    assert sampling.readings == ()
    assert sampling.unknown["pod/pod-b"] == "Prometheus could not scrape it the last time"
    await down.close()


async def test_a_pod_that_prometheus_has_not_seen_is_unknown(server: Prometheus, at: PrometheusSignals) -> None:
    server.until(f"{UP} == 1")
    sampling = await at.sample(
        (Place("pod/pod-a", "http://10.0.0.1:5000"), Place("pod/pod-new", "http://10.0.0.2:5000"))
    )
    assert {r.pod for r in sampling.readings} == {"pod-a"}
    assert list(sampling.unknown) == ["pod/pod-new"]


async def test_without_a_label_of_the_pod_its_address_names_it(server: Prometheus, steady: Service) -> None:
    server.until('up{job="bare"} == 1')
    bare = signals(server.url, job="bare")
    sampling = await newest(bare, (Place("pod/api-1", steady.url),))
    assert {r.pod for r in sampling.readings} == {"api-1"}
    assert {r.pod for r in (await newest(bare)).readings} == {urlsplit(steady.url).netloc}
    await bare.close()


@pytest.mark.req("B5")
async def test_a_frozen_prometheus_is_unknown_within_the_limit(server: Prometheus) -> None:
    slow = signals(server.url, timeout_s=0.5)
    server.until(f"{UP} == 1")
    assert (await slow.sample(())).readings
    server.freeze()
    try:
        began = time.monotonic()
        sampling = await slow.sample(())
        assert time.monotonic() - began < 2
        assert sampling.readings == ()
        assert sampling.unknown == {"prometheus": "no complete answer within 0.5 s"}
        assert (await slow.instant(UP)).unknown == "no complete answer within 0.5 s"
    finally:
        server.thaw()
    server.until(UP)
    assert (await slow.sample(())).readings
    await slow.close()


@pytest.mark.req("B5")
async def test_a_dead_prometheus_is_unknown(steady: Service, tmp_path: Path) -> None:
    jobs = {JOB: [{"targets": [urlsplit(steady.url).netloc], "labels": {"pod": "pod-a"}}]}
    with prometheus.running(tmp_path, jobs) as own:
        own.until(f"{UP} == 1")
        at = signals(own.url)
        assert (await newest(at)).readings
        assert own.process.stop() == 0
        sampling = await at.sample(())
    assert sampling.readings == ()
    assert sampling.unknown["prometheus"].startswith("no answer: ConnectError")
    await at.close()


@pytest.mark.req("B5")
async def test_an_expression_that_it_refuses_is_unknown(at: PrometheusSignals) -> None:
    assert (await at.instant("rate(")).unknown == "status 400: Prometheus says bad_data"
    assert (await at.instant('"a text"')).unknown == "the result is no vector or scalar"


#: bcrypt of "a password, with:colon", which Prometheus compares with.
HASHED = "$2b$04$abcdefghijklmnopqrstuuJJV1vZoKRL6XQ2g.t2Z6KPEHQ.IyVsK"


@pytest.mark.req("B5")
async def test_credentials_are_sent_and_read_anew_each_time(steady: Service, tmp_path: Path) -> None:
    """Against Prometheus' own basic authentication."""
    (tmp_path / "web.yml").write_text(json.dumps({"basic_auth_users": {"code-blue": HASHED}}), encoding="utf-8")
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("a former password\n", encoding="utf-8")
    jobs = {JOB: [{"targets": [urlsplit(steady.url).netloc], "labels": {"pod": "pod-a"}}]}
    with prometheus.running(tmp_path, jobs, arguments=[f"--web.config.file={tmp_path / 'web.yml'}"]) as own:
        at = signals(own.url, username="code-blue", password={"file": str(password)})
        nobody = signals(own.url)
        for refused in (at, nobody):
            sampling = await refused.sample(())
            assert sampling.unknown == {"prometheus": "status 401, and the answer is not JSON"}
        password.write_text("a password, with:colon\n", encoding="utf-8")
        deadline = time.monotonic() + 20
        while not (sampling := await at.sample(())).readings:
            assert time.monotonic() < deadline, sampling.unknown
        password.unlink()
        [why] = (await at.sample(())).unknown.values()
        assert "signals.prometheus.password" in why
        for one in (at, nobody):
            await one.close()
