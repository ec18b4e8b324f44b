"""POST /v1/slack/actions and /v1/pagerduty: whose click counts, for what, and how often."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier
from tests.unit.web.desk import PAGERDUTY, SLACK, Front

from codeblue.model.event import Draft
from codeblue.model.reply import Acknowledge, Approve
from codeblue.record.pages import anchor_data, fold_pages
from codeblue.record.runs import fold_runs

INCIDENT, RUN, DIGEST = "inc-20260105t031500z-0a1b2c", "run-20260105t031501z-0a1b2c", "ab" * 32
APPROVERS = "api: {slack_approvers: [U0APPROVER]}\n"

OPENED = Draft(
    "incident.opened",
    "watch",
    {"severity": "SEV1", "trigger": "R4", "why": "4 > 3", "began": "2026-01-05T03:14:00+00:00"},
    incident=INCIDENT,
)
REQUESTED = Draft(
    "run.requested",
    "watch",
    {
        "runbook": "quick_rollback",
        "reason": "R4",
        "inputs": {},
        "steps": [],
        "digest": DIGEST,
        "deadline_s": 300.0,
        "ask": True,
    },
    run=RUN,
    incident=INCIDENT,
)
WAITING = Draft("run.waiting", "engine", {"digest": DIGEST, "until": 1800.0}, run=RUN, incident=INCIDENT)


def front(more: str = APPROVERS) -> Front:
    desk = Front(more)
    desk.tell(OPENED, REQUESTED, WAITING)
    return desk


class _At(Clock):
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


def click(reply: Acknowledge | Approve, user: str = "U0APPROVER", **more: Any) -> bytes:
    action = "codeblue.approve" if isinstance(reply, Approve) else "codeblue.acknowledge"
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "ada"},
        "actions": [{"action_id": action, "value": reply.value, "type": "button"}],
        "response_url": "https://hooks.slack.com/actions/T0/1/x",
        **more,
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(desk: Front, body: bytes, *, late_s: float = 0, secret: str = SLACK) -> dict[str, str]:
    """As Slack's own client signs."""
    at = str(int(desk.clock.now().timestamp() + late_s))
    signature = SignatureVerifier(secret, _At(float(at))).generate_signature(timestamp=at, body=body)
    assert signature is not None
    return {
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }


async def press(desk: Front, body: bytes, **how: Any) -> httpx2.Response:
    return await desk.ask("POST", "/v1/slack/actions", content=body, headers=signed(desk, body, **how))


async def test_acknowledge_in_slack_is_an_acknowledgement_of_that_level() -> None:
    desk = front()
    answer = await press(desk, click(Acknowledge(INCIDENT, "L2"), "U0SOMEBODY"))
    assert answer.status_code == 200, answer.text
    event = desk.record.events[-1]
    assert (event.kind, event.actor, event.incident, event.data) == (
        "incident.acknowledged",
        "slack:U0SOMEBODY",
        INCIDENT,
        {"level": "L2", "anchor": anchor_data(desk.clock.anchor()), "event": event.data["event"]},
    )
    [ack] = fold_pages(desk.record.events)[INCIDENT].acks
    assert (ack.level, ack.actor) == ("L2", "slack:U0SOMEBODY")


async def test_who_sees_a_notice_takes_over_no_level() -> None:
    desk = front()
    assert (await press(desk, click(Acknowledge(INCIDENT, "notice")))).status_code == 200
    assert desk.kinds()[3:] == ["page.acknowledged"]


@pytest.mark.req("R1a")
async def test_approve_in_slack_is_the_approval_of_the_plan_that_was_shown() -> None:
    desk = front()
    answer = await press(desk, click(Approve(RUN, DIGEST, INCIDENT)))
    assert answer.status_code == 200, answer.text
    event = desk.record.events[-1]
    assert (event.kind, event.actor, event.run, event.data) == (
        "run.approved",
        "slack:U0APPROVER",
        RUN,
        {"digest": DIGEST, "anchor": {"boot": "boot-1", "at_s": 0.0}},
    )
    assert fold_runs(desk.record.events)[RUN].approved_by == "slack:U0APPROVER"
    again = await press(desk, click(Approve(RUN, DIGEST, INCIDENT), state="pressed again"))
    assert "already" in again.json()["message"]
    assert desk.kinds().count("run.approved") == 1


@pytest.mark.req("R1a")
@pytest.mark.done("4.7")
async def test_an_approval_given_for_another_plan_is_refused() -> None:
    desk = front()
    answer = await press(desk, click(Approve(RUN, "cd" * 32, INCIDENT)))
    assert answer.status_code == 409
    assert "another one than you saw" in answer.json()["message"]
    assert len(desk.kinds()) == 3


async def test_only_those_who_are_listed_may_approve() -> None:
    for desk, user in ((front(), "U0SOMEBODY"), (front(""), "U0APPROVER"), (front(), "U0APPROVERX")):
        answer = await press(desk, click(Approve(RUN, DIGEST, INCIDENT), user))
        assert answer.status_code == 403
        assert len(desk.kinds()) == 3


async def test_a_run_that_ended_or_never_was_is_not_approved() -> None:
    desk = front()
    other = Approve("run-20260105t031501z-ffffff", DIGEST, INCIDENT)
    assert (await press(desk, click(other))).status_code == 404
    elsewhere = Approve(RUN, DIGEST, "inc-20260105t031500z-ffffff")
    assert (await press(desk, click(elsewhere))).status_code == 404
    end = {"state": "refused", "why": "not approved within 1800 s", "remedy": "", "exit_code": 3}
    desk.tell(Draft("run.ended", "engine", end, run=RUN, incident=INCIDENT))
    assert (await press(desk, click(Approve(RUN, DIGEST, INCIDENT)))).status_code == 409
    assert "run.approved" not in desk.kinds()


@pytest.mark.req("R1a")
async def test_an_approval_that_comes_too_late_is_refused() -> None:
    desk = front()
    desk.clock.advance(1801)
    answer = await press(desk, click(Approve(RUN, DIGEST, INCIDENT)))
    assert answer.status_code == 409
    assert "can no longer be approved" in answer.json()["message"]
    assert "run.approved" not in desk.kinds()


async def test_a_replayed_request_has_no_effect() -> None:
    desk = front()
    body = click(Acknowledge(INCIDENT, "L1"))
    headers = signed(desk, body)
    codes = [(await desk.ask("POST", "/v1/slack/actions", content=body, headers=headers)).status_code for _ in range(3)]
    assert codes == [200, 401, 401]
    assert desk.kinds().count("incident.acknowledged") == 1


@pytest.mark.parametrize("level", ["L1", "notice"])
async def test_a_click_that_is_replayed_after_a_restart_has_no_effect_and_a_new_one_has(level: str) -> None:
    desk = front()
    body = click(Acknowledge(INCIDENT, level))
    headers = signed(desk, body)
    assert (await desk.ask("POST", "/v1/slack/actions", content=body, headers=headers)).status_code == 200
    desk.anew()
    assert (await desk.ask("POST", "/v1/slack/actions", content=body, headers=headers)).status_code == 401
    assert len(desk.kinds()) == 4
    assert headers["X-Slack-Signature"] not in str(desk.record.events[-1].data)
    desk.clock.advance(1)
    assert (await press(desk, body)).status_code == 200, "pressed again"
    assert len(desk.kinds()) == 5


async def test_what_is_not_signed_as_slack_signs_has_no_effect() -> None:
    desk = front()
    body = click(Acknowledge(INCIDENT, "L1"))
    for headers in (
        {},
        signed(desk, body, secret="another"),
        signed(desk, body, late_s=-301),
        signed(desk, body, late_s=301),
        signed(desk, body + b"&x=1"),
        signed(desk, body) | {"X-Slack-Signature": "v0="},
    ):
        answer = await desk.ask("POST", "/v1/slack/actions", content=body, headers=headers)
        assert answer.status_code == 401
    assert len(desk.kinds()) == 3


async def test_a_click_that_could_not_be_stored_says_so_and_may_be_made_again() -> None:
    desk = front()
    desk.record.refuses = {"incident.acknowledged"}
    assert (await press(desk, click(Acknowledge(INCIDENT, "L1")))).status_code == 503
    desk.record.refuses = set()
    assert (await press(desk, click(Acknowledge(INCIDENT, "L1"), again=1))).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 422),
        (b"payload", 400),
        (b"other=1", 422),
        (b"payload=1&payload=2", 422),
        (b"payload=%7B", 400),
        (b"payload=" + b"%5B" * 10_000, 400),
        (b"payload=%7B%7D", 422),
        (
            urlencode(
                {"payload": json.dumps({"type": "block_actions", "user": {"id": "$(id)"}, "actions": []})}
            ).encode(),
            422,
        ),
        (b"a=1&" * 200 + b"payload=1", 400),
        (b"x" * (256 * 1024 + 1), 413),
    ],
)
async def test_what_is_no_click_is_refused(body: bytes, code: int) -> None:
    desk = front()
    answer = await press(desk, body)
    assert answer.status_code == code, answer.text
    assert "$(id)" not in answer.text
    assert len(desk.kinds()) == 3


async def test_buttons_of_others_and_other_interactions_do_nothing() -> None:
    desk = front()
    for body in (
        click(Acknowledge(INCIDENT, "L1"), type="view_submission"),
        click(Acknowledge(INCIDENT, "L1"), actions=[{"action_id": "other", "value": "x"}]),
        click(Acknowledge("../../etc", "L1")),
    ):
        assert (await press(desk, body)).status_code == 200
    assert len(desk.kinds()) == 3


def webhook(
    key: str = f"codeblue:{INCIDENT}:L1", kind: str = "incident.acknowledged", id_: str = "01CHWEBHOOK", **more: Any
) -> bytes:
    event = {
        "id": id_,
        "event_type": kind,
        "resource_type": "incident",
        "occurred_at": "2026-01-05T03:16:00Z",
        "agent": {"id": "PUSER01", "type": "user_reference"},
        "client": None,
        "data": {"id": "PINC01", "type": "incident", "incident_key": key, "title": "patient Jane Roe"},
        **more,
    }
    return json.dumps({"event": event}).encode()


async def duty(desk: Front, body: bytes, secret: str = PAGERDUTY) -> httpx2.Response:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return await desk.ask("POST", "/v1/pagerduty", content=body, headers={"X-PagerDuty-Signature": f"v1={signature}"})


async def test_acknowledged_in_pagerduty_is_recorded_once_however_often_it_is_repeated() -> None:
    desk = front()
    desk.record.refuses = {"incident.acknowledged"}
    assert (await duty(desk, webhook())).status_code == 503
    desk.record.refuses = set()
    for _ in range(2):  # PagerDuty repeats with the same signature
        assert (await duty(desk, webhook())).status_code == 200
    desk.anew()
    assert (await duty(desk, webhook())).status_code == 200
    event = desk.record.events[-1]
    assert desk.kinds()[3:] == ["incident.acknowledged"]
    assert (event.actor, event.data["level"], event.data["event"]) == ("pagerduty:PUSER01", "L1", "01CHWEBHOOK")
    assert (await duty(desk, webhook(key=f"codeblue:{INCIDENT}:L2", id_="01ANOTHER"))).status_code == 200
    assert desk.kinds()[3:] == ["incident.acknowledged"] * 2


@pytest.mark.req("R3")
@pytest.mark.parametrize(
    "agent",
    [
        None,
        {"id": "PSERVICE", "type": "service_reference"},
        {"id": "PINT01", "type": "events_api_v2_inbound_integration_reference"},
        {"id": "PUSER01"},
    ],
)
async def test_what_no_person_acknowledged_there_takes_over_no_level(agent: object) -> None:
    """Our own settling comes back as an event without a person."""
    desk = front()
    for level in ("L2", "notice"):
        answer = await duty(desk, webhook(f"codeblue:{INCIDENT}:{level}", agent=agent))
        assert (answer.status_code, answer.json()["message"]) == (200, "No person acknowledged it: nothing to record.")
    assert len(desk.kinds()) == 3


async def test_other_events_and_other_incidents_of_pagerduty_do_nothing() -> None:
    desk = front()
    assert (await duty(desk, webhook(kind="incident.resolved"))).status_code == 200
    assert (await duty(desk, webhook(key="somebody else's"))).status_code == 200
    assert (await duty(desk, webhook(key="codeblue:inc-20260105t031500z-ffffff:L1"))).status_code == 404
    assert (await duty(desk, webhook(), secret="another")).status_code == 401
    assert (await duty(desk, b"[]")).status_code == 422
    assert len(desk.kinds()) == 3


async def test_nothing_is_acknowledged_that_is_closed() -> None:
    desk = front()
    desk.tell(Draft("incident.resolved", "person:ada", {"reason": "over"}, incident=INCIDENT))
    assert (await duty(desk, webhook())).status_code == 409
    assert (await press(desk, click(Acknowledge(INCIDENT, "L1")))).status_code == 409


async def test_without_its_secret_neither_endpoint_exists() -> None:
    desk = Front(slack_secret=None, pagerduty_secret=None)
    assert (await desk.ask("POST", "/v1/slack/actions")).status_code == 404
    assert (await desk.ask("POST", "/v1/pagerduty")).status_code == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
CLICKS = st.fixed_dictionaries(
    {
        "type": st.just("block_actions") | JSON,
        "user": st.fixed_dictionaries({"id": st.just("U0APPROVER") | JSON}) | JSON,
        "actions": st.lists(
            st.fixed_dictionaries(
                {
                    "action_id": st.sampled_from(["codeblue.approve", "codeblue.acknowledge"]) | JSON,
                    "value": st.just(Approve(RUN, "cd" * 32, INCIDENT).value) | JSON.map(json.dumps) | JSON,
                }
            )
            | JSON,
            max_size=3,
        )
        | JSON,
    }
)
EVENTS = st.fixed_dictionaries(
    {
        "event": st.fixed_dictionaries(
            {
                "id": st.text() | JSON,
                "event_type": st.just("incident.acknowledged") | JSON,
                "agent": st.fixed_dictionaries({"id": st.text(), "type": st.just("user_reference")}) | JSON,
                "data": st.fixed_dictionaries({"incident_key": st.text() | JSON}) | JSON,
            }
        )
        | JSON
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=CLICKS | JSON, event=EVENTS | JSON)
async def test_whatever_stands_behind_a_good_signature_is_no_defect(said: Any, event: Any) -> None:
    """Signed as the providers sign: without that nothing behind the signature would be reached."""
    desk = front()
    form = urlencode({"payload": json.dumps(said)}).encode()
    answers = [await press(desk, form), await duty(desk, json.dumps(event).encode())]
    for answer in answers:
        assert answer.status_code in (200, 400, 403, 404, 409, 422), answer.text
        if answer.status_code >= 400:
            assert set(answer.json()) == {"message", "remedy"}
    assert len(desk.kinds()) == 3, "nobody pressed a button of ours for what there is"
