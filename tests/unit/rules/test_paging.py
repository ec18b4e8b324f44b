"""What a page says (R2, R3, B9): every line of it, from the record alone."""

from typing import Any

import pytest
from tests.unit.record.events import INCIDENT, RUN, Story

from codeblue.model.incident import Role, Severity
from codeblue.model.page import Page
from codeblue.record.incidents import fold_incidents
from codeblue.record.pages import fold_pages
from codeblue.rules.escalation import Call
from codeblue.rules.paging import PageFacts, page_of

L1 = Call("L1", 0, Role.ON_CALL)


def paged(made: Story, call: Call = L1, elapsed_s: float = 0.0, head: str = "") -> Page:
    incident = fold_incidents(made.events).get(INCIDENT)
    facts = PageFacts(INCIDENT, "api", incident, fold_pages(made.events)[INCIDENT], elapsed_s)
    return page_of(facts, call, "slack", head)


def opened(**more: Any) -> Story:
    made = Story()
    made.opened(**more)
    return made


@pytest.mark.req("R2")
def test_a_page_of_a_trigger() -> None:
    assert paged(opened(severity="SEV2"), elapsed_s=959.9, head="7:ab") == Page(
        key=f"codeblue:{INCIDENT}:L1:0:on_call:slack",
        incident=INCIDENT,
        level="L1",
        cycle=0,
        role=Role.ON_CALL,
        severity=Severity.SEV2,
        summary="SEV2 api: the health check fails; level L1, open for 15 min",
        details=(
            ("service", "api"),
            ("level", "L1"),
            ("severity", "SEV2"),
            ("trigger", "the health check fails"),
            ("opened", "2026-01-05 03:00:01 UTC"),
        ),
        next_step=f"codeblue incident ack {INCIDENT}",
        head="7:ab",
    )


@pytest.mark.parametrize(
    ("trigger", "means"),
    [
        ("R4", "the health check fails"),
        ("R5", "too many errors"),
        ("R6", "answers are too slow"),
        ("R7", "memory is running out"),
        ("R8", "AI calls fail"),
        ("alert", "an alert of the monitoring"),
        ("signals", "the metrics cannot be read"),
        ("patient-safety", "patient safety concern"),
        ("what nobody knows", "an incident"),
    ],
)
def test_what_happened_in_words_of_ours(trigger: str, means: str) -> None:
    page = paged(opened(trigger=trigger))
    assert page.summary == f"SEV1 api: {means}; level L1, open for 0 min"
    assert ("trigger", means) in page.details


def test_a_repeated_page_says_which_one_it_is_and_a_notice_never() -> None:
    made = opened()
    assert "; level L2, page 2, open for 20 min" in paged(made, Call("L2", 1, Role.DEVOPS_LEAD), 1200.0).summary
    notice = paged(made, Call("notice", 3, Role.CLINICAL_LEAD))
    assert notice.summary.endswith("; for your information, open for 0 min")
    assert notice.next_step == f"codeblue incident show {INCIDENT}"


@pytest.mark.req("R9")
def test_a_declared_incident_says_what_to_do_by_hand() -> None:
    step = paged(opened(trigger="security")).next_step
    assert step == f"codeblue incident ack {INCIDENT}, then isolate the service and keep the evidence by hand"


@pytest.mark.req("R22")
def test_a_drill_says_so_first_and_asks_for_no_change() -> None:
    page = paged(opened(trigger="patient-safety", drill=True))
    assert page.summary == "DRILL SEV1 api: patient safety concern; level L1, open for 0 min"
    assert dict(page.details)["drill"] == "nothing is wrong with the service: change nothing"
    assert page.next_step == f"codeblue incident ack {INCIDENT}, and change nothing: it is a drill"


def test_decision_run_and_acknowledgement_are_told() -> None:
    made = opened()
    made.add("incident.decided", {"action": "rollback", "sentence": "rollback: R4"}, incident=INCIDENT)
    made.requested()
    made.add("incident.acknowledged", {"level": "L1"}, incident=INCIDENT, actor="person:ada")
    made.add("incident.acknowledged", {"level": "L2"}, incident=INCIDENT, actor="person:bob")
    assert paged(made).details[5:] == (
        ("decision", "rollback"),
        ("run", RUN),
        ("acknowledged", "L2 at 03:00:05 UTC"),
    )


@pytest.mark.req("R1a", "R2")
@pytest.mark.parametrize(
    ("action", "mode", "said"),
    [
        ("rollback", "observe", "would have rolled back (mode observe), and does not"),
        ("rollback_with_data", "observe", "would have done “rollback with data” (mode observe), and does not"),
        ("rollback", "ask", "rollback once a person approves (mode ask)"),
        ("rollback", "act", "rollback: not begun"),
        ("disable_flags", "act", "disable flags: not begun"),
        ("page_only", "act", "no change; a person must decide"),
        ("freeze", None, "freeze"),
    ],
)
def test_a_decision_is_not_told_as_a_deed(action: str, mode: str | None, said: str) -> None:
    made = opened()
    decided = {"action": action, "sentence": f"{action}: what /health said", "mode": mode}
    made.add("incident.decided", decided, incident=INCIDENT)
    page = paged(made)
    assert dict(page.details)["decision"] == said
    assert "what /health said" not in repr(page)


@pytest.mark.req("R1a")
def test_a_run_that_waits_is_what_the_page_asks_for() -> None:
    made = opened()
    made.requested()
    made.run("run.waiting", digest="d1")
    page = paged(made)
    assert page.details[5:] == (("run", RUN), ("plan digest", "d1"))
    assert page.next_step == f"codeblue run approve {RUN}"


def test_what_somebody_asks_for_is_sent_in_their_words_without_an_incident() -> None:
    made = Story()
    asked = {"level": "test", "role": "on_call", "summary": "x" * 300, "next_step": "nothing", "elapsed_s": 0.0}
    made.add("page.requested", asked, incident=INCIDENT)
    page = paged(made, Call("test", 1, Role.ON_CALL))
    assert (page.summary, page.next_step, page.severity) == ("x" * 200, "nothing", Severity.SEV4)
    assert page.details == (("service", "api"), ("level", "test"))
