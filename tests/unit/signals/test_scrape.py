"""Pods scraped over HTTP, one by one, also through an API server's proxy."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.unit.signals.pages import GOOD, VOCABULARY, without
from tests.unit.signals.servers import Behaviour, hangs, pours, says, sends, serving

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.http_prober import HttpProber
from codeblue.adapters.kubernetes.prober import proxied
from codeblue.adapters.signals.scrape import AT_ONCE, ScrapedSignals
from codeblue.model.signal import Sampling
from codeblue.ports.platform import Place
from codeblue.ports.prober import Prober


@pytest.fixture
async def prober() -> AsyncIterator[HttpProber]:
    found = HttpProber()
    yield found
    await found.close()


def scraped(prober: Prober, timeout_s: float = 2.0) -> ScrapedSignals:
    return ScrapedSignals(prober, "/metrics", VOCABULARY, SystemClock(), timeout_s=timeout_s)


async def of_one(prober: Prober, behave: Behaviour, timeout_s: float = 2.0) -> Sampling:
    async with serving(behave) as url:
        return await scraped(prober, timeout_s).sample((Place("pod/api-1", url),))


async def test_the_page_is_asked_for_as_any_server_of_metrics_offers_it(prober: HttpProber) -> None:
    asked: list[bytes] = []

    async def behave(head: bytes, writer) -> None:  # type: ignore[no-untyped-def]
        asked.append(head)
        await says(GOOD)(head, writer)

    sampling = await of_one(prober, behave)
    assert [r.requests for r in sampling.readings] == [100.0]
    assert asked[0].startswith(b"GET /metrics HTTP/1.1\r\n")
    assert b"*/*" in asked[0], "a server that has only text must not answer 406"


async def test_a_page_beyond_the_limit_of_a_health_answer_is_read_whole(prober: HttpProber) -> None:
    page = "".join(f'other{{n="{n}"}} {n}\n' for n in range(20_000)) + GOOD
    assert len(page) > 300_000
    assert [r.requests for r in (await of_one(prober, says(page))).readings] == [100.0]


@pytest.mark.req("B5")
@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (says("", 503), "/metrics: status 503"),
        (says(GOOD, 404), "/metrics: status 404"),
        (says(GOOD, 302), "/metrics: status 302"),
        (says("<html>sign in</html>\n", kind="text/html"), "HTML"),
        (says(""), "the page is empty"),
        (says("up 1\n"), "none of the metrics"),
        (says(b"a 1\n" * 1_200_000), "larger than 4 MiB"),
        (says(b"x" * (10 * 2**20)), "no end"),
        (pours(b"http_requests_total 1\n" * 1000), "no end"),
        (sends(b"\x00\x01 this is not HTTP\r\n\r\n"), "/metrics: "),
        (hangs, "no complete answer"),
    ],
    ids=["503", "404", "302", "html", "empty", "others", "5MB", "10MB", "endless", "garbled", "hangs"],
)
async def test_a_pod_that_gives_no_metrics_is_unknown(prober: HttpProber, behave: Behaviour, why: str) -> None:
    began = time.monotonic()
    sampling = await of_one(prober, behave, timeout_s=1.0)
    assert time.monotonic() - began < 4
    assert sampling.readings == ()
    assert list(sampling.unknown) == ["pod/api-1"]
    assert why in sampling.unknown["pod/api-1"]


async def test_what_of_a_page_is_damaged_is_unknown_and_the_rest_is_read(prober: HttpProber) -> None:
    sampling = await of_one(
        prober, says(GOOD.replace('ai_failures_total{reason="status"} 2.0', 'ai_failures_total{reason="status"} NaN'))
    )
    [reading] = sampling.readings
    assert (reading.requests, reading.ai_failures) == (100.0, None)
    assert sampling.unknown == {"pod/api-1": "ai_failures_total is NaN"}


async def test_what_is_not_offered_is_none_without_a_word(prober: HttpProber) -> None:
    sampling = await of_one(prober, says(without("# TYPE ai_", without("ai_"))))
    assert sampling.readings[0].ai_calls is None
    assert sampling.unknown == {}


@pytest.mark.req("B5")
async def test_a_dead_pod_costs_its_own_reading_only(prober: HttpProber) -> None:
    async with AsyncExitStack() as stack:
        good = [await stack.enter_async_context(serving(says(GOOD))) for _ in range(2)]
        stuck = await stack.enter_async_context(serving(hangs))
        places = [Place("pod/a", good[0]), Place("pod/stuck", stuck), Place("pod/gone", "http://127.0.0.1:1")]
        sampling = await scraped(prober, 1.0).sample([*places, Place("pod/b", good[1])])
    assert [r.pod for r in sampling.readings] == ["a", "b"]
    assert sorted(sampling.unknown) == ["pod/gone", "pod/stuck"]
    assert all(r.at_s - sampling.at_s < 0.9 for r in sampling.readings), "measured when they answered"


async def test_many_dead_pods_together_keep_within_the_limit(prober: HttpProber) -> None:
    async with serving(hangs) as url:
        began = time.monotonic()
        sampling = await scraped(prober, 0.5).sample([Place(f"pod/{n}", url) for n in range(3 * AT_ONCE)])
    assert time.monotonic() - began < 3
    assert sampling.readings == () and len(sampling.unknown) == 3 * AT_ONCE
    assert sum(why.startswith("not asked") for why in sampling.unknown.values()) == 2 * AT_ONCE


async def test_without_pods_nothing_is_known_and_nothing_is_unknown(prober: HttpProber) -> None:
    sampling = await scraped(prober).sample(())
    assert (sampling.readings, sampling.unknown) == ((), {})


@pytest.mark.req("B5")
async def test_through_the_proxy_of_an_api_server() -> None:
    """The page passes; what the API server says in the pod's place is no page, and nothing about the pod."""
    prober = HttpProber(classify=proxied, keep_alive=True)
    status = (
        b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"error trying to reach service","code":503}'
    )
    assert [r.requests for r in (await of_one(prober, says(GOOD))).readings] == [100.0]
    refused = await of_one(prober, says(status, 503, "application/json"))
    assert "error trying to reach service" in refused.unknown["pod/api-1"]
    forbidden = await of_one(prober, says(status.replace(b"503", b"403"), 403, "application/json"))
    assert "status 403 from the API server" in forbidden.unknown["pod/api-1"]
    await prober.close()
