"""`incident declare`, `ack`, `escalate`, `mitigate` and `page test`: the real program, with and without a daemon."""

import os
import pwd
import socket
from pathlib import Path

import pytest
from tests.unit.cli.program import PROFILE, Home
from tests.unit.profile.valid import PEOPLE

from codeblue.adapters.inbox import read_inbox
from codeblue.record.incidents import fold_incidents, freeze_of, open_incidents

LOGIN = pwd.getpwuid(os.getuid()).pw_name
ME = f"person:{LOGIN} ({LOGIN}@{socket.gethostname()})"
CONTACTS = "contacts:\n" + "".join(
    f'  {role}: {{name: Ada {role}, phone: "+2106831752{n}"}}\n' for n, role in enumerate(PEOPLE)
)
PAGING = CONTACTS + "pages: {inbox: ./pages}\nescalation: {give_up: 1s, tries: 2}\n"


@pytest.fixture
def paging(tmp_path: Path) -> Home:
    """A home whose profile pages into a directory."""
    return Home(tmp_path, PROFILE + PAGING)


def inbox(home: Home) -> list[tuple[str, str]]:
    return sorted((p["level"], p["role"]) for p in read_inbox(home.path / "pages"))


def declared(
    home: Home, trigger: str, *more: str, code: int = 0, env: dict[str, str] | None = None
) -> dict[str, object]:
    said = ("--trigger", trigger, "--reason", "seen on the ward", "--json", *more)
    answer = home.run("incident", "declare", *said, env=env)
    assert answer.code == code, answer
    return answer.document


@pytest.mark.req("R9", "R3")
@pytest.mark.parametrize(
    ("trigger", "severity", "who"),
    [
        ("security", "SEV2", [("L1", "on_call"), ("notice", "security")]),
        ("corruption", "SEV1", [("L1", "on_call"), ("notice", "clinical_lead")]),
        (
            "patient-safety",
            "SEV1",
            [("L1", "on_call"), ("L4", "ceo"), ("L4", "cmo"), ("notice", "clinical_lead")],
        ),
        (
            "regulatory",
            "SEV2",
            [
                ("L1", "on_call"),
                ("L2", "ai_team"),
                ("L2", "devops_lead"),
                ("L3", "clinical_director"),
                ("L3", "cto"),
                ("notice", "clinical_lead"),
            ],
        ),
        ("unrecoverable", "SEV1", [("L1", "on_call")]),
        ("other", "SEV3", [("L1", "on_call")]),
    ],
)
def test_a_declared_incident_pages_its_people_and_freezes(
    paging: Home, trigger: str, severity: str, who: list[tuple[str, str]]
) -> None:
    document = declared(paging, trigger)
    assert (document["severity"], document["paged_by"], document["not_reached"]) == (severity, "here", [])
    assert inbox(paging) == who
    record = paging.record()
    [incident] = fold_incidents(record.read()).values()
    assert (incident.actor, incident.why, incident.trigger) == (ME, "seen on the ward", trigger)
    assert incident.declared
    frozen = freeze_of(record.read())
    assert (frozen is not None) is (trigger != "other") is document["freeze"]
    assert "seen on the ward" not in str(read_inbox(paging.path / "pages"))


@pytest.mark.req("R9")
@pytest.mark.parametrize(
    "argv",
    [
        ("--trigger", "security"),
        ("--reason", "x"),
        ("--trigger", "security", "--reason", ""),
        ("--trigger", "weather", "--reason", "x"),
        ("--trigger", "security", "--reason", "x", "--impact", "bad"),
    ],
)
def test_a_reason_and_a_known_trigger_are_mandatory(paging: Home, argv: tuple[str, ...]) -> None:
    answer = paging.run("incident", "declare", *argv)
    assert answer.code == 2
    assert not paging.file.exists()
    assert inbox(paging) == []


@pytest.mark.req("R9", "R22")
def test_a_drill_pages_as_if_it_were_true_and_freezes_nothing(paging: Home) -> None:
    planned = paging.run("incident", "declare", "--trigger", "patient-safety", "--reason", "x", "--drill", "--plan")
    assert "SEV1, a DRILL (patient-safety, impact degraded) would be opened; automatic changes go on" in planned.out
    document = declared(paging, "patient-safety", "--drill")
    assert (document["drill"], document["freeze"], document["not_reached"]) == (True, False, [])
    assert inbox(paging) == [("L1", "on_call"), ("L4", "ceo"), ("L4", "cmo"), ("notice", "clinical_lead")]
    assert all(p["summary"].startswith("DRILL SEV1 api") for p in read_inbox(paging.path / "pages"))
    record = paging.record()
    assert freeze_of(record.read()) is None
    [incident] = fold_incidents(record.read()).values()
    assert incident.drill
    assert open_incidents(record.read()) == [], "what is really done is no part of it"
    shown = paging.run("incident", "show", incident.id).out.replace("\\", "")
    assert "declared a DRILL: patient-safety: seen on the ward" in shown
    assert "| Drill | yes: an exercise, nothing was wrong" in shown
    assert "DRILL, patient-safety: seen on the ward" in paging.run("incident", "list").out
    assert paging.run("explain", incident.id).code == 0


@pytest.mark.req("R9")
def test_a_plan_opens_nothing_and_pages_nobody(paging: Home) -> None:
    answer = paging.run("incident", "declare", "--trigger", "patient-safety", "--reason", "x", "--plan")
    assert answer.code == 0
    assert "SEV1 (patient-safety, impact degraded) would be opened" in answer.out
    assert "would be paged, over inbox: ceo (Ada ceo, +21068317527) (L4)" in answer.out
    assert not paging.file.exists()
    assert inbox(paging) == []


@pytest.mark.req("R2")
def test_whom_no_channel_reaches_is_named_with_the_number_to_call(paging: Home) -> None:
    (paging.path / "pages").write_text("in the way")
    answer = paging.run("incident", "declare", "--trigger", "patient-safety", "--reason", "x")
    assert answer.code == 1
    assert answer.wall_s < 20
    assert "NOT REACHED: call ceo (Ada ceo, +21068317527) yourself (L4)" in answer.out
    assert open_incidents(paging.record().read())


@pytest.mark.req("R9")
def test_without_a_channel_it_is_opened_and_said_that_nobody_is_paged(home: Home) -> None:
    answer = home.run("incident", "declare", "--trigger", "security", "--reason", "x")
    assert answer.code == 1
    assert "The profile has no channel (pages): nobody is paged by Code Blue." in answer.out
    assert "NOT REACHED: call security (no contact in the profile) yourself (notice)" in answer.out


@pytest.mark.req("R2", "R3")
def test_acknowledged_escalated_mitigated_by_a_person(paging: Home) -> None:
    id_ = str(declared(paging, "other")["incident"])
    answer = paging.run("incident", "ack", id_, "--json")
    assert (answer.code, answer.document["level"]) == (0, "L1")
    assert "the ladder goes on until it is mitigated" in paging.run("incident", "ack", id_, "--level", "L2").out

    planned = paging.run("incident", "escalate", id_, "--level", "L3", "--reason", "stuck", "--plan")
    assert planned.code == 0
    assert "cto (Ada cto, +21068317525) (L3)" in planned.out
    assert len(inbox(paging)) == 1
    answer = paging.run("incident", "escalate", id_, "--level", "L3", "--reason", "stuck", "--json")
    assert (answer.code, answer.document["not_reached"]) == (0, [])
    assert [level for level, _ in inbox(paging)] == ["L1", "L2", "L2", "L3", "L3"]
    again = paging.run("incident", "escalate", id_, "--level", "L2", "--reason", "stuck")
    assert again.code == 3
    assert "was called already" in again.err

    shown = paging.run("incident", "show", id_)
    told = shown.out.replace("\\", "").partition("## Who was told")[2].partition("\n## ")[0]
    assert "| L3 | cto | inbox | accepted" in told
    assert f" UTC: acknowledged L1 by {ME} [#" in told
    assert f" UTC: called L3 by {ME}: stuck [#" in told
    listed = paging.run("incident", "list")
    assert "paged on_call, devops_lead, ai_team, cto, clinical_director; acknowledged (L2) by person:" in listed.out
    document = paging.run("incident", "list", "--json").document["incidents"][0]
    assert [p["role"] for p in document["pages"]] == ["on_call", "devops_lead", "ai_team", "cto", "clinical_director"]
    assert [a["level"] for a in document["acknowledgements"]] == ["L1", "L2"]

    assert paging.run("incident", "mitigate", id_, "--reason", "the vendor mended it").code == 0
    assert f"{id_}  mitigated" in paging.run("incident", "list").out
    for verb in (("ack", id_), ("mitigate", id_, "--reason", "x"), ("escalate", id_, "--level", "L4", "--reason", "x")):
        answer = paging.run("incident", *verb)
        assert answer.code == 3
        assert "is mitigated already. Nothing was changed." in answer.err


@pytest.mark.req("R9")
def test_a_freeze_ends_with_its_incident(paging: Home) -> None:
    id_ = str(declared(paging, "corruption")["incident"])
    assert freeze_of(paging.record().read()) is not None
    closing = ("incident", "resolve", id_, "--reason", "restored", "--unfinished", "the lessons are for Monday")
    assert paging.run(*closing).code == 0
    assert freeze_of(paging.record().read()) is None


@pytest.mark.req("R2")
def test_a_test_page_says_that_it_is_one_and_is_recorded(paging: Home) -> None:
    answer = paging.run("page", "test", "--role", "cto", "--role", "on_call", "--json")
    assert answer.code == 0, answer
    assert {p["role"]: p["state"] for p in answer.document["pages"]} == {"cto": "delivered", "on_call": "delivered"}
    pages = read_inbox(paging.path / "pages")
    assert {p["role"] for p in pages} == {"cto", "on_call"}
    assert all(p["summary"].startswith("TEST of the paging for api: nothing is wrong") for p in pages)
    assert [e.kind for e in paging.record().read()].count("page.delivered") == 2
    assert paging.run("incident", "list").out.startswith("No incidents")


@pytest.mark.req("R2")
def test_a_test_page_that_does_not_arrive_fails(paging: Home) -> None:
    (paging.path / "pages").write_text("in the way")
    answer = paging.run("page", "test")
    assert answer.code == 1, answer
    assert "NOT REACHED: call on_call" in answer.out


def test_a_test_page_needs_a_channel(home: Home) -> None:
    answer = home.run("page", "test")
    assert answer.code == 3
    assert "The profile has no channel" in answer.err
    assert "docs/escalation.md" in answer.err
    assert not home.file.exists()
