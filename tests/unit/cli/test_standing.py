"""What people are told while something is open: what it is about, whether it goes on, and who has to act."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.postgres import Postgres
from tests.unit.cli.program import PROFILE, Home
from tests.unit.record.events import INCIDENT, RUN, START, Story
from tests.unit.record.test_folds import whole

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.postgres import PostgresRecord
from codeblue.model.event import Draft
from codeblue.model.secret import Secret

pytestmark = pytest.mark.slow

INPUTS = {
    "origin_label": "2.0 (sha256:bb)",
    "target_label": "1.0 (sha256:aa)",
    "because": "revision 1: known-good since yesterday",
    "notes": ["not all pods at once: no room"],
}
OTHER = "run-20260105t040000z-cccccc"


@contextmanager
def owned(home: Home, kind: str = "serve") -> Iterator[None]:
    """The state directory has an owner, as while a daemon is at work."""
    home.file.parent.mkdir(exist_ok=True)
    with (home.file.parent / "owner").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"holder": "node/1/abc", "kind": kind, "pid": 1}, file)
        file.flush()
        yield


def incident(mode: str = "act", action: str = "rollback", **decided: Any) -> Story:
    story = Story()
    story.opened()
    data = {"action": action, "sentence": f"{action}: R4: 4 > 3", "mode": mode, **decided}
    story.add("incident.decided", data, incident=INCIDENT, actor="watch")
    return story


def started(story: Story, run: str = RUN, incident: str = "", **more: Any) -> Story:
    story.requested(run, incident, **more)
    story.run("run.started", run, incident, deadline=(START + timedelta(minutes=5)).isoformat())
    return story


@pytest.mark.req("R1a")
def test_a_run_that_waits_shows_what_it_is_about_and_how_to_approve_or_abort_it(home: Home) -> None:
    story = incident("ask")
    story.requested(inputs=INPUTS)
    story.run("run.waiting", digest="d1", until=1800)
    home.tell(story)
    with owned(home):
        shown, status = home.run("run", "show", RUN).out, home.run("status").out
    assert shown.startswith(f"WAITING FOR APPROVAL: quick_rollback\nRun {RUN}\n")
    for line in ("from 2.0 (sha256:bb) to 1.0 (sha256:aa)", INPUTS["because"], "not all pods at once: no room"):
        assert f"\n  {line}\n" in shown
    assert "\n  digest of the plan: d1\n" in shown
    commands = f"`codeblue run approve {RUN}` starts it; `codeblue run abort {RUN}` ends it"
    assert f"\nNext: {commands}.\n" in shown
    assert f"\n  next: {commands}\n" in status
    assert "from 2.0 (sha256:bb) to 1.0 (sha256:aa)" in status
    assert f"codeblue run resume {RUN}` then begins it" in home.run("run", "show", RUN).out


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_nobody_executes_stands_still_and_is_told_so(home: Home, begun: bool) -> None:
    story = Story()
    if begun:
        started(story)
    else:
        story.requested(incident="")
    home.tell(story)
    how = f"`codeblue run resume {RUN}` goes on; `codeblue run abort {RUN}` and then resume ends it"
    assert f"UNFINISHED quick_rollback {RUN}: stands still; " in home.run("status").out
    assert how in home.run("status").out
    assert home.run("status", "--json").document["stands_still"] == [RUN]
    assert f"{RUN}  stands still " in home.run("run", "list").out
    assert home.run("run", "show", RUN).out.startswith("STANDS STILL: quick_rollback\n")
    assert f"Next: nobody executes it. {how}." in home.run("run", "show", RUN).out
    assert home.run("run", "show", RUN, "--json").document["stands_still"] is True


def test_a_run_that_somebody_executes_does_not_stand_still(home: Home) -> None:
    home.tell(started(Story()))
    with owned(home, "command"):
        told = [home.run(*argv).out for argv in (("status",), ("run", "list"), ("run", "show", RUN))]
    assert "still" not in "".join(told)
    assert "running" in told[0]
    assert told[2].startswith("RUNNING: ")


def test_of_a_run_that_only_looks_it_is_not_known_whether_anybody_executes_it(home: Home) -> None:
    """`codeblue verify` owns no state."""
    home.tell(started(Story(), runbook="recovery"))
    assert "stands still" not in home.run("status").out + home.run("run", "list").out


def test_with_a_database_another_machine_may_execute_it(home: Home, postgres: Postgres) -> None:
    (home.path / "codeblue.yaml").write_text(
        PROFILE.replace("{directory: ./state}", "{directory: ./state, database: {env: URL}}")
    )
    url = postgres.database()
    record = PostgresRecord(Secret(url), "api", SystemClock())
    for e in started(Story()).events:
        record.append(Draft(e.kind, e.actor, e.data, e.run, e.incident))
    record.close()
    for argv in (("status",), ("run", "list"), ("run", "show", RUN)):
        answer = home.run(*argv, env={"URL": url})
        assert answer.code == 0, answer
        assert "running" in answer.out.lower()
        assert "still" not in answer.out


@pytest.mark.parametrize(
    ("mode", "action", "decision", "follows"),
    [
        ("observe", "rollback", "would have rolled back (mode observe), and does not: R4", "A PERSON MUST ACT"),
        ("act", "page_only", "no change: R4: 4 > 3; a person must decide", "A PERSON MUST ACT"),
        ("act", "rollback", "rollback: R4: 4 > 3 (mode act)", "nothing, until `codeblue serve` runs again"),
    ],
)
def test_status_says_what_was_decided_and_who_has_to_act(
    home: Home, mode: str, action: str, decision: str, follows: str
) -> None:
    home.tell(incident(mode, action))
    out = home.run("status").out
    assert f"\n  decision: {decision}" in out
    assert f"\n  next: {follows}" in out
    assert "page_only" not in out
    if action == "rollback" and mode == "act":
        with owned(home):
            assert "\n  next: the daemon goes on" in home.run("status").out


def test_status_says_that_a_person_must_act_after_a_run_that_failed(home: Home) -> None:
    story = started(incident(), incident=INCIDENT, inputs=INPUTS)
    story.run("run.ended", state="failed", why="3 of 3 pods are not ready", remedy="", exit_code=1)
    home.tell(story)
    out = home.run("status").out
    assert f"next: A PERSON MUST ACT: quick_rollback {RUN} ended as failed." in out
    assert f"`codeblue incident resolve {INCIDENT} --reason …` closes it" in out
    assert "release in force, as far as the record knows: 2.0 (sha256:bb) or 1.0 (sha256:aa) (" in out


def test_status_names_the_release_that_was_proven_last(home: Home) -> None:
    assert "release in force" not in home.run("status").out
    story = Story()
    story.add("release.marked", {"release": "r", "label": "0.9", "standing": "known-good", "why": "soaked"})
    home.tell(story)
    assert "release in force, as far as the record knows: 0.9 (" in home.run("status").out
    story = started(Story(), inputs=INPUTS)
    story.run("run.ended", incident="", state="done", why="proven", remedy="", exit_code=0)
    home.tell(Story())
    home.tell(story)
    assert "release in force, as far as the record knows: 1.0 (sha256:aa) (" in home.run("status").out


def test_reports_do_not_fill_the_place_of_runs_that_did_something(home: Home) -> None:
    story = whole()
    for n in range(3):
        run = f"{OTHER[:-1]}{n}"
        started(story, run, INCIDENT, runbook="incident_report")
        story.run("run.ended", run, state="done", why="written", remedy="", exit_code=0)
    home.tell(story)
    assert "quick_rollback done: every step is proven" in home.run("status").out
    assert "incident_report" not in home.run("status").out
    assert [r["id"] for r in home.run("status", "--json").document["last_runs"]] == [RUN]
