"""POST /v1/alerts: what becomes an event, what does not, and what is never kept."""

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.web.desk import TOKEN, Front, alert, message

from codeblue.engine.runs import Runs
from codeblue.model.event import Draft, Event
from codeblue.model.health import Outcome
from codeblue.model.pulse import Pulse
from codeblue.model.verdict import Verdict
from codeblue.profile.secretref import SecretRef
from codeblue.record.alerts import AlertFold, breaches
from codeblue.watch.alerts import Alerts

MB = 1024 * 1024


async def test_an_alert_is_one_event_however_often_it_is_sent() -> None:
    desk = Front()
    for _ in range(3):
        answer = await desk.alert(message([alert(1, codeblue_trigger="R5"), alert(2)]))
        assert answer.status_code == 200
    assert answer.json() == {"recorded": 0, "resolved": 0, "known": 2}
    assert desk.kinds() == ["alert.received"] * 2
    assert desk.record.events[0].data == {
        "fingerprint": "0000000000000001",
        "starts_at": "2026-01-05T03:10:00.000000+00:00",
        "alertname": "HighErrorRate",
        "severity": "critical",
        "service": "",
        "namespace": "",
        "deployment": "",
        "pod": "",
        "trigger": "R5",
    }


async def test_another_start_is_another_alert_and_the_same_moment_in_another_zone_is_not() -> None:
    desk = Front()
    await desk.alert(message([alert(starts="2026-01-05T03:10:00.123456789Z")]))
    await desk.alert(message([alert(starts="2026-01-05T04:10:00.123456789+01:00")]))
    assert desk.kinds() == ["alert.received"]
    await desk.alert(message([alert(starts="2026-01-05T03:11:00Z")]))
    assert desk.kinds() == ["alert.received"] * 2


async def test_a_restart_forgets_no_alert() -> None:
    desk = Front()
    await desk.alert(message([alert(1), alert(2)]))
    await desk.alert(message([alert(2, status="resolved")]))
    desk.anew()
    await desk.alert(message([alert(1), alert(2, status="resolved")]))
    assert desk.kinds() == ["alert.received", "alert.received", "alert.resolved"]


async def test_an_alert_that_was_said_to_be_over_and_fires_on_is_recorded_again_once() -> None:
    """Prometheus did not reach Alertmanager for a while: that one says *resolved*, then that it fires again."""
    desk = Front()
    for status in ("firing", "resolved"):
        await desk.alert(message([alert(1, status=status)]))
    for restarted in (False, False, True):
        if restarted:
            desk.anew()
        await desk.alert(message([alert(1)]))
    assert desk.kinds() == ["alert.received", "alert.resolved", "alert.received"]
    assert len(folded(desk, 3600).firing(desk.clock.now())) == 1
    await desk.alert(message([alert(1, status="resolved")]))
    assert folded(desk, 3600).firing(desk.clock.now()) == ()


async def test_an_alert_that_its_sender_repeats_fires_on_and_counts_as_one() -> None:
    desk = Front("api: {alert_expires: 6h}\n")
    for _ in range(80):
        assert (await desk.alert(message([alert(1, codeblue_trigger="R5")]))).status_code == 200
        [found] = folded(desk, 6 * 3600).firing(desk.clock.now())
        assert (found.seq, found.trigger) == (1, "R5")
        desk.clock.advance(900)
    assert len(desk.kinds()) == 80 // 6 + 1, "every 90 min"
    text = (await desk.ask("GET", "/metrics")).text
    assert 'codeblue_alerts_total{what="received"} 1.0' in text
    desk.clock.advance(6 * 3600)
    assert folded(desk, 6 * 3600).firing(desk.clock.now()) == (), "its sender is gone"
    assert (await desk.alert(message([alert(1)]))).json()["recorded"] == 1, "and is back"
    assert len(folded(desk, 6 * 3600).firing(desk.clock.now())) == 1


async def test_what_fires_on_takes_no_place_of_what_is_new() -> None:
    desk = Front("api: {alerts_per_hour: 10, alert_expires: 1m}\n")
    assert (await desk.alert(message([alert(n) for n in range(10)]))).status_code == 200
    desk.clock.advance(15)
    assert (await desk.alert(message([alert(n) for n in range(10)]))).status_code == 200
    assert len(desk.kinds()) == 20


async def test_what_another_process_recorded_meanwhile_is_known() -> None:
    desk, other = Front(), Front()
    other.record = desk.record
    other.desk = desk.desk
    other.anew()
    await desk.alert(message([alert(1)]))
    await other.alert(message([alert(1)]))
    await other.alert(message([alert(2)]))
    await desk.alert(message([alert(2)]))
    assert desk.kinds() == ["alert.received"] * 2


async def test_many_senders_at_once_are_taken_one_by_one() -> None:
    desk = Front()
    kept, meet = desk.record.append, threading.Barrier(2)

    def appends(draft: Draft) -> Event:
        with suppress(threading.BrokenBarrierError):
            meet.wait(0.05)  # two that append at once meet here
        return kept(draft)

    desk.record.append = appends  # type: ignore[method-assign]
    answers = await asyncio.gather(*(desk.alert(message([alert(n) for n in range(20)])) for _ in range(3)))
    assert [a.status_code for a in answers] == [200] * 3
    assert len(desk.kinds()) == 20


async def test_a_resolved_alert_is_recorded_once_and_only_where_it_was_known() -> None:
    desk = Front()
    await desk.alert(message([alert(9, status="resolved")]))
    assert desk.kinds() == []
    await desk.alert(message([alert(1)]))
    for _ in range(2):
        await desk.alert(message([alert(1, status="resolved")]))
    # a group that still fires holds resolved ones: each alert's own state counts
    await desk.alert(message([alert(2, status="resolved"), alert(3)], status="firing"))
    assert desk.kinds() == ["alert.received", "alert.resolved", "alert.received"]


async def test_it_is_answered_only_after_it_is_stored() -> None:
    desk = Front()
    desk.record.refuses = {"alert.received"}
    answer = await desk.alert(message([alert(1)]))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert desk.kinds() == []
    desk.record.refuses = set()
    assert (await desk.alert(message([alert(1)]))).status_code == 200
    assert desk.kinds() == ["alert.received"]


async def test_a_record_that_ends_in_the_middle_of_a_message_goes_on_there() -> None:
    desk = Front()
    kept = desk.record.append
    left = [2]

    def appends(draft: Any) -> Any:
        if not left[0]:
            desk.record.refuses = {""}
        left[0] -= 1
        return kept(draft)

    desk.record.append = appends  # type: ignore[method-assign]
    assert (await desk.alert(message([alert(n) for n in range(4)]))).status_code == 503
    assert len(desk.kinds()) == 2
    desk.record.refuses, left[0] = set(), 99
    answer = await desk.alert(message([alert(n) for n in range(4)]))
    assert answer.json() == {"recorded": 2, "resolved": 0, "known": 2}


async def test_a_standby_without_a_shared_record_does_not_swallow_an_alert() -> None:
    desk = Front()
    desk.loop.now = Pulse(acting=False)
    answer = await desk.alert(message([alert(1)]))
    assert answer.status_code == 503
    assert "stands by" in answer.json()["message"]
    assert desk.kinds() == []


async def test_a_standby_with_a_shared_record_stores() -> None:
    shared = Front()
    state = shared.desk.profile.state.model_copy(update={"database": SecretRef(env="SOME_DATABASE")})
    shared.desk = replace(shared.desk, profile=shared.desk.profile.model_copy(update={"state": state}))
    shared.anew()
    shared.loop.now = Pulse(acting=False)
    assert (await shared.alert(message([alert(1)]))).status_code == 200
    assert shared.kinds() == ["alert.received"]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "ünïcode"])
async def test_without_the_token_nothing_is_recorded(token: str) -> None:
    desk = Front()
    headers = {"Authorization": f"Bearer {token}".encode(), "Content-Type": "application/json"}
    answer = await desk.ask("POST", "/v1/alerts", content=json.dumps(message([alert()])), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert desk.kinds() == []


async def test_the_scheme_counts_as_well() -> None:
    desk = Front()
    for header in (TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}"):
        answer = await desk.ask("POST", "/v1/alerts", content=b"{}", headers={"Authorization": header})
        assert answer.status_code == 401


async def test_without_a_token_in_the_profile_there_is_no_such_endpoint() -> None:
    desk = Front(alerts_token=None)
    assert (await desk.alert(message([alert()]))).status_code == 404
    assert "/v1/alerts" not in (await desk.ask("GET", "/openapi.json")).text


async def test_labels_are_text_and_only_those_of_the_list_are_kept() -> None:
    desk = Front()
    hostile = {
        "alertname": "{{7*7}}",
        "severity": "$(id)",
        "pod": "<script>alert(1)</script>",
        "deployment": "a\nb\x1b[2J",
    }
    await desk.alert(message([alert(1, **hostile, patient="Jane Roe", codeblue_trigger="R4; DROP TABLE")]))
    data = desk.record.events[0].data
    assert data["alertname"] == "{{7*7}}"
    assert data["severity"] == "$(id)"
    assert data["pod"] == "<script>alert(1)</script>"
    assert data["deployment"] == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[2J"
    assert data["trigger"] == ""
    assert "Jane" not in str(data)


async def test_a_label_that_is_long_or_holds_a_secret_is_not_kept_as_it_is() -> None:
    desk = Front()
    await desk.alert(message([alert(1, pod="p" * 100_000, deployment="password=hunter2hunter2")]))
    data = desk.record.events[0].data
    assert data["pod"] == "p" * 253
    assert data["deployment"] == "password=***"


async def test_alerts_that_were_left_out_are_recorded_once_an_hour_so_that_somebody_is_paged() -> None:
    desk = Front()
    for _ in range(3):
        await desk.alert(message([], truncatedAlerts=7))
    await desk.alert(message([], truncatedAlerts=2, groupKey="another"))
    assert [t.left_out for t in folded(desk, 3600).truncated(desk.clock.now())] == [7, 2]
    desk.clock.advance(3599)
    desk.anew()
    await desk.alert(message([], truncatedAlerts=7))
    assert len(desk.of("alert.truncated")) == 2
    desk.clock.advance(1)
    await desk.alert(message([], truncatedAlerts=7))
    assert len(desk.of("alert.truncated")) == 3
    assert [t.left_out for t in folded(desk, 3600).truncated(desk.clock.now())] == [7], "the other one is old"


async def test_a_group_that_is_whole_again_is_no_truncation_any_more() -> None:
    desk = Front()
    await desk.alert(message([], truncatedAlerts=7))
    await desk.alert(message([], groupKey="another"))
    assert desk.kinds() == ["alert.truncated"]
    for restarted in (True, False):
        if restarted:
            desk.anew()
        await desk.alert(message([]))
    assert desk.kinds() == ["alert.truncated", "alert.complete"]
    assert folded(desk, 3600).truncated(desk.clock.now()) == ()
    await desk.alert(message([], truncatedAlerts=7))
    assert desk.kinds()[2:] == ["alert.truncated"]


async def test_a_flood_does_not_fill_the_record_and_is_told_to_come_again() -> None:
    desk = Front("api: {alerts_per_hour: 10}\n")
    answer = await desk.alert(message([alert(n) for n in range(25)]))
    assert answer.status_code == 503  # 429 would be dropped by Alertmanager
    assert int(answer.headers["retry-after"]) >= 1
    assert len(desk.kinds()) == 10
    assert (await desk.alert(message([alert(n) for n in range(10)]))).status_code == 200, "what is known costs nothing"
    desk.clock.advance(3600)
    await desk.alert(message([alert(n) for n in range(25)]))
    assert len(desk.kinds()) == 20


async def test_messages_are_counted_too() -> None:
    desk = Front()
    codes = [(await desk.alert(message([]))).status_code for _ in range(602)]
    assert codes.count(200) == 600
    assert codes[-1] == 503
    desk.clock.advance(60)
    assert (await desk.alert(message([]))).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b'{"alerts":' * 10_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (json.dumps(message([])).replace('"4"', '"3"').encode(), 422),
        (json.dumps(message([alert() | {"status": "unknown"}])).encode(), 422),
        (json.dumps(message([alert() | {"fingerprint": "../../etc"}])).encode(), 422),
        (json.dumps(message([alert() | {"startsAt": "yesterday"}])).encode(), 422),
        (json.dumps(message([alert() | {"startsAt": 1767582900}])).encode(), 422),
        (json.dumps(message([alert() | {"labels": {"a": {"b": "c"}}}])).encode(), 422),
        (json.dumps(message([], truncatedAlerts=-1)).encode(), 422),
        (json.dumps(message([], truncatedAlerts=2**70)).encode(), 422),
        (b"\xff\xfe{}", 400),
        (json.dumps(message([alert(1, pod="\ud800")])).encode(), 400),
    ],
)
async def test_what_is_no_message_is_refused_and_not_repeated(body: bytes, code: int) -> None:
    desk = Front()
    answer = await desk.alert(body)
    assert answer.status_code == code, answer.text
    assert set(answer.json()) == {"message", "remedy"}
    assert "etc" not in answer.text
    assert "yesterday" not in answer.text
    assert desk.kinds() == []


@pytest.mark.parametrize("size", [0, 3400])
async def test_a_thousand_alerts_are_taken_with_all_that_an_alert_can_say(size: int) -> None:
    desk = Front()
    body = message(
        [alert(n) | {"annotations": {"description": "a pod waits for long, " * (size // 22)}} for n in range(1000)]
    )
    assert len(json.dumps(body)) < 4 * MB
    assert (await desk.alert(body)).json()["recorded"] == 1000


TOO_MUCH = [
    (json.dumps(message([alert(n) for n in range(1001)])).encode(), 422),
    (json.dumps(message([alert(n) for n in range(10_000)])).encode(), 422),
    (b" " * (4 * MB + 1), 413),
    (b" " * (9 * MB), 413),
    (b'{"version":"4","alerts":[' + b"{}," * 300_000 + b"{}]}", 422),
]


@pytest.mark.done("4.6")
@pytest.mark.parametrize(("body", "code"), TOO_MUCH)
async def test_what_is_too_much_is_refused_and_people_hear_that_it_was(body: bytes, code: int) -> None:
    """Alertmanager drops what is answered with 4xx: in the worst storm nobody would be paged."""
    desk = Front()
    for _ in range(3):
        answer = await desk.alert(body)
        assert answer.status_code == code, answer.text
        assert set(answer.json()) == {"message", "remedy"}
    [event] = desk.record.events
    assert (event.kind, event.data) == ("alert.truncated", {"group": "refused", "left_out": 0})
    [found] = folded(desk, 3600).truncated(desk.clock.now())
    assert found.left_out == 0
    desk.clock.advance(600)
    await desk.alert(body)
    assert len(desk.kinds()) == 2, "by then it can be another group"


@pytest.mark.parametrize(("body", "code"), TOO_MUCH)
async def test_what_is_too_much_and_cannot_be_recorded_is_asked_for_again(body: bytes, code: int) -> None:
    desk = Front()
    desk.record.refuses = {""}
    assert (await desk.alert(body)).status_code == 503
    assert (await desk.alert(body, token="wrong")).status_code == 401
    desk.record.refuses = set()
    assert (await desk.alert(body, token="wrong")).status_code == 401
    assert desk.kinds() == [], "nobody without the token pages anybody"


async def test_another_type_is_refused() -> None:
    desk = Front()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
    assert (await desk.ask("POST", "/v1/alerts", content=b"{}", headers=headers)).status_code == 415


def folded(desk: Front, expires_s: float) -> AlertFold:
    fold = AlertFold(expires_s, lag_s=900)
    for event in desk.record.events:
        fold.add(event)
    return fold


async def test_the_fold_tells_which_alerts_fire_and_which_trigger_they_name() -> None:
    desk = Front()
    await desk.alert(message([alert(1, codeblue_trigger="r5"), alert(2, codeblue_trigger="R9"), alert(3)]))
    assert [a.identity.fingerprint[-1] for a in folded(desk, 3600).firing(desk.clock.now())] == ["1", "2", "3"]
    desk.clock.advance(600)
    await desk.alert(message([alert(3, status="resolved"), alert(4, codeblue_trigger="R5")]))
    at, fold = desk.clock.now(), folded(desk, 3600)
    assert [a.identity.fingerprint[-1] for a in fold.firing(at)] == ["1", "2", "4"]
    assert {rule: a.seq for rule, a in breaches(fold.firing(at)).items()} == {"R5": 1}
    later = fold.firing(at + timedelta(seconds=3000))
    assert [a.identity.fingerprint[-1] for a in later] == ["4"], "nobody said that the others are over"
    assert fold.firing(at + timedelta(seconds=3600)) == ()


async def test_an_alert_that_two_processes_recorded_counts_once() -> None:
    desk = Front()
    await desk.alert(message([alert(1, codeblue_trigger="R5")]))
    [event] = desk.record.events
    desk.tell(Draft(event.kind, event.actor, event.data))
    [found] = folded(desk, 3600).firing(desk.clock.now())
    assert found.seq == 1
    await desk.alert(message([alert(1, status="resolved")]))
    assert folded(desk, 3600).firing(desk.clock.now()) == ()


async def test_what_is_over_is_forgotten_by_the_fold() -> None:
    desk = Front("api: {alerts_per_hour: 100000}\n")
    fold = AlertFold(60, lag_s=900)
    for n in range(5):
        await desk.alert(message([alert(n * 100 + m) for m in range(100)]))
        for event in desk.record.read(after=fold.seq):
            fold.add(event)
        assert len(fold.firing(desk.clock.now())) == 100
        desk.clock.advance(61)
    assert len(fold._held) <= 100


async def test_the_loop_judges_by_what_is_new_in_the_record() -> None:
    desk = Front("api: {}\n")
    world = SimpleNamespace(profile=desk.desk.profile, clock=desk.clock)
    alerts = Alerts(cast(Runs, SimpleNamespace(record=desk.record, world=world)))
    own = [Verdict("R4", Outcome.OK, "0 failures"), Verdict("R5", Outcome.UNKNOWN, "no metrics")]
    assert alerts.judge(own) == tuple(own)
    ours = alert(1, codeblue_trigger="R5", service="api")
    await desk.alert(message([ours, alert(2, alertname="{{7*7}}")], truncatedAlerts=3))
    r4, r5, others = alerts.judge(own)
    assert (r4.outcome, r5.outcome, others.outcome) == (Outcome.OK, Outcome.BREACH, Outcome.BREACH)
    assert "seen from here: unknown, no metrics" in r5.why
    assert others.why == "1 alerts fire: '{{7*7}}'; a message left 3 alerts out"
    await desk.alert(b" " * (4 * MB + 1))
    assert alerts.judge(own)[-1].why.endswith("; a message left 3 alerts out; a message was refused as too much")


async def test_an_alert_that_names_a_trigger_of_another_service_is_for_people() -> None:
    desk = Front("api: {}\n")
    world = SimpleNamespace(profile=desk.desk.profile, clock=desk.clock)
    alerts = Alerts(cast(Runs, SimpleNamespace(record=desk.record, world=world)))
    own = Verdict("R5", Outcome.OK, "0 %")
    for n, labels in enumerate(({"service": "billing"}, {})):
        await desk.alert(message([alert(n, alertname=f"A{n}", codeblue_trigger="R5", **labels)]))
    r5, others = alerts.judge([own])
    assert r5 == own
    assert others.why == "2 alerts fire: 'A0' (R5 of something else), 'A1' (R5 of something else)"
