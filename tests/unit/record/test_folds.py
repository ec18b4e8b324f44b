"""Runs and incidents, folded from their events."""

from datetime import timedelta

import pytest
from tests.unit.record.events import INCIDENT, RUN, START, Story

from codeblue.model.errors import ExitCode
from codeblue.record.incidents import INCIDENT_KINDS, fold_incidents, open_incidents
from codeblue.record.runs import RUN_KINDS, RunState, fold_runs


def whole() -> Story:
    story = Story()
    story.opened()
    story.add("incident.decided", {"action": "rollback", "sentence": "rollback: R4"}, incident=INCIDENT, actor="watch")
    story.requested()
    story.run("run.started", deadline=(START + timedelta(seconds=300)).isoformat())
    story.run("step.started", step="preflight", limit_s=10)
    story.run("step.progress", step="preflight", text="looking")
    story.run("step.ended", step="preflight", state="done", why="all well", remedy="")
    story.run("step.started", step="template", limit_s=10)
    story.run("step.intended", step="template", change={"summary": "1 → 2"}, epoch=3)
    story.run("step.applied", step="template", change={"summary": "1 → 2"}, accepted="version 7")
    story.run("step.ended", step="template", state="done", why="in force", remedy="")
    story.run("run.ended", state="done", why="every step is proven", remedy="", exit_code=0)
    return story


def test_a_run_is_what_its_events_say() -> None:
    run = fold_runs(whole().events)[RUN]
    assert (run.state, run.exit_code, run.why) == (RunState.DONE, ExitCode.DONE, "every step is proven")
    assert (run.actor, run.reason, run.runbook, run.incident) == ("watch", "R4", "quick_rollback", INCIDENT)
    assert run.started == START + timedelta(seconds=4)
    assert run.ended == START + timedelta(seconds=12)
    assert run.events == tuple(range(3, 13))
    preflight, template = run.steps
    assert (preflight.state, preflight.why, preflight.now) == ("done", "all well", "all well")
    assert template.changes == ("1 → 2: version 7",)
    assert run.step("template") is template
    with pytest.raises(KeyError):
        run.step("nothing")


@pytest.mark.parametrize(
    ("upto", "state", "now"),
    [
        (3, "requested", ""),
        (4, "running", ""),
        (6, "running", "looking"),
        (11, "running", "all well"),
        (12, "done", ""),
    ],
)
def test_a_run_at_every_moment(upto: int, state: str, now: str) -> None:
    run = fold_runs(whole().events[:upto])[RUN]
    assert run.state == state
    assert run.state.ended is (state == "done")
    if now:
        assert run.steps[0].now == now


def test_a_step_that_was_under_way_when_its_run_ended_runs_no_more() -> None:
    story = Story()
    story.requested()
    story.run("run.started", deadline=(START + timedelta(seconds=300)).isoformat())
    story.run("step.started", step="preflight", limit_s=10)
    story.run("run.ended", state="aborted", why="its command is gone", remedy="", exit_code=1)
    run = fold_runs(story.events)[RUN]
    assert [s.state for s in run.steps] == ["stopped", "waiting"]
    assert run.steps[0].ended == run.ended


@pytest.mark.req("R1a")
def test_an_approval_counts_only_for_the_digest_of_the_plan() -> None:
    story = Story()
    story.requested()
    story.run("run.waiting", digest="d1", until=1800)
    story.run("run.approved", actor="person:eve", digest="d2")
    assert fold_runs(story.events)[RUN].approved_by == ""
    assert fold_runs(story.events)[RUN].state is RunState.WAITING
    story.run("run.approved", actor="person:ada", digest="d1")
    assert fold_runs(story.events)[RUN].approved_by == "person:ada"


def test_aborts_and_resumptions_are_kept() -> None:
    story = Story()
    story.requested()
    story.run("run.started", deadline=START.isoformat())
    story.run("run.resumed")
    story.run("run.resumed")
    story.run("run.abort_requested", actor="person:ada")
    run = fold_runs(story.events)[RUN]
    assert (run.resumed, run.aborted_by, run.state) == (2, "person:ada", RunState.RUNNING)


def test_events_of_an_unknown_run_or_kind_are_no_run() -> None:
    story = Story()
    story.run("run.ended", run="run-20260105t030000z-cccccc", state="done", why="", remedy="", exit_code=0)
    story.add("incident.opened.later", {}, incident="inc-20260105t030000z-cccccc")
    assert fold_runs(story.events) == {}
    assert fold_incidents(story.events) == {}


def test_runs_are_folded_apart_in_the_order_of_their_requests() -> None:
    story = Story()
    other = "run-20260105t030000z-dddddd"
    story.requested(other)
    story.requested()
    story.run("run.ended", run=other, state="refused", why="no", remedy="r", exit_code=3)
    runs = fold_runs(story.events)
    assert list(runs) == [other, RUN]
    assert runs[other].exit_code is ExitCode.REFUSED
    assert runs[RUN].state is RunState.REQUESTED


def test_the_state_of_a_run_needs_only_the_kinds_that_are_declared() -> None:
    events = whole().events
    few = fold_runs([e for e in events if e.kind in RUN_KINDS])[RUN]
    all_ = fold_runs(events)[RUN]
    for name in ("state", "runbook", "actor", "started", "ended", "deadline", "exit_code", "why", "digest", "incident"):
        assert getattr(few, name) == getattr(all_, name)


def test_an_incident_is_what_its_events_say() -> None:
    story = whole()
    [incident] = open_incidents(story.events)
    assert (incident.severity, incident.trigger, incident.why) == ("SEV1", "R4", "4 > 3")
    assert (incident.began, incident.opened) == (START, START + timedelta(seconds=1))
    assert incident.decision is not None
    assert incident.decision["action"] == "rollback"
    assert incident.runs == (RUN,)
    story.add("incident.noted", {"text": "called the ward"}, incident=INCIDENT, actor="person:ada")
    story.add("incident.mitigated", {"why": "healthy"}, incident=INCIDENT)
    assert open_incidents(story.events) == []
    incident = fold_incidents(story.events)[INCIDENT]
    assert (incident.state, incident.notes) == ("mitigated", ("called the ward",))
    assert incident.mitigated == START + timedelta(seconds=14)
    story.run("step.made", step="report", key="k", reference="/r.md")
    story.add("incident.resolved", {}, incident=INCIDENT, actor="person:ada")
    incident = fold_incidents(story.events)[INCIDENT]
    assert (incident.state, incident.report) == ("resolved", "/r.md")
    assert fold_incidents([e for e in story.events if e.kind in INCIDENT_KINDS]) == fold_incidents(story.events)


def test_open_incidents_are_those_that_are_not_over_the_newest_first() -> None:
    story = Story()
    story.opened()
    story.add("incident.mitigated", {"why": "w"}, incident=INCIDENT)
    second, third = "inc-20260105t040000z-bbbbbb", "inc-20260105t050000z-bbbbbb"
    story.opened(second)
    assert [i.id for i in open_incidents(story.events)] == [second]
    story.opened(third)
    assert [i.id for i in open_incidents(story.events)] == [third, second]
    story.add("incident.resolved", {}, incident=third)
    assert list(fold_incidents(story.events)) == [INCIDENT, second, third]
