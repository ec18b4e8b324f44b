"""What is folded about paging, and what of it is damage (R2, R3, R9)."""

from typing import Any

import pytest
from tests.unit.record.events import INCIDENT, RUN, Story

from codeblue.model.errors import Damaged
from codeblue.record.incidents import fold_incidents, freeze_of
from codeblue.record.paged import call_in_words, short
from codeblue.record.pages import fold_pages
from codeblue.record.report import write_report

PAGE = {"level": "L1", "cycle": 0, "role": "on_call", "key": "k:slack", "channel": "slack", "round": 0}


def story(*events: tuple[str, dict[str, Any]]) -> Story:
    made = Story()
    made.opened()
    for kind, data in events:
        made.add(kind, data, incident=INCIDENT, actor="pager")
    return made


@pytest.mark.req("R9")
def test_a_freeze_lasts_whatever_is_decided_later_and_ends_with_the_incident() -> None:
    made = story(("incident.decided", {"action": "freeze", "sentence": "freeze: data corruption"}))
    made.add("incident.decided", {"action": "rollback", "sentence": "rollback: R4"}, incident=INCIDENT)
    frozen = freeze_of(made.events)
    assert frozen is not None
    assert frozen.id == INCIDENT
    made.add("incident.mitigated", {"why": "restored"}, incident=INCIDENT)
    assert freeze_of(made.events) is None


@pytest.mark.req("R2")
def test_an_outcome_belongs_to_its_attempt() -> None:
    yes = {"fate": "accepted", "reference": "m1", "why": "", "elapsed_s": 5.0}
    made = story(
        ("page.intended", {**PAGE, "elapsed_s": 1.0}),
        ("page.deferred", {"key": "k:slack", "why": "503", "delay_s": 2.0, "elapsed_s": 1.5}),
        ("page.intended", {**PAGE, "elapsed_s": 3.5}),
        ("page.delivered", {**PAGE, "fate": "refused", "reference": "", "why": "400", "elapsed_s": 4.0}),
        ("page.intended", {**PAGE, "key": "k:sms", "channel": "sms", "elapsed_s": 4.5}),
        ("page.delivered", {**PAGE, **yes, "key": "k:sms"}),
        ("page.delivered", {**PAGE, **yes, "key": "nobody"}),
    )
    view = fold_pages(made.events)[INCIDENT]
    [call] = view.calls
    assert [(a.channel, a.state, a.tries, a.why) for a in call.attempts] == [
        ("slack", "refused", 2, "400"),
        ("sms", "accepted", 1, ""),
    ]
    assert call_in_words(call) == "on_call (L1): delivered: slack refused in 2 tries (400), then sms accepted"
    assert short(view) == "paged on_call"
    assert view.reached() == ("sms",)
    text = write_report(made.events, INCIDENT)
    told = text.partition("## Who was told")[2].partition("\n## ")[0]
    assert "| L1 | on call | slack | refused in 2 tries: 400 [#2](#e2) [#3](#e3) [#4](#e4) [#5](#e5) |" in told
    assert "| L1 | on call | sms | accepted [#6](#e6) [#7](#e7) |" in told
    assert told.count("| L1 |") == 2, "an outcome of what was never sent is no page"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("page.intended", {"level": "L1", "cycle": 0, "key": "k", "channel": "slack", "round": 0}),
        ("page.intended", {**PAGE, "elapsed_s": 1.0, "cycle": "zero"}),
        ("page.delivered", {"key": "k", "fate": "eaten", "reference": "", "why": "", "elapsed_s": 1.0}),
        ("page.deferred", {"key": "k", "why": "x", "delay_s": "long", "elapsed_s": 1.0}),
        ("incident.anchored", {"boot": "b", "at_s": None, "elapsed_s": 1.0}),
        ("incident.acknowledged", {"level": "L9"}),
        ("incident.acknowledged", {"level": "L1", "anchor": {"boot": 3, "at_s": 1.0}}),
        ("incident.escalated", {"level": ""}),
        ("page.yielded", {"key": "k", "elapsed_s": 1.0}),
        ("incident.severity", {"why": "less"}),
        ("page.requested", {"level": "test"}),
        ("page.settled", {"channel": "slack", "acknowledged": True}),
    ],
)
def test_what_does_not_say_what_it_must_is_damage(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(Damaged, match=kind):
        fold_pages(story((kind, data)).events)


@pytest.mark.req("R3")
def test_an_incident_says_who_acknowledged_and_what_its_severity_is_now() -> None:
    made = story(
        ("incident.severity", {"severity": "SEV3", "why": "less"}),
        ("incident.acknowledged", {"level": "L1"}),
        ("incident.escalated", {"level": "L3", "why": "stuck"}),
    )
    found = fold_incidents(made.events)[INCIDENT]
    assert (found.severity, found.acknowledged_by, found.escalated) == ("SEV3", "pager", ("L3",))
    assert found.acknowledged is not None
    assert not found.declared
    assert not found.over


def test_a_run_waits_until_it_is_approved_or_over() -> None:
    made = story()
    for kind, waits in (("run.waiting", 1), ("run.approved", 0), ("run.waiting", 1), ("run.ended", 0)):
        made.add(kind, {"digest": "d"}, incident=INCIDENT, run=RUN)
        assert len(fold_pages(made.events)[INCIDENT].waiting) == waits
