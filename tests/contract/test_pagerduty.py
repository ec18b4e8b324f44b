"""PagerDuty: the shared contract against the emulator, and what only PagerDuty has."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from codeblue.adapters.pagerduty import MAX_SUMMARY, PagerDutyChannel
from codeblue.model.errors import Refused, Temporary
from codeblue.model.incident import Level, Role, Severity
from codeblue.model.page import Fate
from codeblue.model.secret import Secret
from codeblue.ports.channel import Channel
from codeblue.testing.contracts.channel import INCIDENT, Answer, ChannelContract, Received, Way, page
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.pagerduty import PagerDuty

CANARY = "c4n4ryr0ut1ngk3y" + "0" * 16  # looks like no secret: only who knows it can hide it
OTHER = "f" * 32
LIMIT_S = 1.0


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    with PagerDuty((CANARY, OTHER)) as emulator:
        yield emulator


def channel_to(emulator: PagerDuty, key: str = CANARY, **more: object) -> PagerDutyChannel:
    keys = {Role.ON_CALL: Secret(key), Role.DEVOPS_LEAD: Secret(key), Role.CTO: Secret(OTHER)}
    return PagerDutyChannel(keys, "ai-diagnostics-api", base=emulator.url, timeout_s=LIMIT_S, **more)  # type: ignore[arg-type]


@pytest.fixture
def channel(pagerduty: PagerDuty) -> PagerDutyChannel:
    return channel_to(pagerduty)


def answers(pagerduty: PagerDuty) -> Answer:
    def as_said(way: Way) -> None:
        match way:
            case Way.ACCEPT:
                pagerduty.recovers()
                pagerduty.routing_keys = (CANARY, OTHER)
            case Way.REFUSE:
                pagerduty.routing_keys = ()
            case Way.BUSY:
                pagerduty.fails(Fail.STATUS, status=503)
            case Way.DOWN:
                pagerduty.fails(Fail.DOWN)
            case Way.CUT:
                pagerduty.fails(Fail.CUT)
            case Way.HANG:
                pagerduty.fails(Fail.HANG)

    return as_said


class TestPagerDuty(ChannelContract):
    @pytest.fixture
    def channel(self, pagerduty: PagerDuty) -> Channel:
        return channel_to(pagerduty)

    @pytest.fixture
    def again(self, pagerduty: PagerDuty) -> Channel:
        return channel_to(pagerduty)

    @pytest.fixture
    def answer(self, pagerduty: PagerDuty) -> Answer:
        return answers(pagerduty)

    @pytest.fixture
    def received(self, pagerduty: PagerDuty) -> Received:
        return lambda: [alert.text for alert in pagerduty.alerts]

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return (CANARY, OTHER)


@pytest.mark.parametrize("severity", Severity)
async def test_each_severity_has_one_of_pagerduty_s(
    pagerduty: PagerDuty, channel: PagerDutyChannel, severity: Severity
) -> None:
    await channel.send(page(severity=severity))
    assert pagerduty.alerts[0].payload["severity"] == ("critical", "error", "warning", "info")[severity - 1]
    assert pagerduty.alerts[0].payload["source"] == "ai-diagnostics-api"
    assert pagerduty.alerts[0].payload["custom_details"]["record"].startswith("17:")


@pytest.mark.req("R3")
async def test_a_level_is_one_incident_there_and_the_next_level_another(
    pagerduty: PagerDuty, channel: PagerDutyChannel
) -> None:
    for level, role in (("L1", Role.ON_CALL), ("L1", Role.DEVOPS_LEAD), ("L2", Role.ON_CALL), ("L3", Role.CTO)):
        sent = await channel.send(page(role, level=level, cycle=0))
        assert (sent.fate, sent.reference) == (Fate.ACCEPTED, f"codeblue:{INCIDENT}:{level}")
    assert [(a.routing_key, a.dedup_key[-2:]) for a in pagerduty.alerts] == [
        (CANARY, "L1"), (CANARY, "L2"), (OTHER, "L3")
    ]  # fmt: skip


@pytest.mark.req("R2")
@pytest.mark.parametrize(
    ("acknowledged", "statuses"),
    [
        (Level.L1, ["acknowledged", "triggered", "triggered", "triggered"]),
        (Level.L2, ["acknowledged", "acknowledged", "triggered", "triggered"]),
        (Level.L4, ["acknowledged", "acknowledged", "acknowledged", "triggered"]),
        (None, ["resolved"] * 4),
    ],
)
async def test_a_process_that_sent_nothing_settles_the_levels_that_it_is_about(
    pagerduty: PagerDuty, channel: PagerDutyChannel, acknowledged: Level | None, statuses: list[str]
) -> None:
    """An acknowledgement of L1 must not silence L2, nor a notice, which is nobody's to take over."""
    for level, role in (("L1", Role.ON_CALL), ("L2", Role.ON_CALL), ("L3", Role.CTO), ("notice", Role.ON_CALL)):
        await channel.send(page(role, level=level, cycle=0))
    await channel.send(page(cycle=0, incident="inc-20260105t031500z-ffffff"))
    await channel_to(pagerduty).settle(INCIDENT, acknowledged=acknowledged)
    assert [a.status for a in pagerduty.alerts] == [*statuses, "triggered"]


async def test_repeated_pages_are_settled_by_memory_or_by_the_record(
    pagerduty: PagerDuty, channel: PagerDutyChannel
) -> None:
    repeated = page(cycle=3)
    sent = await channel.send(repeated)
    assert sent.reference == f"codeblue:{INCIDENT}:L1:3"
    await channel_to(pagerduty).settle(INCIDENT, acknowledged=Level.L1)
    assert pagerduty.alerts[0].status == "triggered", "a new process knows nothing of it"
    await channel_to(pagerduty, sent=lambda _: [sent.reference]).settle(INCIDENT, acknowledged=Level.L1)
    assert pagerduty.alerts[0].status == "acknowledged"
    await channel.settle(INCIDENT, acknowledged=None)
    assert pagerduty.alerts[0].status == "resolved"


async def test_a_summary_is_cut_at_pagerduty_s_limit(pagerduty: PagerDuty, channel: PagerDutyChannel) -> None:
    assert (await channel.send(page(summary="ä" * 5000))).fate is Fate.ACCEPTED
    assert len(pagerduty.alerts[0].payload["summary"]) == MAX_SUMMARY


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(pagerduty: PagerDuty, channel: PagerDutyChannel, status: int) -> None:
    pagerduty.fails(Fail.STATUS, status=status)
    with pytest.raises(Temporary):
        await channel.send(page())


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 410, 413, 422])
async def test_what_will_not_pass_is_refused(pagerduty: PagerDuty, channel: PagerDutyChannel, status: int) -> None:
    pagerduty.fails(Fail.STATUS, status=status, headers={"Location": f"{pagerduty.url}/elsewhere"})
    assert (await channel.send(page())).fate is Fate.REFUSED
    assert len(pagerduty.log) == 1, "nothing is sent on to another address"
    with pytest.raises(Refused):
        await channel.settle(INCIDENT, acknowledged=Level.L1)


@pytest.mark.parametrize("status", [200, 204])
async def test_another_yes_is_none_of_pagerduty_s(pagerduty: PagerDuty, channel: PagerDutyChannel, status: int) -> None:
    pagerduty.fails(Fail.STATUS, status=status)
    assert (await channel.send(page())).fate is Fate.UNKNOWN


async def test_the_wait_grows_and_never_undercuts_what_pagerduty_asks_for(
    pagerduty: PagerDuty, channel: PagerDutyChannel
) -> None:
    async def wait_s() -> float:
        with pytest.raises(Temporary) as busy:
            await channel.send(page())
        return busy.value.delay_s

    pagerduty.fails(Fail.STATUS, status=429, headers={"Retry-After": "7"})
    assert [await wait_s() for _ in range(5)] == [7, 7, 7, 8, 16]
    pagerduty.fails(Fail.STATUS, status=503, headers={"Retry-After": "99999999"})
    assert await wait_s() <= 3600
    at = datetime(2026, 1, 5, 3, 16, 30, tzinfo=UTC)
    dates = {"Date": "Mon, 05 Jan 2026 03:15:00 GMT", "Retry-After": at.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    pagerduty.fails(Fail.STATUS, status=503, headers=dates)
    assert await wait_s() == 90
    pagerduty.recovers()
    assert (await channel.send(page())).fate is Fate.ACCEPTED
    pagerduty.fails(Fail.STATUS, status=503, headers={"Retry-After": "soon"})
    assert await wait_s() == 1


async def test_the_rate_limit_of_the_emulator_is_honoured(channel: PagerDutyChannel) -> None:
    for _ in range(120):
        assert (await channel.send(page(cycle=0))).fate is Fate.ACCEPTED
    with pytest.raises(Temporary) as busy:
        await channel.send(page(cycle=0))
    assert 1 < busy.value.delay_s <= 60


@pytest.mark.req("B3")
@pytest.mark.parametrize("how", [Fail.CUT, Fail.CUT_BODY, Fail.HUGE, Fail.ENDLESS, Fail.GARBAGE, Fail.DEEP])
async def test_taken_but_not_said_is_unknown_and_the_keyed_retry_makes_one(
    pagerduty: PagerDuty, channel: PagerDutyChannel, how: Fail
) -> None:
    sent, begun = page(), time.monotonic()
    pagerduty.fails(how, times=1)
    assert (await channel.send(sent)).fate is Fate.UNKNOWN
    assert time.monotonic() - begun < LIMIT_S + 1
    assert (await channel_to(pagerduty).send(sent)).fate is Fate.ACCEPTED
    assert len(pagerduty.alerts) == 1
    assert pagerduty.alerts[0].events == ["trigger", "trigger"]


async def test_a_slow_answer_within_the_limit_counts_and_one_beyond_is_unknown(
    pagerduty: PagerDuty, channel: PagerDutyChannel
) -> None:
    pagerduty.fails(Fail.SLOW, after_s=LIMIT_S / 4)
    assert (await channel.send(page())).fate is Fate.ACCEPTED
    pagerduty.fails(Fail.SLOW, after_s=LIMIT_S * 3)
    begun = time.monotonic()
    assert (await channel.send(page())).fate is Fate.UNKNOWN
    assert time.monotonic() - begun < LIMIT_S + 1


async def test_an_answer_for_another_key_is_no_yes(pagerduty: PagerDuty, channel: PagerDutyChannel) -> None:
    text = '{"status": "success", "dedup_key": "codeblue:somebody-else:L1"}'
    pagerduty.fails(Fail.STATUS, status=202, text=text)
    assert (await channel.send(page())).fate is Fate.UNKNOWN


async def test_what_pagerduty_says_is_shown_without_the_key_that_it_repeats(
    pagerduty: PagerDuty, channel: PagerDutyChannel
) -> None:
    text = f'{{"errors": ["key {CANARY} is\\n\\u001b[31m not known {"x" * 5000}"]}}'
    pagerduty.fails(Fail.STATUS, status=400, text=text)
    why = (await channel.send(page())).why
    assert "key *** is" in why
    assert CANARY not in why
    assert why.isprintable()
    assert len(why) < 400


@pytest.mark.parametrize("how", [Fail.DOWN, Fail.CUT, Fail.STATUS, Fail.GARBAGE, None])
async def test_no_log_shows_the_routing_key(
    pagerduty: PagerDuty, channel: PagerDutyChannel, caplog: pytest.LogCaptureFixture, how: Fail | None
) -> None:
    caplog.set_level(logging.DEBUG)
    if how is not None:
        pagerduty.fails(how)
    try:
        await channel.send(page())
    except Temporary as error:
        logging.getLogger("codeblue.test").exception("not sent", exc_info=error)
    assert CANARY not in caplog.text


async def test_proxies_of_the_environment_are_not_asked(pagerduty: PagerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await channel_to(pagerduty).send(page())).fate is Fate.ACCEPTED


async def test_the_same_page_sent_ten_times_at_once_is_one(pagerduty: PagerDuty, channel: PagerDutyChannel) -> None:
    sent = page()
    done = await asyncio.gather(*(channel.send(sent) for _ in range(10)))
    assert {d.fate for d in done} == {Fate.ACCEPTED}
    assert len(pagerduty.alerts) == 1
