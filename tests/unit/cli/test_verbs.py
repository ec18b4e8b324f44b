"""The verbs that read and write the record: their exit codes, their words, their JSON."""

import os
import pwd
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.cli.program import PROFILE, Home
from tests.unit.record.events import INCIDENT, RUN, START, Story
from tests.unit.record.test_folds import whole

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.record.chain import GENESIS


def waiting() -> Story:
    story = Story()
    story.requested(incident="")
    story.run("run.waiting", incident="", digest="d1", until=1800)
    return story


def test_an_empty_record_is_told_as_such(home: Home) -> None:
    home.record().close()
    assert home.run("run", "list").out == f"No runs in the record {home.file}.\n"
    assert home.run("incident", "list").out == f"No incidents in the record {home.file}.\n"
    assert home.run("status").out.splitlines() == [
        f"api: local workload api in {home.path}/local",
        "daemon: none with this state",
        f"the record {home.file} holds no event yet",
    ]
    assert home.run("status", "--json").document["record"] == {"place": str(home.file), "state": "empty", "others": []}
    answer = home.run("audit", "verify")
    assert (answer.code, answer.out.split(" ", 3)[:3]) == (0, ["Empty:", "the", "record"])
    assert str(home.file) in answer.out
    assert home.run("audit", "verify", "--json").document == {
        "schema": "codeblue/audit/1",
        "record": str(home.file),
        "events": 0,
        "head": GENESIS,
        "broken": None,
    }


@pytest.mark.req("B8")
def test_where_there_is_no_record_nothing_is_verified_and_none_is_made(home: Home) -> None:
    """Another login has another home: it must not take an empty place for a quiet one."""
    login = pwd.getpwuid(os.getuid()).pw_name
    answer = home.run("audit", "verify")
    assert (answer.code, answer.out) == (3, "")
    assert f"Nothing was verified: there is no record in {home.file} yet" in answer.err
    assert f"as {login}" in answer.err
    assert "Next: Use the login and the profile" in answer.err
    assert home.run("audit", "verify", "--json").document["exit_code"] == 3
    for argv in (("status",), ("run", "list"), ("incident", "list")):
        answer = home.run(*argv)
        assert answer.code == 0
        assert f"there is no record in {home.file} yet, nothing acted with this profile as {login}" in answer.out
    assert home.run("status", "--json").document["record"]["state"] == "absent"
    for argv in (("run", "show", RUN), ("run", "approve", RUN), ("run", "abort", RUN), ("incident", "show", INCIDENT)):
        answer = home.run(*argv)
        assert answer.code == 3
        assert f"There is no {argv[0]} '{argv[2]}': there is no record in {home.file} yet" in answer.err
    assert not home.file.parent.exists(), "looking makes nothing"


def test_where_the_default_place_is_empty_other_records_of_the_service_are_named(tmp_path: Path) -> None:
    """From before each target had its own, or of a context that was renamed."""
    home = Home(tmp_path, PROFILE.replace("state: {directory: ./state}\n", ""))
    base = tmp_path / ".local" / "state" / "codeblue" / "api"
    for place in (base, base / "prod-old.ai-api-00000000"):
        SqliteRecord(place / "record.db", "api", SystemClock()).close()
    answer = home.run("status")
    for file in (base / "record.db", base / "prod-old.ai-api-00000000" / "record.db"):
        assert str(file) in answer.out
        assert str(file) in home.run("status", "--json").document["record"]["others"]
    assert f"there is no record in {base}/" in answer.out


def test_a_place_that_this_login_may_not_look_at_is_no_empty_record(home: Home) -> None:
    home.tell(whole())
    home.path.joinpath("closed").symlink_to("closed")  # a loop: stat fails, and not because nothing is there
    home.path.joinpath("codeblue.yaml").write_text(PROFILE.replace("./state", "./closed/state"))
    for argv in (("status",), ("run", "list"), ("audit", "verify")):
        answer = home.run(*argv)
        assert answer.code == 4, answer
        assert "cannot be looked at as" in answer.err
        assert "Traceback" not in answer.err


def test_runs_are_listed_and_shown(home: Home) -> None:
    home.tell(whole())
    listed = home.run("run", "list")
    assert listed.code == 0
    assert RUN in listed.out
    assert "done" in listed.out
    document = home.run("run", "list", "--json").document
    assert document["schema"] == "codeblue/runs/1"
    assert [r["id"] for r in document["runs"]] == [RUN]
    shown = home.run("run", "show", RUN)
    assert shown.code == 0
    assert "changed: 1 → 2: version 7" in shown.out
    document = home.run("run", "show", RUN, "--json").document
    assert (document["schema"], document["state"], document["exit_code"]) == ("codeblue/run/1", "done", 0)
    assert [s["state"] for s in document["steps"]] == ["done", "done"]


@pytest.mark.parametrize("argv", [("run", "show"), ("run", "approve"), ("run", "abort"), ("run", "resume")])
def test_a_run_that_is_not_there_is_refused(home: Home, argv: tuple[str, ...]) -> None:
    home.record().close()
    answer = home.run(*argv, "run-20260105t030000z-ffffff")
    assert answer.code == 3
    assert "There is no run 'run-20260105t030000z-ffffff'" in answer.err
    assert "Next: `codeblue run list` shows them." in answer.err
    document = home.run(*argv, "nothing", "--json").document
    assert (document["schema"], document["exit_code"]) == ("codeblue/error/1", 3)


def test_incidents_are_listed_shown_and_reported(home: Home) -> None:
    home.tell(whole())
    assert f"{INCIDENT}  open      SEV1" in home.run("incident", "list").out
    document = home.run("incident", "list", "--json").document
    assert document["schema"] == "codeblue/incidents/1"
    assert document["incidents"][0]["trigger"] == "R4"
    shown = home.run("incident", "show", INCIDENT)
    assert (shown.code, shown.out.splitlines()[0]) == (0, f"# Incident {INCIDENT}")
    assert home.run("incident", "show", INCIDENT, "--json").document["markdown"] == shown.out.removesuffix("\n")
    answer = home.run("incident", "show", "inc-20260105t030000z-ffffff")
    assert answer.code == 3
    assert "There is no incident" in answer.err


@pytest.mark.req("R1")
@pytest.mark.defect("D51")
def test_a_report_is_written_by_a_run_and_never_outside_its_directory(home: Home) -> None:
    home.tell(whole())
    answer = home.run("incident", "report", INCIDENT)
    assert answer.code == 0, answer
    assert (home.path / "incidents" / f"{INCIDENT}.md").read_text().startswith(f"# Incident {INCIDENT}")
    assert home.run("incident", "report", "../../evil").code == 3
    files = sorted(p.name for p in (home.path / "incidents").iterdir())
    assert files == [f"{INCIDENT}.html", f"{INCIDENT}.md"]
    assert "incident_report" in home.run("run", "list").out


def test_status_tells_what_is_open_and_unfinished(home: Home) -> None:
    story = whole()
    story.requested("run-20260105t040000z-bbbbbb", incident="")
    story.run("run.started", "run-20260105t040000z-bbbbbb", "", deadline=(START + timedelta(minutes=5)).isoformat())
    story.run("step.started", "run-20260105t040000z-bbbbbb", "", step="template", limit_s=10)
    home.tell(story)
    answer = home.run("status")
    assert answer.code == 0
    assert f"OPEN INCIDENT {INCIDENT} (SEV1): R4: 4 > 3" in answer.out
    assert "UNFINISHED quick_rollback run-20260105t040000z-bbbbbb: stands still" in answer.out
    document = home.run("status", "--json").document
    assert document["schema"] == "codeblue/status/1"
    assert [i["id"] for i in document["open_incidents"]] == [INCIDENT]
    [unfinished] = document["unfinished_runs"]
    assert [s["state"] for s in unfinished["steps"]] == ["waiting", "running"]
    assert [r["id"] for r in document["last_runs"]] == [RUN, "run-20260105t040000z-bbbbbb"]
    assert document["last_event"] == home.record().read()[-1].at.isoformat(timespec="microseconds")


def test_status_tells_first_what_keeps_code_blue_or_the_public_from_knowing(home: Home) -> None:
    story, ada = whole(), "person:ada"
    later = datetime.now(UTC) + timedelta(hours=1)
    for kind, expires in (("declared", later), ("scale-down", START)):
        data = {"kind": kind, "why": f"planned {kind}", "expires": expires.isoformat()}
        story.add("inhibition.begun", data, actor=ada)
    home.tell(story)
    lines = home.run("status").out.splitlines()
    until = f"{later:%Y-%m-%d %H:%M:%S} UTC"
    assert lines[2:6] == [
        f"INHIBITED until {until}: no trigger counts: declared by {ada}: planned declared; "
        "`codeblue inhibit end` ends it",
        f"INHIBITION NOT ENDED, it expired {START:%Y-%m-%d %H:%M:%S} UTC: scale-down by {ada}: planned scale-down",
        f"OPEN INCIDENT {INCIDENT} (SEV1): R4: 4 > 3",
        f"  NOT ACKNOWLEDGED: `codeblue incident ack {INCIDENT}` says that somebody works on it",
    ]
    more = Story()
    more.add("incident.acknowledged", {"level": "L1"}, incident=INCIDENT, actor=ada)
    for kind in ("intended", "unreachable"):
        more.add(f"status_page.{kind}", {"status": "identified", "why": "no connection"}, incident=INCIDENT)
    home.tell(more)
    answer = home.run("status")
    assert f"  acknowledged by {ada} at 20" in answer.out
    assert re.search(
        r"^STATUS PAGE does not say identified: it cannot be reached since 20.+ UTC: no connection \(", answer.out, re.M
    )
    more = Story()
    more.add("status_page.posted", {"status": "identified", "id": "e1", "url": ""}, incident=INCIDENT)
    more.add("incident.mitigated", {"why": "it is proven healthy"}, incident=INCIDENT)
    home.tell(more)
    answer = home.run("status")
    assert "STATUS PAGE" not in answer.out
    assert "OPEN INCIDENT" not in answer.out
    assert re.search(rf"^NOT CLOSED {INCIDENT} \(SEV1\), mitigated 20.+ UTC: R4: 4 > 3; ", answer.out, re.M)
    assert f"`codeblue incident resolve {INCIDENT} --reason …` closes it" in answer.out
    document = home.run("status", "--json").document
    assert [i["kind"] for i in document["inhibitions"]] == ["declared", "scale-down"]
    assert (document["unclosed_incidents"], document["status_page_behind"]) == ([INCIDENT], {})


def test_status_tells_the_last_event_of_whatever_kind_and_when_a_run_ended(home: Home) -> None:
    story = Story()
    story.add("page.requested", {"level": "test", "role": "on_call", "summary": "s", "next_step": "n"})
    home.tell(story)
    assert "last event" in home.run("status").out
    home.tell(whole())
    [line] = [x for x in home.run("status").out.splitlines() if x.startswith("  20")]
    assert re.fullmatch(r"  20\S+ \S+ UTC, ended 20\S+ \S+ UTC: quick_rollback done: every step is proven", line)


@pytest.mark.req("R1a")
def test_an_approval_is_bound_to_the_digest_that_was_looked_at(home: Home) -> None:
    home.tell(waiting())
    answer = home.run("run", "approve", RUN, "--digest", "d2")
    assert answer.code == 3
    assert "has another digest: d1. Nothing was approved." in answer.err
    assert len(home.record().read()) == 2
    answer = home.run("run", "approve", RUN, "--digest", "d1", "--json")
    assert answer.code == 0
    assert answer.document == {"schema": "codeblue/approved/1", "run": RUN, "digest": "d1"}
    event = home.record().read()[-1]
    assert (event.kind, event.data["digest"], event.run) == ("run.approved", "d1", RUN)
    assert event.data["anchor"]["boot"] == SystemClock().anchor().boot
    assert event.actor.startswith("person:")


@pytest.mark.req("R1a")
def test_an_approval_that_comes_too_late_is_refused(home: Home) -> None:
    """It was asked for 2,000 s ago by the machine's own clock, whatever the time of day says."""
    now, story = SystemClock().anchor(), Story()
    story.requested(incident="", anchor={"boot": now.boot, "at_s": now.at_s - 2000})
    story.run("run.waiting", incident="", digest="d1", until=1800)
    home.tell(story)
    answer = home.run("run", "approve", RUN)
    assert answer.code == 3
    assert f"Run {RUN} can no longer be approved: it was asked for 2000 s ago, and may be begun only within 1800 s" in (
        answer.err.replace("2001 s", "2000 s")
    )
    assert "Nothing was approved" in answer.err
    assert len(home.record().read()) == 2


@pytest.mark.req("R1")
@pytest.mark.defect("D13")
def test_who_approves_is_not_what_the_environment_claims(home: Home) -> None:
    home.tell(waiting())
    claims = {"USER": "mallory", "LOGNAME": "mallory", "USERNAME": "mallory"}
    assert home.run("run", "approve", RUN, env=claims).code == 0
    assert "mallory" not in home.record().read()[-1].actor


@pytest.mark.parametrize("verb", ["approve", "abort", "resume"])
def test_a_run_that_is_over_cannot_be_approved_aborted_or_resumed(home: Home, verb: str) -> None:
    home.tell(whole())
    answer = home.run("run", verb, RUN)
    assert answer.code == 3
    assert "done" in answer.err
    assert len(home.record().read()) == 12


def test_an_abort_is_recorded(home: Home) -> None:
    home.tell(waiting())
    answer = home.run("run", "abort", RUN, "--json")
    assert (answer.code, answer.document) == (0, {"schema": "codeblue/abort/1", "run": RUN})
    assert home.record().read()[-1].kind == "run.abort_requested"


def test_an_audit_of_a_whole_record_is_whole(home: Home) -> None:
    home.tell(whole())
    answer = home.run("audit", "verify")
    head = home.record().read()[-1].hash
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"Whole: 12 events, head {head}")


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (
            "UPDATE events SET actor = 'mallory' WHERE seq = 5",
            "event 5 (step.started) was changed after it was written",
        ),
        ("UPDATE events SET data = replace(data, 'done', 'gone') WHERE seq = 12", "event 12 (run.ended) was changed"),
        ("DELETE FROM events WHERE seq = 7", "event 7 is missing: after 6 comes 8"),
    ],
)
def test_an_audit_finds_what_was_changed_behind_our_back(home: Home, statement: str, broken: str) -> None:
    home.tell(whole())
    with sqlite3.connect(home.file) as db:
        for trigger in ("events_stay", "events_keep", "events_follow"):
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute(statement)
    db.close()
    answer = home.run("audit", "verify")
    assert answer.code == 1
    assert f"BROKEN: {broken}" in answer.out
    document = home.run("audit", "verify", "--json").document
    assert broken in document["broken"]


def test_a_record_that_cannot_be_read_is_unreachable(home: Home) -> None:
    home.file.parent.mkdir()
    home.file.write_bytes(b"this is no database " * 100)
    for argv in (("run", "list"), ("audit", "verify"), ("incident", "list")):
        answer = home.run(*argv)
        assert answer.code == 4, answer
        assert "Traceback" not in answer.err


@pytest.mark.req("R1")
@pytest.mark.parametrize("reason", ["", "   "])
def test_a_reason_is_asked_for(home: Home, reason: str) -> None:
    answer = home.run("rollback", "--yes", "--reason", reason)
    assert answer.code == 2
    assert "--reason is empty" in answer.err
    assert not home.file.exists()


def test_a_workload_that_is_not_there_is_refused_and_nothing_is_recorded(home: Home) -> None:
    answer = home.run("rollback", "--yes", "--reason", "a test", "--json")
    assert answer.code == 3
    assert answer.document["exit_code"] == 3
    assert home.record().read() == []


def test_json_is_one_document_also_for_errors(home: Home) -> None:
    for argv in (("rollback", "--json"), ("rollback", "--nonsense", "--json"), ("run", "show", "x", "--json")):
        answer = home.run(*argv)
        assert answer.document["schema"] == "codeblue/error/1"
        assert answer.document["exit_code"] == answer.code
        assert answer.document["message"]
