"""`codeblue explain`: everything that a decision rests on, for whoever wants to check it by hand."""

from datetime import UTC, datetime

import pytest
from tests.unit.cli.program import Home
from tests.unit.record.events import INCIDENT, Story
from tests.unit.record.night import FORWARD, Night
from tests.unit.record.test_folds import whole
from tests.unit.rules.test_decision import FIRED, NO_TARGET
from tests.unit.rules.test_decision import decided as ruled

from codeblue.model.verdict import Action, Decision, Option
from codeblue.record.chain import plain
from codeblue.record.explanation import explain

OTHER = "inc-20260105t040000z-cccccc"


def decided(story: Story, decision: Decision, mode: str = "act", incident: str = INCIDENT) -> None:
    """As the loop records it."""
    data = {**plain(decision), "sentence": decision.sentence, "mode": mode}
    story.add("incident.decided", data, incident=incident, actor="watch")


@pytest.mark.req("B4", "R10")
def test_the_arithmetic_of_a_decision_is_told(home: Home) -> None:
    home.tell(Night())
    answer = home.run("explain", INCIDENT)
    assert answer.code == 0, answer
    lines = answer.out.splitlines()
    why = "4 consecutive failures > 3: status 503"
    assert lines[0] == f"Incident {INCIDENT} (SEV1, mitigated): R4: {why}"
    assert lines[2].endswith(f"UTC (event #2): rollback: R4: {why} (mode act)")
    assert lines[3:] == [
        "",
        "Triggers (verdict, arithmetic)",
        f"  R4  breach   {why}",
        f"  R5  breach   {FORWARD[4:]}",
        "  R8  unknown  3 calls in 120 s < 20 [api-1]",
        "",
        "What could be done",
        "  rollback (chosen)",
        f"    + for:     R4: {why}",
        f"    + for:     {FORWARD}",
        "    nothing speaks against it",
        "  disable flags",
        "    + for:     R8: 12 %",
        "    - against: more than the AI fails: R4",
        "",
        "Limits of automatic rollbacks",
        "  cooldown: there was no automatic rollback before",
        "  budget: 0 automatic rollbacks in 3600 s < 2",
        "",
        "Releases considered",
        "  target: revision 7, 2.4.1",
        "  passed over: revision 8, 2.4.9: bad (status 503)",
    ]
    document = home.run("explain", INCIDENT, "--json").document
    assert (document["schema"], document["incident"]) == ("codeblue/explanation/1", INCIDENT)
    [decision] = document["decisions"]
    assert decision["event"] == 2
    assert [v["rule"] for v in decision["verdicts"]] == ["R4", "R5", "R8"]
    assert [(o["action"], o["chosen"]) for o in decision["options"]] == [("rollback", True), ("disable_flags", False)]


@pytest.mark.req("B4")
@pytest.mark.parametrize("decision", [ruled(), ruled(ago=(60.0,)), ruled(choice=NO_TARGET)])
def test_what_the_rules_decide_is_told_whole(decision: Decision) -> None:
    """The rules' own decision, by way of the record, without a word lost."""
    story = Story()
    story.opened()
    decided(story, decision)
    [found] = explain(story.events, INCIDENT)
    assert found.action == decision.action.value
    assert [(v.rule, v.outcome, v.why) for v in found.verdicts] == [
        (v.rule, v.outcome, v.why) for v in decision.verdicts
    ]
    assert [(o.action, o.reasons_for, o.reasons_against) for o in found.options] == [
        (o.action.value, o.reasons_for, o.reasons_against) for o in decision.options
    ]
    assert [o.chosen for o in found.options].count(True) == 1
    assert found.limits == decision.limits != ()
    assert found.releases == decision.releases != ()


@pytest.mark.req("B4")
@pytest.mark.parametrize("action", [a for a in Action if a is not Action.NONE])
def test_any_action_can_be_explained(action: Action) -> None:
    options = (Option(action, ("a reason",)), Option(Action.NONE, (), ("nothing",)))
    decision = Decision(action, datetime(2026, 1, 5, tzinfo=UTC), ("a reason",), options=options, pods=("api-1",))
    story = Story()
    story.opened()
    decided(story, decision)
    [found] = explain(story.events, INCIDENT)
    assert [(o.words, o.chosen) for o in found.options] == [(action.words, True), ("none", False)]
    assert found.pods == ("api-1",)


def test_without_an_id_the_open_incident_is_explained_else_the_last(home: Home) -> None:
    nothing = home.run("explain")
    assert nothing.code == 0
    assert nothing.out.startswith("No incidents: there is no record in ")
    story = whole()
    story.opened(OTHER)
    story.add("incident.mitigated", {"why": "healthy"}, incident=OTHER)
    home.tell(story)
    assert home.run("explain", "--json").document["incident"] == INCIDENT, "it is open"
    again = Story()
    again.add("incident.mitigated", {"why": "healthy"}, incident=INCIDENT)
    home.tell(again)
    assert home.run("explain", "--json").document["incident"] == OTHER, "none is open; this is the last"
    assert "Nothing is decided yet." in home.run("explain").out


def test_what_an_older_version_did_not_record_is_said_to_be_so(home: Home) -> None:
    home.tell(whole())
    out = home.run("explain", INCIDENT).out
    for heading in ("Triggers (verdict, arithmetic)", "What could be done", "Limits of automatic rollbacks"):
        assert f"{heading}\n  not recorded" in out


def test_several_decisions_are_told_in_their_order_and_which_one_stands(home: Home) -> None:
    story = whole()
    at = datetime(2026, 1, 5, tzinfo=UTC)
    decided(story, Decision(Action.PAGE_ONLY, at, ("R4: 9 > 3",), ("cooldown",), (FIRED,)))
    home.tell(story)
    out = home.run("explain", INCIDENT).out
    assert out.index("(event #2): rollback") < out.index("(event #13): no change: cooldown")
    assert "The last of these 2 decisions stands." in out


def test_an_incident_that_is_not_there_is_not_explained(home: Home) -> None:
    for tell in (False, True):
        if tell:
            home.tell(whole())
        answer = home.run("explain", OTHER)
        assert answer.code == 3
        assert f"There is no incident '{OTHER}'" in answer.err
        assert "Next: " in answer.err
