"""A record that somebody changed behind our back: every verb says which event, and none breaks (B8)."""

import sqlite3
from dataclasses import replace

import pytest
from tests.unit.cli.program import Home
from tests.unit.record.events import INCIDENT, RUN
from tests.unit.record.test_folds import whole

from codeblue.record.chain import digest

pytestmark = pytest.mark.slow

DAMAGE = {
    "no JSON": ("data = 'gone'", 3, "event 3 (run.requested) has data that is not JSON"),
    "a list": ("data = '[]'", 3, "event 3 (run.requested) has data of another kind"),
    "a missing key": ("data = '{}'", 3, "event 3 (run.requested) was changed after it was written"),
    "a wrong type": (
        "data = replace(data, '\"R4\"', '7')",
        3,
        "event 3 (run.requested) was changed after it was written",
    ),
    "another reason": ("data = replace(data, '\"R4\"', '\"R5\"')", 3, "event 3 (run.requested) was changed after"),
    "another time": ("at = replace(at, '20', '19')", 3, "event 3 (run.requested) was changed after it was written"),
    "another actor": ("actor = 'person:ada'", 1, "event 1 (incident.opened) was changed after it was written"),
    "an incident without its why": ("data = '{}'", 1, "event 1 (incident.opened) was changed after it was written"),
    "no time": ("at = 'yesterday'", 1, "event 1 (incident.opened) has no time"),
    "no text": ("data = x'00'", 1, "event 1 (incident.opened) has a value that is no text"),
    "an end of no known state": (
        "data = replace(data, 'done', 'won')",
        12,
        "event 12 (run.ended) was changed after it was",
    ),
}
VERBS = (
    ("status",),
    ("run", "list"),
    ("run", "show", RUN),
    ("run", "abort", RUN),
    ("run", "resume", RUN),
    ("incident", "list"),
    ("incident", "show", INCIDENT),
    ("incident", "note", INCIDENT, "a note"),
    ("incident", "resolve", INCIDENT, "--reason", "over"),
)
#: What a verb does not read cannot trouble it.
SPARED = {1: ("run",), 3: ("incident list", "incident note"), 12: ("incident list", "incident note")}


def change(home: Home, what: str, seq: int) -> None:
    execute(home, f"UPDATE events SET {what} WHERE seq = {seq}")  # noqa: S608


def execute(home: Home, statement: str) -> None:
    with sqlite3.connect(home.file) as db:
        for trigger in ("events_stay", "events_keep", "events_follow"):
            db.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        db.execute(statement)
    db.close()


@pytest.mark.req("B8")
@pytest.mark.parametrize("name", DAMAGE)
def test_every_verb_says_which_event_is_damaged_and_how_to_go_on(home: Home, name: str) -> None:
    what, seq, said = DAMAGE[name]
    home.tell(whole())
    change(home, what, seq)
    told = 0
    for argv in VERBS:
        answer = home.run(*argv)
        assert "Traceback" not in answer.err + answer.out, argv
        if answer.code in (0, 3) and " ".join(argv).startswith(SPARED[seq]):
            continue
        told += 1
        assert answer.code == 1, (argv, answer)
        assert f"The record is damaged: {said}" in answer.err
        assert "Next: `codeblue audit verify`" in answer.err
        assert "gone" not in answer.err, "what stands there instead is nobody's business"
    assert told >= 4
    document = home.run("status", "--json").document
    assert (document["schema"], document["exit_code"]) == ("codeblue/error/1", 1)


@pytest.mark.req("B8")
@pytest.mark.parametrize("name", DAMAGE)
def test_an_audit_says_at_which_event_the_record_is_broken(home: Home, name: str) -> None:
    what, seq, _ = DAMAGE[name]
    home.tell(whole())
    change(home, what, seq)
    answer = home.run("audit", "verify")
    assert answer.code == 1, answer
    assert answer.out.startswith(f"BROKEN: event {seq} ")
    assert "it is evidence" in answer.out
    assert "Traceback" not in answer.err
    document = home.run("audit", "verify", "--json").document
    assert (document["events"], f"event {seq} " in document["broken"]) == (seq - 1, True)


@pytest.mark.req("B8")
def test_of_several_broken_events_an_audit_names_the_first(home: Home) -> None:
    """One that cannot even be read does not hide one before it, nor one that is gone."""
    home.tell(whole())
    change(home, "data = 'gone'", 9)
    change(home, "actor = 'mallory'", 5)
    assert home.run("audit", "verify").out.startswith("BROKEN: event 5 (step.started) was changed after it was written")
    execute(home, "DELETE FROM events WHERE seq = 2")
    assert home.run("audit", "verify").out.startswith("BROKEN: event 2 is missing: after 1 comes 3")


def test_text_that_is_no_unicode_is_found_by_the_audit_and_breaks_nothing(home: Home) -> None:
    home.tell(whole())
    change(home, "actor = CAST(x'ff6d' AS TEXT)", 3)
    assert home.run("run", "list").code == 1
    assert home.run("audit", "verify").out.startswith("BROKEN: event 3 (run.requested) was changed")


@pytest.mark.req("B8")
def test_an_event_that_was_hashed_anew_after_it_was_altered_no_longer_fits_to_the_next(home: Home) -> None:
    story = whole()
    home.tell(story)
    altered = replace(home.record().read(kinds=("run.requested",))[0], actor="person:mallory")
    change(home, f"actor = 'person:mallory', hash = '{digest(altered)}'", 3)
    for argv in (("run", "show", RUN), ("run", "list"), ("status",), ("incident", "report", INCIDENT)):
        answer = home.run(*argv)
        assert (answer.code, answer.out) == (1, ""), argv
        assert "The record is damaged: event 4 is not chained to the event before it." in answer.err
