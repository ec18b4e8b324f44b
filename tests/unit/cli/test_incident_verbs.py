"""People and incidents: a note, and closing one that Code Blue cannot close by itself."""

import hashlib
import os
import pwd
import socket

import pytest
from tests.unit.cli.program import Home
from tests.unit.record.events import INCIDENT, RUN, Story
from tests.unit.record.night import Night
from tests.unit.record.test_folds import whole

from codeblue.cli import actor
from codeblue.cli.words import LIMIT, sentence
from codeblue.model.errors import UsageError
from codeblue.model.secret import masked
from codeblue.record.findings import Finding
from codeblue.record.incidents import fold_incidents, open_incidents

LOGIN = pwd.getpwuid(os.getuid()).pw_name
ME = f"person:{LOGIN} ({LOGIN}@{socket.gethostname()})"


def failed() -> Story:
    """An incident whose rollback failed: nobody but a person can say that it is over."""
    story = whole()
    last = story.events.pop()
    story.run(last.kind, **{**last.data, "state": "failed", "why": "3 of 3 pods are not ready", "exit_code": 1})
    return story


def finished(story: Story) -> Story:
    """With everything that only a person knows."""
    for finding in Finding:
        data = {"text": f"the {finding.value}", "about": finding.value}
        story.add("incident.noted", data, incident=INCIDENT, actor="person:ada")
    return story


@pytest.mark.req("R47")
def test_a_note_is_recorded_with_who_wrote_it_and_stands_in_the_report(home: Home) -> None:
    home.tell(failed())
    answer = home.run("incident", "note", INCIDENT, "called the ward; 3 users waited", "--json")
    assert answer.code == 0, answer
    assert answer.document == {
        "schema": "codeblue/noted/1",
        "incident": INCIDENT,
        "about": "other",
        "text": "called the ward; 3 users waited",
    }
    event = home.record().read()[-1]
    assert (event.kind, event.actor, event.incident) == ("incident.noted", ME, INCIDENT)
    assert event.data == {"text": "called the ward; 3 users waited"}
    shown = home.run("incident", "show", INCIDENT).out
    assert f"{ME}: called the ward; 3 users waited [#{event.seq}](#e{event.seq})" in shown
    assert "Noted." in home.run("incident", "note", INCIDENT, "another").out


@pytest.mark.req("R1", "R47")
def test_an_incident_whose_run_failed_is_closed_by_a_person_with_a_reason(home: Home) -> None:
    home.tell(finished(failed()))
    assert open_incidents(home.record().read())
    assert home.run("incident", "resolve", INCIDENT).code == 2
    answer = home.run("incident", "resolve", INCIDENT, "--reason", "the node was replaced", "--json")
    assert answer.code == 0, answer
    document = {"schema": "codeblue/resolved/1", "incident": INCIDENT, "reason": "the node was replaced"}
    assert answer.document == {**document, "unfinished": []}
    event = home.record().read()[-1]
    assert (event.kind, event.actor, event.data) == ("incident.resolved", ME, {"reason": "the node was replaced"})
    assert open_incidents(home.record().read()) == []
    assert "OPEN INCIDENT" not in home.run("status").out
    assert f"{INCIDENT}  resolved" in home.run("incident", "list").out

    assert home.run("incident", "report", INCIDENT).code == 0
    report = (home.path / "incidents" / f"{INCIDENT}.md").read_text()
    assert f"| State | resolved [#{event.seq}](#e{event.seq}) |" in report
    assert f"{ME} closed the incident: the node was replaced [#{event.seq}](#e{event.seq})." in report

    again = home.run("incident", "resolve", INCIDENT, "--reason", "again")
    assert again.code == 3
    assert "was closed already" in again.err
    assert "the node was replaced. Nothing was changed." in again.err
    assert home.run("incident", "note", INCIDENT, "a later insight").code == 0


def test_what_a_person_closed_is_not_opened_again_by_a_late_event() -> None:
    story = failed()
    story.add("incident.resolved", {"reason": "over"}, incident=INCIDENT, actor="person:ada")
    story.add("incident.mitigated", {"why": "healthy"}, incident=INCIDENT)
    found = fold_incidents(story.events)[INCIDENT]
    assert (found.state, found.resolved_by, found.resolution) == ("resolved", "person:ada", "over")
    assert found.mitigated is not None


@pytest.mark.req("R1")
@pytest.mark.parametrize("state", ["requested", "waiting", "running"])
def test_an_incident_is_not_closed_under_a_run(home: Home, state: str) -> None:
    """An approval that comes later would change production for an incident that is no more."""
    story = Story()
    story.opened()
    story.requested()
    if state == "waiting":
        story.run("run.waiting", digest="d1", until=1800)
    if state == "running":
        story.run("run.started", deadline="2026-01-05T03:05:00+00:00")
    home.tell(story)
    answer = home.run("incident", "resolve", INCIDENT, "--reason", "over")
    assert answer.code == 3
    assert f"Run {RUN} (quick_rollback) of {INCIDENT} is {state}" in answer.err
    assert f"`codeblue run abort {RUN}`" in answer.err
    assert len(home.record().read()) == len(story.events)


@pytest.mark.parametrize("verb", [("note", "text"), ("resolve", "--reason", "text")])
def test_an_incident_that_is_not_there_is_neither_noted_nor_closed(home: Home, verb: tuple[str, ...]) -> None:
    home.tell(failed())
    answer = home.run("incident", verb[0], "inc-20260105t030000z-ffffff", *verb[1:])
    assert answer.code == 3
    assert "There is no incident 'inc-20260105t030000z-ffffff'" in answer.err
    assert len(home.record().read()) == 12


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "\x1b[31mred", "x" * (LIMIT + 1), "\u202eright to left"])
def test_what_is_recorded_is_one_bounded_line(home: Home, text: str) -> None:
    home.tell(failed())
    for argv in (("note", INCIDENT, text), ("resolve", INCIDENT, "--reason", text)):
        answer = home.run("incident", *argv)
        assert answer.code == 2, answer
        assert "\x1b" not in answer.err
        assert "Next: " in answer.err
    assert len(home.record().read()) == 12


CANARY = "c4n4ryHunter2"


@pytest.mark.req("R1", "B9")
def test_what_looks_like_a_secret_is_not_recorded_and_the_person_is_told(home: Home) -> None:
    home.tell(failed())
    text = f"the URL was postgresql://app:{CANARY}@db/x and password={CANARY}"
    for argv in (
        ("incident", "note", INCIDENT, text),
        ("incident", "resolve", INCIDENT, "--reason", text, "--unfinished", text),
        ("audit", "adopt", "--reason", text),
        ("rollback", "--reason", text, "--yes"),
    ):
        answer = home.run(*argv)
        assert answer.code == (3 if argv[0] == "rollback" else 0), answer
        assert "looks like the value of a secret and is recorded as ***" in answer.err
        assert CANARY not in answer.out + answer.err
    assert home.run("incident", "report", INCIDENT).code == 0
    kept = "".join(p.read_bytes().decode("utf-8", "replace") for p in home.path.rglob("*") if p.is_file())
    assert CANARY not in kept
    assert "the URL was postgresql://***@db/x and password=***" in kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("R4: 4 consecutive failures > 3: status 503", ""),
        ("rotated the token of the FHIR client, the secret is new", ""),
        ("run-20260105t030000z-aaaaaa of sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", ""),
        ("https://github.com/Org/Repo/commit/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", ""),
        ("https://user:pass@host/x", "https://***@host/x"),
        ("API_KEY=abc and more", "API_KEY=*** and more"),
        ("DB_PASSWORD: abc", "DB_PASSWORD: ***"),
        ("key sk-or-v1-abcdefghij", "key ***"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"),
        ("hooks.slack.com/services/T0/B0/xyz", "hooks.slack.com/***"),
        ("c2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0MTI=", "***"),
    ],
)
def test_what_seems_to_be_a_secret(text: str, kept: str) -> None:
    assert masked(text) == (kept or text)
    assert sentence(text, "--reason") == (kept or text)


def test_a_sentence_has_an_upper_bound() -> None:
    assert sentence("x" * LIMIT, "--reason") == "x" * LIMIT
    with pytest.raises(UsageError, match="--reason"):
        sentence("x" * (LIMIT + 1), "--reason")


@pytest.mark.req("R1")
@pytest.mark.defect("D13")
def test_everybody_is_named_in_one_form(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.tell(failed())
    story = Story()
    other = "run-20260105t040000z-dddddd"
    story.requested(other, incident="")
    home.tell(story)
    assert home.run("run", "abort", other).code == 0
    assert home.run("incident", "report", INCIDENT).code == 0  # by way of the platform, which authenticates
    actors = {e.actor for e in home.record().read() if e.actor.startswith("person:")}
    assert actors == {ME}
    assert actor.actor_name("system:serviceaccount:ai:ci") == (
        f"person:system:serviceaccount:ai:ci ({LOGIN}@{socket.gethostname()})"
    )
    assert actor.actor_name("\x1b[31m" + "x" * 1000).startswith("person:\N{REPLACEMENT CHARACTER}[31mxxx")
    assert len(actor.actor_name("x" * 1000)) < 400
    assert "hunter2" not in actor.actor_name("https://ada:hunter2@issuer#7")
    monkeypatch.setattr(actor.pwd, "getpwuid", dict[int, object]().__getitem__)  # a container's number without a name
    assert actor.actor_name() == f"person:uid {os.getuid()} (uid {os.getuid()}@{socket.gethostname()})"


@pytest.mark.req("R47")
def test_a_note_about_the_root_cause_or_the_lessons_fills_that_section(home: Home) -> None:
    home.tell(failed())
    before = home.run("incident", "show", INCIDENT).out
    assert f'`codeblue incident note {INCIDENT} "…" --about root-cause`' in before
    assert home.run("incident", "note", INCIDENT, "a full disk", "--about", "root-cause").code == 0
    assert home.run("incident", "note", INCIDENT, "watch the disk", "--about", "lessons").code == 0
    assert home.run("incident", "note", INCIDENT, "x", "--about", "weather").code == 2
    sections = dict(s.split("\n", 1) for s in home.run("incident", "show", INCIDENT).out.split("\n## ")[1:])
    assert f"{ME}: a full disk [#13](#e13)" in sections["Root cause"]
    assert f"{ME}: watch the disk [#14](#e14)" in sections["Lessons"]
    assert "not recorded yet" not in sections["Root cause"] + sections["Lessons"]
    assert "not recorded yet" in sections["Impact"]
    assert "not recorded yet" in sections["Action items"]
    assert sections["Notes"].strip() == "None."
    assert "note (root cause): a full disk" in sections["Timeline"]


@pytest.mark.req("R47")
@pytest.mark.parametrize("given", [(), (Finding.ROOT_CAUSE,), (Finding.IMPACT, Finding.LESSONS, Finding.ACTIONS)])
def test_an_incident_is_not_closed_without_what_only_a_person_knows(home: Home, given: tuple[Finding, ...]) -> None:
    home.tell(failed())
    for finding in given:
        assert home.run("incident", "note", INCIDENT, "known", "--about", finding.value).code == 0
    events = len(home.record().read())
    answer = home.run("incident", "resolve", INCIDENT, "--reason", "over")
    assert answer.code == 3, answer
    assert "cannot be closed yet" in answer.err
    assert "Nothing was changed." in answer.err
    for finding in Finding:
        named = f"{finding.command(INCIDENT)}  ({finding.asks})"
        assert (named in answer.err) is (finding not in given)
    assert "--unfinished WHY" in answer.err
    assert len(home.record().read()) == events
    assert open_incidents(home.record().read())


@pytest.mark.req("R47")
def test_it_is_closed_unfinished_only_with_a_reason_that_the_record_and_the_report_say(home: Home) -> None:
    story = failed()
    story.add("incident.noted", {"text": "a full disk", "about": "root-cause"}, incident=INCIDENT, actor="person:ada")
    home.tell(story)
    closing = ("incident", "resolve", INCIDENT, "--reason", "over", "--unfinished")
    assert home.run(*closing).code == 2
    assert home.run(*closing, "").code == 2
    answer = home.run(*closing, "the ward is asked on Monday", "--json")
    assert answer.code == 0, answer
    left = ["impact", "lessons", "actions"]
    assert answer.document["unfinished"] == left
    event = home.record().read()[-1]
    assert event.data == {"reason": "over", "unfinished": left, "unfinished_why": "the ward is asked on Monday"}
    said = f"Closed unfinished by {ME}, without: impact, lessons, action items. Why: the ward is asked on Monday"
    assert f"**{said} [#{event.seq}](#e{event.seq})**" in home.run("incident", "show", INCIDENT).out
    page = home.run("incident", "show", INCIDENT, "--format", "html").out
    assert f"<bdi>{said}</bdi>" in page
    assert home.run("incident", "note", INCIDENT, "three patients waited", "--about", "impact").code == 0
    later = home.run("incident", "show", INCIDENT).out
    assert "three patients waited" in later.partition("## Impact")[2].partition("##")[0]
    assert said in later, "that it was closed without stays said"


@pytest.mark.req("R47")
def test_what_the_watch_mitigated_is_closed_by_a_person_alone(home: Home) -> None:
    home.tell(Night())
    assert f"{INCIDENT}  mitigated" in home.run("incident", "list").out
    assert home.run("incident", "resolve", INCIDENT, "--reason", "over").code == 3
    assert f"{INCIDENT}  mitigated" in home.run("incident", "list").out


@pytest.mark.req("R47", "B12")
def test_a_report_is_shown_in_three_forms(home: Home) -> None:
    home.tell(Night())
    markdown = home.run("incident", "show", INCIDENT)
    assert markdown.out.startswith(f"# Incident {INCIDENT}\n")
    page = home.run("incident", "show", INCIDENT, "--format", "html")
    assert page.out.startswith("<!doctype html>\n")
    assert page.out.count("<svg ") == 4
    document = home.run("incident", "show", INCIDENT, "--format", "json").document
    assert document == home.run("incident", "show", INCIDENT, "--json").document
    assert document["markdown"] == markdown.out.removesuffix("\n")
    assert document["facts"]["headline"]["proven"] is True
    assert document["facts"]["headline"]["fact"]["events"]
    assert [p["role"] for p in document["pages"]] == ["on_call", "clinical_lead"]
    assert home.run("incident", "show", INCIDENT, "--format", "pdf").code == 2


@pytest.mark.req("R47")
@pytest.mark.defect("D51")
def test_both_files_are_made_and_the_record_has_their_digests(home: Home) -> None:
    home.tell(Night())
    answer = home.run("incident", "report", INCIDENT)
    assert answer.code == 0, answer
    files = sorted((home.path / "incidents").iterdir())
    assert [f.name for f in files] == [f"{INCIDENT}.html", f"{INCIDENT}.md"]
    made = home.record().read(kinds=["step.made"])[-1]
    assert made.data["reference"] == str(files[1])
    assert made.data["digests"] == {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    ended = next(e for e in home.record().read(run=made.run, kinds=["step.ended"]))
    assert all(f"{f}, SHA-256 {made.data['digests'][str(f)][:16]}" in ended.data["why"] for f in files)
    assert home.run("incident", "report", "../outside").code == 3
    assert sorted((home.path / "incidents").iterdir()) == files
