"""The emulator of Slack is not only our own opinion: Slack's own client drives it."""

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, HeaderBlock, SectionBlock
from slack_sdk.webhook import WebhookClient

from codeblue.adapters.slack import message
from codeblue.testing.contracts.channel import page
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.slack import Slack

TOKEN, HOOK = "xoxb-1-2-three", "T0/B0/hook"


@pytest.fixture
def server() -> Iterator[Slack]:
    with Slack(TOKEN, ("C0PAGES",), hook=HOOK, outside=("C0OTHER",)) as emulator:
        yield emulator


@pytest.fixture
def client(server: Slack) -> WebClient:
    return WebClient(TOKEN, base_url=server.api)


def test_slack_s_client_posts_what_its_own_models_make(server: Slack, client: WebClient) -> None:
    blocks = [
        HeaderBlock(text="SEV1"),
        SectionBlock(text="It is down."),
        ActionsBlock(elements=[ButtonElement(text="Acknowledge", action_id="ack", value="1", style="primary")]),
    ]
    answer = client.chat_postMessage(channel="C0PAGES", text="It is down.", blocks=blocks)
    assert answer["ok"] is True
    assert answer["ts"] == "1767582900.000001"
    assert "It is down." in server.texts[0]


def test_slack_s_client_posts_what_we_make(server: Slack, client: WebClient) -> None:
    made = message(page())
    assert client.chat_postMessage(channel="C0PAGES", **made)["ok"] is True
    assert "Acknowledge" in server.texts[0]
    sent = WebhookClient(f"{server.url}/services/{HOOK}").send_dict(made)
    assert (sent.status_code, sent.body) == (200, "ok")
    assert server.texts[0] == server.texts[1]


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text}}


def buttons(*actions: dict[str, Any]) -> dict[str, Any]:
    made = [{"type": "button", "text": {"type": "plain_text", "text": "x"}, **a} for a in actions]
    return {"type": "actions", "elements": made}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"channel": "C0NONE", "text": "x"}, "channel_not_found"),
        ({"channel": "C0OTHER", "text": "x"}, "not_in_channel"),
        ({"channel": "C0PAGES"}, "no_text"),
        ({"channel": "C0PAGES", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "C0PAGES", "blocks": [section("x")] * 51}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [section("")]}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [{"type": "nonsense"}]}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [buttons({"value": "x" * 2001})]}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [buttons({"style": "blue"})]}, "invalid_blocks"),
        ({"channel": "C0PAGES", "blocks": [buttons({"action_id": "a"}, {"action_id": "a"})]}, "invalid_blocks"),
        (
            {"channel": "C0PAGES", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
    ],
)
def test_slack_s_client_raises_for_what_slack_does_not_take(
    server: Slack, client: WebClient, said: dict[str, Any], error: str
) -> None:
    with pytest.raises(SlackApiError) as refused:
        client.api_call("chat.postMessage", json=said)
    assert refused.value.response.status_code == 200, "Slack says no with a 200"
    assert refused.value.response["error"] == error
    assert server.messages == []


def test_tokens_are_checked(server: Slack) -> None:
    for token, error in ((None, "not_authed"), ("xoxb-other", "invalid_auth")):
        with pytest.raises(SlackApiError) as refused:
            WebClient(token, base_url=server.api).chat_postMessage(channel="C0PAGES", text="x")
        assert refused.value.response["error"] == error
    assert WebClient(TOKEN, base_url=server.api).auth_test()["ok"] is True


def test_a_burst_is_allowed_and_then_one_a_second() -> None:
    at = [0.0]
    with Slack(TOKEN, ("C0PAGES",), hook=HOOK, clock=lambda: at[0]) as server:
        client = WebClient(TOKEN, base_url=server.api)
        for _ in range(20):
            client.chat_postMessage(channel="C0PAGES", text="x")
        with pytest.raises(SlackApiError) as refused:
            client.chat_postMessage(channel="C0PAGES", text="x")
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "20"
        at[0] = 20.0
        client.chat_postMessage(channel="C0PAGES", text="x")


@pytest.mark.parametrize(
    ("hook", "said", "status", "body"),
    [("T0/B0/other", {"text": "x"}, 404, "no_service"), (HOOK, {"text": ""}, 400, "no_text"),
     (HOOK, {"blocks": [{"type": "nonsense"}]}, 400, "invalid_blocks")],
)  # fmt: skip
def test_webhooks_answer_with_a_code(server: Slack, hook: str, said: dict[str, Any], status: int, body: str) -> None:
    answer = WebhookClient(f"{server.url}/services/{hook}").send_dict(said)
    assert (answer.status_code, answer.body) == (status, body)


def test_a_server_error_is_one_for_slack_s_client_too(server: Slack, client: WebClient) -> None:
    server.fails(Fail.STATUS, status=503, text="down")
    with pytest.raises(SlackApiError):
        client.chat_postMessage(channel="C0PAGES", text="x")
