"""The emulator of PagerDuty is not only our own opinion: PagerDuty's own client drives it, over TLS."""

import ssl
from collections.abc import Iterator
from typing import Any

import httpx2
import pagerduty as official
import pytest
from tests.unit.channels.conftest import Tls

from codeblue.adapters.pagerduty import PagerDutyChannel
from codeblue.model.errors import Unreachable
from codeblue.model.incident import Role
from codeblue.model.page import Fate
from codeblue.model.reply import incident_key
from codeblue.model.secret import Secret
from codeblue.testing.contracts.channel import INCIDENT, page
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.pagerduty import PER_MINUTE, PagerDuty

KEY, OTHER = "a1b2" * 8, "f" * 32


@pytest.fixture
def server(tls: Tls) -> Iterator[PagerDuty]:
    emulator = PagerDuty((KEY, OTHER)).start(tls.cert, tls.key)
    with emulator:
        yield emulator


@pytest.fixture
def client(server: PagerDuty, tls: Tls) -> Iterator[official.EventsApiV2Client]:
    context = ssl.create_default_context(cafile=str(tls.ca))
    with official.EventsApiV2Client(KEY, base_url=server.url, verify=context, trust_env=False) as client:
        client.sleep_timer = 0.01
        client.retry.clear()
        yield client


def test_trigger_acknowledge_and_resolve_are_one_incident(
    server: PagerDuty, client: official.EventsApiV2Client
) -> None:
    made = client.trigger("it is down", "api", dedup_key="codeblue:x:L1", custom_details={"trigger": "health"})
    assert made == "codeblue:x:L1"
    assert client.trigger("it is down", "api", dedup_key=made) == made
    [alert] = server.alerts
    assert (alert.status, alert.payload["severity"], alert.payload["source"]) == ("triggered", "critical", "api")
    assert client.acknowledge(made) == made
    assert alert.status == "acknowledged"
    client.resolve(made)
    assert alert.status == "resolved"
    assert alert.events == ["trigger", "trigger", "acknowledge", "resolve"]
    client.trigger("it is down again", "api", dedup_key=made)
    assert len(server.alerts) == 2, "what was resolved is opened anew"


def test_without_a_dedup_key_pagerduty_makes_one(server: PagerDuty, client: official.EventsApiV2Client) -> None:
    first, second = client.trigger("one", "api"), client.trigger("two", "api")
    assert first != second
    assert len(server.alerts) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [({"severity": "fatal"}, "severity"), ({"summary": "x" * 1025}, "summary"), ({"summary": ""}, "summary"),
     ({"source": ""}, "source"), ({"dedup_key": "x" * 256}, "dedup_key"),
     ({"payload": {"timestamp": "now"}}, "timestamp")],
)  # fmt: skip
def test_the_client_gets_a_400_for_what_pagerduty_does_not_take(
    server: PagerDuty, client: official.EventsApiV2Client, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(official.HttpError) as refused:
        client.trigger(**{"summary": "it is down", "source": "api", **change})
    assert refused.value.response.status_code == 400
    body = refused.value.response.json()
    assert (body["status"], body["message"]) == ("invalid event", "Event object is invalid")
    assert said in body["errors"][0]
    assert server.alerts == []


@pytest.mark.parametrize("key", ["", "short", "z" * 32])
def test_a_routing_key_that_is_none_is_refused(server: PagerDuty, tls: Tls, key: str) -> None:
    context = ssl.create_default_context(cafile=str(tls.ca))
    with (
        official.EventsApiV2Client(key, base_url=server.url, verify=context, trust_env=False) as client,
        pytest.raises(official.HttpError) as refused,
    ):
        client.trigger("it is down", "api")
    assert refused.value.response.status_code == 400
    assert "routing_key" in refused.value.response.json()["errors"][0]


def test_what_does_not_exist_is_acknowledged_without_effect(
    server: PagerDuty, client: official.EventsApiV2Client
) -> None:
    assert client.acknowledge("codeblue:never:L1") == "codeblue:never:L1"
    assert server.alerts == []


def test_the_client_waits_for_a_429_and_tries_again(server: PagerDuty, client: official.EventsApiV2Client) -> None:
    server.fails(Fail.STATUS, times=1, status=429, headers={"Retry-After": "1"})
    assert client.trigger("it is down", "api", dedup_key="k") == "k"
    assert len(server.log) == 2
    assert len(server.alerts) == 1


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 400),
     (b'"' + b"x" * 600_000 + b'"', "application/json", 413), (b"[" * 10_000, "application/json", 400)],
)  # fmt: skip
def test_what_is_no_event_is_refused(server: PagerDuty, tls: Tls, body: bytes, kind: str, status: int) -> None:
    context = ssl.create_default_context(cafile=str(tls.ca))
    with httpx2.Client(verify=context, trust_env=False) as plain:
        answer = plain.post(f"{server.url}/v2/enqueue", content=body, headers={"Content-Type": kind})
        assert answer.status_code == status
        assert plain.get(f"{server.url}/v2/enqueue").status_code == 405


def test_a_key_has_120_events_a_minute(tls: Tls) -> None:
    at = [0.0]
    emulator = PagerDuty((KEY, OTHER), clock=lambda: at[0])
    with emulator, httpx2.Client(trust_env=False) as plain:

        def send(key: str) -> int:
            event = {"routing_key": key, "event_action": "resolve", "dedup_key": "k"}
            return plain.post(f"{emulator.url}/v2/enqueue", json=event).status_code

        assert {send(KEY) for _ in range(PER_MINUTE)} == {202}
        assert (send(KEY), send(OTHER)) == (429, 202)
        at[0] = 60.0
        assert send(KEY) == 202


async def test_our_channel_and_pagerduty_s_client_mean_the_same_incident(
    server: PagerDuty, client: official.EventsApiV2Client, tls: Tls
) -> None:
    context = ssl.create_default_context(cafile=str(tls.ca))
    channel = PagerDutyChannel({Role.ON_CALL: Secret(KEY)}, "api", base=server.url, ssl=context)
    sent = page(cycle=0)
    assert (await channel.send(sent)).fate is Fate.ACCEPTED
    client.acknowledge(incident_key(sent))
    assert server.alerts[0].status == "acknowledged"
    await channel.settle(INCIDENT, acknowledged=None)
    assert server.alerts[0].status == "resolved"


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(server: PagerDuty) -> None:
    channel = PagerDutyChannel({Role.ON_CALL: Secret(KEY)}, "api", base=server.url, timeout_s=2.0)
    with pytest.raises(Unreachable):
        await channel.send(page())
    assert server.log == []
