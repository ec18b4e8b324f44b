"""/healthz, /v1/status, /metrics, and what every answer carries."""

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.web.desk import STATUS_TOKEN, TOKEN, Front, alert, message
from tests.unit.web.test_clicks import INCIDENT, OPENED, REQUESTED, RUN, WAITING

from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.model.pulse import Pulse
from codeblue.model.verdict import Verdict
from codeblue.testing.clock import VirtualClock
from codeblue.watch.pulse import Heart
from codeblue.web.answers import HEADERS


async def metrics(desk: Front) -> dict[str, float]:
    """Every sample: name with its labels → value."""
    answer = await desk.ask("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {
        s.name + "".join(f" {k}={v}" for k, v in sorted(s.labels.items())): s.value for f in families for s in f.samples
    }


async def test_healthz_says_whether_the_loop_lives() -> None:
    desk = Front("watchdog: {silent_after: 30s}\n")
    desk.loop.now = Pulse(acting=True, age_s=30.0)
    answer = await desk.ask("GET", "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"acting": True, "last_cycle_age_s": 30.0})
    desk.loop.now = Pulse(acting=True, age_s=30.01)
    answer = await desk.ask("GET", "/healthz")
    assert answer.status_code == 503
    assert "hangs" in answer.json()["message"]


async def test_healthz_needs_no_record() -> None:
    desk = Front()
    desk.record.refuses = {""}
    desk.record.read = None  # type: ignore[assignment, method-assign]
    assert (await desk.ask("GET", "/healthz")).status_code == 200


async def test_status_is_told_to_those_who_have_the_token() -> None:
    desk = Front()
    desk.tell(OPENED, REQUESTED, WAITING)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}"}):
        answer = await desk.ask("GET", "/v1/status", headers=headers)
        assert answer.status_code == 401
        assert INCIDENT not in answer.text
    answer = await desk.ask("GET", "/v1/status", headers={"Authorization": f"Bearer {STATUS_TOKEN}"})
    document = answer.json()
    assert document["schema"] == "codeblue/status/1"
    assert [i["id"] for i in document["open_incidents"]] == [INCIDENT]
    assert [r["id"] for r in document["unfinished_runs"]] == [RUN]
    assert (await Front(status_token=None).ask("GET", "/v1/status")).status_code == 404


async def test_metrics_are_counted_from_the_record() -> None:
    desk = Front()
    desk.loop.now = Pulse(
        acting=True,
        age_s=1.5,
        cycles=3,
        seconds=0.9,
        buckets=((0.5, 2), (float("inf"), 3)),
        verdicts={("R4", "breach"): 2},
    )
    desk.tell(OPENED, REQUESTED, WAITING)
    seen = await metrics(desk)
    assert seen["codeblue_record_length"] == 3
    assert seen["codeblue_incidents_open severity=SEV1"] == 1
    assert seen["codeblue_runs_unfinished state=waiting for approval"] == 1
    await desk.alert(message([alert(1), alert(2)]))
    key = f"{INCIDENT}:L1:0:on_call:pagerduty"
    call = {"level": "L1", "cycle": 0, "role": "on_call"}
    desk.tell(
        Draft("run.started", "engine", {"deadline": "2026-01-05T03:20:00+00:00", "process": ""}, run=RUN),
        Draft("step.ended", "engine", {"step": "a", "state": "done", "why": "", "remedy": ""}, run=RUN),
        Draft("run.ended", "engine", {"state": "done", "why": "", "remedy": "", "exit_code": 0}, run=RUN),
        Draft("page.intended", "pager", {**call, "key": key, "channel": "pagerduty", "round": 0}, incident=INCIDENT),
        Draft("page.delivered", "pager", {"key": key, "fate": "accepted"}, incident=INCIDENT),
        Draft("incident.mitigated", "watch", {"why": "ok"}, incident=INCIDENT),
    )
    seen = await metrics(desk)
    assert {k: v for k, v in seen.items() if v and not k.startswith(("codeblue_build", "codeblue_http"))} == {
        "codeblue_lease_held": 1,
        "codeblue_cycles_total": 3,
        "codeblue_last_cycle_age_seconds": 1.5,
        "codeblue_cycle_duration_seconds_bucket le=0.5": 2,
        "codeblue_cycle_duration_seconds_bucket le=+Inf": 3,
        "codeblue_cycle_duration_seconds_count": 3,
        "codeblue_cycle_duration_seconds_sum": 0.9,
        "codeblue_verdicts_total outcome=breach rule=R4": 2,
        "codeblue_record_length": 11,
        "codeblue_incidents_total severity=SEV1 trigger=R4": 1,
        "codeblue_runs_total runbook=quick_rollback state=done": 1,
        "codeblue_steps_total runbook=quick_rollback state=done": 1,
        "codeblue_pages_total channel=pagerduty fate=accepted": 1,
        "codeblue_alerts_total what=received": 2,
        "codeblue_alerts_open": 2,
    }
    assert seen["codeblue_http_answers_total endpoint=/v1/alerts method=POST status=200"] == 1


async def test_what_strangers_ask_for_becomes_no_label() -> None:
    desk = Front()
    for n in range(50):
        await desk.ask("GET", f"/nowhere/{n}")
        await desk.ask(f"M{n}", "/healthz")
    seen = {k: v for k, v in (await metrics(desk)).items() if k.startswith("codeblue_http_answers_total")}
    assert seen["codeblue_http_answers_total endpoint=none method=GET status=404"] == 50
    assert len(seen) <= 4, seen


async def test_metrics_of_a_record_that_cannot_be_read_are_an_error_not_zero() -> None:
    desk = Front()
    desk.tell(OPENED)
    altered = replace(desk.record.events[0], data={"severity": 1})
    desk.record.events[0] = altered
    answer = await desk.ask("GET", "/metrics")
    assert answer.status_code == 503
    assert "damaged" in answer.json()["message"]


async def test_a_loop_that_beats_is_told_as_it_was() -> None:
    clock = VirtualClock()
    heart = Heart(clock)
    clock.advance(4)
    assert heart.pulse() == Pulse(age_s=4.0, buckets=heart.pulse().buckets)
    heart.beat("ok", took_s=0.3, acting=True)
    heart.judged([Verdict("R4", Outcome.OK, "0"), Verdict("R5", Outcome.UNKNOWN, "no data")])
    heart.beat("ok again", took_s=99, acting=True)
    clock.advance(2)
    pulse = heart.pulse()
    assert (pulse.sentence, pulse.age_s, pulse.cycles, pulse.at) == ("ok again", 2.0, 2, pulse.at)
    assert dict(pulse.buckets)[0.5] == 1
    assert dict(pulse.buckets)[float("inf")] == 2
    assert pulse.verdicts == {("R4", "ok"): 1, ("R5", "unknown"): 1}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/healthz"), ("GET", "/nowhere"), ("POST", "/v1/alerts"), ("PUT", "/healthz")]
)
async def test_every_answer_is_kept_from_caches_frames_and_sniffing(method: str, path: str) -> None:
    answer = await Front().ask(method, path)
    assert {k: answer.headers[k] for k in HEADERS} == HEADERS
    assert answer.headers["content-type"] == "application/json"
    if answer.status_code >= 400:
        assert set(answer.json()) == {"message", "remedy"}


async def test_a_defect_of_ours_is_no_traceback() -> None:
    desk = Front()

    def broken() -> Pulse:
        raise RuntimeError("password=hunter2")

    desk.loop.pulse = broken  # type: ignore[method-assign]
    answer = await desk.ask("GET", "/healthz")
    assert answer.status_code == 500
    assert set(answer.json()) == {"message", "remedy"}
    assert not re.search("hunter2|Traceback|RuntimeError", answer.text)
    assert {k: answer.headers[k] for k in HEADERS} == HEADERS


async def test_a_method_that_is_not_taken_is_told_which_are() -> None:
    answer = await Front().ask("DELETE", "/v1/alerts")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
