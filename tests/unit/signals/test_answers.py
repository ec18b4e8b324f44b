"""Answers that a Prometheus, or what stands in its place, can give: unknown with a reason, within bounds."""

import asyncio
import json
import math
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.signals.pages import VOCABULARY
from tests.unit.signals.servers import Behaviour, hangs, pours, says, sends, serving

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.signals.prometheus import PrometheusSignals, selector
from codeblue.model.signal import Sampling
from codeblue.profile.signals import Prometheus

JSON = "application/json"


def signals(url: str, timeout_s: float = 2.0, **more: Any) -> PrometheusSignals:
    at = Prometheus.model_validate({"url": url, **more})
    return PrometheusSignals(at, "api", VOCABULARY, SystemClock(), timeout_s=timeout_s)


def answer(result: object, kind: str = "matrix", **more: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def series(name: str, *values: tuple[float, object], **labels: str) -> dict[str, object]:
    metric = {"__name__": name, "pod": "a", "instance": "10.0.0.1:80", **labels}
    return {"metric": metric, "values": [[at, str(value)] for at, value in values]}


async def look(behave: Behaviour, timeout_s: float = 2.0) -> Sampling:
    async with serving(behave) as url:
        at = signals(url, timeout_s)
        try:
            return await at.sample(())
        finally:
            await at.close()


async def test_samples_of_one_scrape_are_one_reading() -> None:
    result = [
        series("http_requests_total", (100, 5), (115, 8), status="200"),
        series("http_requests_total", (115, 2), status="503"),
        series("ai_failures_total", (100, 1), (115, 1)),
        series("up", (100, 1), (115, 1)),
    ]
    sampling = await look(says(answer(result), kind=JSON))
    assert [(r.pod, r.at_s, r.requests, r.errors, r.ai_failures, r.ai_calls) for r in sampling.readings] == [
        ("a", 100.0, 5.0, 0.0, 1.0, None),
        ("a", 115.0, 10.0, 2.0, 1.0, None),
    ]
    assert sampling.unknown == {}


async def test_two_targets_of_one_pod_are_not_mixed_up() -> None:
    """Their counters, one after the other, would look like one that restarts with every scrape."""
    own = series("http_requests_total", (100, 1000), (115, 1001), status="200")
    other = series("http_requests_total", (101, 5), (116, 6), status="200", instance="10.0.0.1:90")
    sampling = await look(says(answer([own, other])))
    assert sampling.readings == ()
    assert "two targets" in sampling.unknown["pod/a"]
    moved = series("http_requests_total", (130, 2), (145, 3), status="200", instance="10.0.0.9:80")
    assert [r.requests for r in (await look(says(answer([own, moved])))).readings] == [1000, 1001, 2, 3]


async def test_damaged_values_are_unknown_and_the_rest_is_read() -> None:
    result = [
        series("http_requests_total", (100, "NaN"), status="200"),
        series("ai_failures_total", (100, 1)),
    ]
    sampling = await look(says(answer(result)))
    [reading] = sampling.readings
    assert (reading.requests, reading.errors, reading.ai_failures) == (None, None, 1.0)
    assert sampling.unknown == {"pod/a": "http_requests_total is NaN"}


GOOD = [series("http_requests_total", (100, 5), status="200")]
DEEP = '{"status":"success","data":' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.req("B5")
@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (says(answer([])), "empty result"),
        (says(answer([series("http_requests_total", status="200")])), "empty result"),
        (says(answer([series("up", (100, 1))])), "empty result"),
        (says(answer(GOOD, warnings=["remote read failed"])), "warnings"),
        (says(json.dumps({"status": "error", "errorType": "timeout", "error": "secret text"}), 503), "says timeout"),
        (says(json.dumps({"status": "error", "errorType": "<script>"}), 422), "an error without a kind"),
        (says(answer(GOOD), 503), "status 503"),
        (says("upstream connect error", 503), "status 503, and the answer is not JSON"),
        (says("<html>sign in</html>", kind="text/html"), "not JSON"),
        (says(answer(GOOD), 302), "status 302"),
        (says(answer(GOOD)[:-20]), "not JSON"),
        (says(answer(GOOD, "vector")), "no matrix"),
        (says(answer({"a": 1})), "no matrix"),
        (says("[]"), "not one of Prometheus' API"),
        (says("null"), "not one of Prometheus' API"),
        (says('{"status": "success"}'), "no matrix"),
        (says(answer(["x"])), "is none"),
        (says(answer([{"metric": {"pod": 7}, "values": []}])), "is none"),
        (says(answer([{"metric": {}, "values": [[1, 2]]}])), "is none"),
        (says(answer([{"metric": {}, "values": [[True, "2"]]}])), "is none"),
        (says(answer([{"metric": {}, "values": [["1", "2"]]}])), "is none"),
        (says(answer([{"metric": {}, "values": [[10**400, "2"]]}])), "is none"),
        (says(answer([{"metric": {}, "values": [[1, "two"]]}])), "is none"),
        (says(answer(GOOD).replace("[[100", "[[NaN")), "not JSON"),
        (says(DEEP), "not JSON"),
        (says(b"\xff\xfe\x00"), "not JSON"),
        (says(b" " * (9 * 2**20)), "larger than 8 MiB"),
        (pours(b"x" * 65536), "larger than 8 MiB"),
        (sends(b"not HTTP at all\r\n\r\n"), "no answer: RemoteProtocolError"),
        (hangs, "no complete answer within 1 s"),
    ],
)
async def test_an_answer_that_is_none_is_unknown(behave: Behaviour, why: str) -> None:
    began = time.monotonic()
    sampling = await look(behave, timeout_s=1.0)
    assert time.monotonic() - began < 4
    assert sampling.readings == ()
    [said] = sampling.unknown.values()
    assert why in said
    assert "secret text" not in said and "<script>" not in said and "\n" not in said


async def test_nobody_listens() -> None:
    at = signals("http://127.0.0.1:1")
    assert (await at.sample(())).unknown == {"prometheus": "no answer: ConnectError"}
    assert (await at.instant("up")).unknown == "no answer: ConnectError"
    await at.close()


async def test_values_of_a_generic_query_may_be_any_number() -> None:
    result = [{"metric": {"a": "b"}, "value": [100.5, value]} for value in ("NaN", "+Inf", "-3")]
    async with serving(says(answer(result, "vector"))) as url:
        at = signals(url)
        found = await at.instant("0 / 0")
        await at.close()
    assert found.unknown == ""
    assert [p.at_s for p in found.points] == [100.5] * 3
    assert math.isnan(found.points[0].value) and [p.value for p in found.points[1:]] == [math.inf, -3]


@pytest.mark.defect("D33")
async def test_a_redirect_does_not_take_the_token_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def behave(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await says("", 302)(head, writer)

    monkeypatch.setenv("PROM_TOKEN", "a-token-of-the-tests")
    async with serving(behave) as url:
        at = signals(url + "/prefix/", token={"env": "PROM_TOKEN"})
        sampling = await at.sample(())
        await at.close()
    assert len(heads) == 1
    assert heads[0].startswith(b"GET /prefix/api/v1/query?query=%7B__name__%3D~")
    assert b"Authorization: Bearer a-token-of-the-tests\r\n" in heads[0] or b"authorization: Bearer" in heads[0]
    assert "a-token" not in repr(sampling)


async def test_a_token_that_cannot_be_read_or_sent_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROM_TOKEN", raising=False)
    at = signals("http://127.0.0.1:1", token={"env": "PROM_TOKEN"})
    assert "PROM_TOKEN is not set" in (await at.sample(())).unknown["prometheus"]
    monkeypatch.setenv("PROM_TOKEN", "zwei\nzeilen")
    assert "no header can carry" in (await at.sample(())).unknown["prometheus"]
    await at.close()


@pytest.mark.defect("D34")
def test_labels_are_quoted() -> None:
    assert selector(["up"], {"job": "ai-diagnostics-api"}) == '{__name__=~"up",job="ai-diagnostics-api"}'
    assert selector(["a", "b_total"], {"x": 'q"\\\n'}) == '{__name__=~"a|b_total",x="q\\"\\\\\\n"}'


async def test_a_hostile_answer_stays_within_bounds() -> None:
    many = answer([series("http_requests_total", (1, 1), status="200", path=str(n)) for n in range(40_000)])
    assert 5 * 2**20 < len(many) < 8 * 2**20
    async with serving(says(many)) as url:
        at = signals(url, 10)
        began = time.process_time()
        assert len((await at.sample(())).readings) == 1
        assert time.process_time() - began < 5
        tracemalloc.start()
        try:
            await at.sample(())
            assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
        finally:
            tracemalloc.stop()
            await at.close()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["success", "matrix", "1", "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["status", "data", "result", "resultType", "metric", "values", "x"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_no_answer_ends_in_a_traceback(result: object) -> None:
    for body in (json.dumps(result), answer(result), answer([result]), answer([{"metric": {}, "values": result}])):
        sampling = asyncio.run(look(says(body)))
        assert sampling.unknown or sampling.readings
