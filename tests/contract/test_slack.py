"""Slack: the shared contract against the emulator, by token and by webhook, and what only Slack has."""

import json
import logging
from collections.abc import Iterator, Sequence

import pytest

from codeblue.adapters.slack import MAX_BLOCKS, MAX_TEXT, SlackChannel, message
from codeblue.model.errors import Temporary
from codeblue.model.incident import Role
from codeblue.model.page import Fate
from codeblue.model.reply import (
    ACKNOWLEDGE_ACTION,
    APPROVE_ACTION,
    DIGEST_DETAIL,
    RUN_DETAIL,
    Acknowledge,
    Approve,
    read_button,
)
from codeblue.model.secret import Secret
from codeblue.ports.channel import Channel
from codeblue.testing.contracts.channel import INCIDENT, Answer, ChannelContract, Received, Way, page
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.slack import Slack

CANARY = "xoxb-c4n4ry-B0tT0k3n"
HOOK = "T0CANARY/B0CANARY/c4n4ryW3bh00kS3cr3t"
LIMIT_S = 1.0


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack(CANARY, ("C0PAGES",), hook=HOOK, outside=("C0OTHER",)) as emulator:
        yield emulator


def by_token(slack: Slack, channel: str = "C0PAGES", token: str = CANARY) -> SlackChannel:
    roles = [r for r in Role if r is not Role.CMO]
    return SlackChannel(token=Secret(token), channel=channel, roles=roles, base=slack.api, timeout_s=LIMIT_S)


def by_webhook(slack: Slack, hook: str = HOOK) -> SlackChannel:
    return SlackChannel(webhook=Secret(f"{slack.url}/services/{hook}"), timeout_s=LIMIT_S)


@pytest.fixture
def channel(slack: Slack) -> SlackChannel:
    return by_token(slack)


class _OfSlack(ChannelContract):
    @pytest.fixture
    def answer(self, slack: Slack) -> Answer:
        def as_said(way: Way) -> None:
            match way:
                case Way.ACCEPT:
                    slack.recovers()
                case Way.REFUSE:
                    slack.token, slack.hook = "another", "another"
                case Way.BUSY:
                    slack.fails(Fail.STATUS, status=429, headers={"Retry-After": "30"})
                case Way.DOWN:
                    slack.fails(Fail.DOWN)
                case Way.CUT:
                    slack.fails(Fail.CUT)
                case Way.HANG:
                    slack.fails(Fail.HANG)

        return as_said

    @pytest.fixture
    def received(self, slack: Slack) -> Received:
        return lambda: slack.texts

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        return (CANARY, HOOK, HOOK.rpartition("/")[2])


class TestSlackByToken(_OfSlack):
    @pytest.fixture
    def channel(self, slack: Slack) -> Channel:
        return by_token(slack)


class TestSlackByWebhook(_OfSlack):
    @pytest.fixture
    def channel(self, slack: Slack) -> Channel:
        return by_webhook(slack)

    @pytest.fixture
    def unreachable(self) -> Role | None:
        return None


def elements(slack: Slack) -> list[dict[str, object]]:
    [(_, _, blocks)] = slack.messages
    return [e for b in blocks if b["type"] == "actions" for e in b["elements"]]


@pytest.mark.req("R2")
async def test_a_page_has_a_button_to_acknowledge_its_level(slack: Slack, channel: SlackChannel) -> None:
    await channel.send(page(level="L2"))
    [button] = elements(slack)
    assert button["action_id"] == ACKNOWLEDGE_ACTION
    assert read_button(str(button["action_id"]), str(button["value"])) == Acknowledge(INCIDENT, "L2")


@pytest.mark.req("R1a")
async def test_a_page_that_asks_has_a_button_to_approve_this_very_plan(slack: Slack, channel: SlackChannel) -> None:
    run, digest = "run-20260105t031500z-0a1b2c", "ab" * 32
    await channel.send(page(details=((RUN_DETAIL, run), (DIGEST_DETAIL, digest))))
    acknowledge, approve = elements(slack)
    assert acknowledge["action_id"] == ACKNOWLEDGE_ACTION
    assert approve["action_id"] == APPROVE_ACTION
    assert read_button(APPROVE_ACTION, str(approve["value"])) == Approve(run, digest, INCIDENT)


async def test_nothing_in_a_message_can_mention_link_or_format(slack: Slack, channel: SlackChannel) -> None:
    hostile = "<!channel> <@U1> *b* <https://evil|here> & <script>"
    await channel.send(page(summary=hostile, next_step=hostile, details=(("fact", hostile),)))
    [(_, text, blocks)] = slack.messages
    assert "<" not in text
    assert "&lt;!channel&gt;" in text
    assert hostile in slack.texts[0], "plain text is shown as it is"
    assert '"mrkdwn"' not in json.dumps(blocks)
    sent = slack.log[0].json()
    assert (sent["mrkdwn"], sent["parse"], sent["link_names"], sent["unfurl_links"]) == (False, "none", False, False)


@pytest.mark.parametrize("facts", [0, 1, 40, 41, 500])
async def test_any_page_keeps_within_slack_s_limits(slack: Slack, channel: SlackChannel, facts: int) -> None:
    details = tuple((f"fact {n}", "&" * 5000) for n in range(facts))
    long = page(summary="&" * 9000, next_step="<" * 9000, details=details, head="h" * 9000)
    assert (await channel.send(long)).fate is Fate.ACCEPTED
    [(_, text, blocks)] = slack.messages
    assert len(blocks) <= MAX_BLOCKS
    assert len(text) <= MAX_TEXT
    assert ("more facts: 460" in slack.texts[0]) == (facts == 500)


async def test_an_empty_page_is_a_message_still(slack: Slack, channel: SlackChannel) -> None:
    assert (await channel.send(page(summary="", next_step="", head="", details=()))).fate is Fate.ACCEPTED


async def test_the_reference_is_slack_s_own(slack: Slack, channel: SlackChannel) -> None:
    assert (await channel.send(page())).reference == "C0PAGES/1767582900.000001"


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        ("invalid_auth", Fate.REFUSED),
        ("channel_not_found", Fate.REFUSED),
        ("invalid_blocks", Fate.REFUSED),
        ("internal_error", Fate.UNKNOWN),
        ("fatal_error", Fate.UNKNOWN),
        ("$(id) is no code", Fate.REFUSED),
    ],
)
async def test_ok_false_is_no_yes(slack: Slack, channel: SlackChannel, error: str, fate: Fate) -> None:
    slack.fails(Fail.STATUS, status=200, text=json.dumps({"ok": False, "error": error}))
    delivery = await channel.send(page())
    assert delivery.fate is fate
    assert (error in delivery.why) == ("$" not in error)


@pytest.mark.parametrize("error", ["ratelimited", "service_unavailable", "request_timeout"])
async def test_ok_false_for_now_is_tried_again(slack: Slack, channel: SlackChannel, error: str) -> None:
    text = json.dumps({"ok": False, "error": error})
    slack.fails(Fail.STATUS, status=200, text=text, headers={"Retry-After": "5"})
    with pytest.raises(Temporary) as busy:
        await channel.send(page())
    assert busy.value.delay_s == 5


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ok": "true"}', '{"ok": 1}', "ok"])
async def test_a_200_that_says_nothing_is_unknown(slack: Slack, channel: SlackChannel, text: str) -> None:
    slack.fails(Fail.STATUS, status=200, text=text)
    assert (await channel.send(page())).fate is Fate.UNKNOWN


@pytest.mark.parametrize("how", [Fail.CUT, Fail.CUT_BODY, Fail.HUGE, Fail.ENDLESS, Fail.GARBAGE, Fail.DEEP, Fail.DROP])
@pytest.mark.parametrize("way", ["token", "webhook"])
async def test_what_was_perhaps_posted_is_unknown_and_never_a_yes(slack: Slack, how: Fail, way: str) -> None:
    slack.fails(how, times=1)
    channel = by_token(slack) if way == "token" else by_webhook(slack)
    assert (await channel.send(page())).fate is Fate.UNKNOWN
    assert len(slack.log) == 1, "the channel itself never tries again: Slack takes no key"


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("way", ["token", "webhook"])
async def test_a_server_error_can_have_been_posted(slack: Slack, status: int, way: str) -> None:
    slack.fails(Fail.STATUS, status=status)
    channel = by_token(slack) if way == "token" else by_webhook(slack)
    assert (await channel.send(page())).fate is Fate.UNKNOWN


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
@pytest.mark.parametrize("way", ["token", "webhook"])
async def test_what_will_not_pass_is_refused(slack: Slack, status: int, way: str) -> None:
    slack.fails(Fail.STATUS, status=status, headers={"Location": f"{slack.url}/api"}, text="channel_is_archived")
    channel = by_token(slack) if way == "token" else by_webhook(slack)
    delivery = await channel.send(page())
    assert delivery.fate is Fate.REFUSED
    assert ("channel_is_archived" in delivery.why) == (way == "webhook")
    assert len(slack.log) == 1


async def test_a_channel_that_the_app_is_not_in_is_refused_with_the_reason(slack: Slack) -> None:
    delivery = await by_token(slack, "C0OTHER").send(page())
    assert (delivery.fate, "not_in_channel" in delivery.why) == (Fate.REFUSED, True)
    assert (await by_token(slack, "C0NONE").send(page())).fate is Fate.REFUSED
    assert (await by_webhook(slack, "T0/B0/other").send(page())).fate is Fate.REFUSED


async def test_one_message_a_second_after_a_burst(slack: Slack, channel: SlackChannel) -> None:
    for _ in range(20):
        assert (await channel.send(page())).fate is Fate.ACCEPTED
    with pytest.raises(Temporary) as busy:
        await channel.send(page())
    assert busy.value.delay_s >= 1
    assert len(slack.messages) == 20


@pytest.mark.parametrize("how", [Fail.DOWN, Fail.CUT, Fail.STATUS, Fail.GARBAGE, None])
@pytest.mark.parametrize("way", ["token", "webhook"])
async def test_no_log_shows_the_token_or_the_webhook(
    slack: Slack, caplog: pytest.LogCaptureFixture, how: Fail | None, way: str
) -> None:
    caplog.set_level(logging.DEBUG)
    if how is not None:
        slack.fails(how)
    try:
        await (by_token(slack) if way == "token" else by_webhook(slack)).send(page())
    except Temporary as error:
        logging.getLogger("codeblue.test").exception("not sent", exc_info=error)
    assert "c4n4ry" not in caplog.text


def test_a_token_without_a_channel_is_a_mistake() -> None:
    for how in ({}, {"token": Secret("x")}, {"token": Secret("x"), "channel": "C", "webhook": Secret("y")}):
        with pytest.raises(ValueError, match="token"):
            SlackChannel(**how)  # type: ignore[arg-type]


def test_the_line_of_the_notification_says_how_bad_it_is() -> None:
    assert message(page())["text"].startswith("SEV2 SEV2 ai-diagnostics-api: health, 4 failures in a row &gt; 3")
