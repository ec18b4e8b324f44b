"""One explainable decision (B4, R10)."""

from datetime import UTC, datetime, timedelta

import pytest

from codeblue.model.health import Outcome
from codeblue.model.release import Mark, Revision, Standing, Workload
from codeblue.model.verdict import Action, Decision, Verdict
from codeblue.rules.decision import Limits, decide
from codeblue.rules.known_good import Choice
from codeblue.testing.memory_cluster import memory_template

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
FIRED = Verdict("R4", Outcome.BREACH, "4 consecutive failures > 3")
LIMITS = Limits(cooldown_s=600, budget=2, budget_window_s=3600)
TARGET = Choice(Revision(1, memory_template("1.0"), current=False), "revision 1: known-good")
NO_TARGET = Choice(None, "there is no other known-good release in its history of 2", ("revision 1: unproven",))


def workload(standing: Standing | None = None) -> Workload:
    current = memory_template("2.0")
    marks = {current.release: Mark(standing, NOW - timedelta(hours=3), "watch", "w")} if standing else {}
    return Workload("api", "u", "1", 1, 1, False, 3, 3, 3, 3, current, marks=marks)


def decided(
    *verdicts: Verdict,
    standing: Standing | None = None,
    choice: Choice = TARGET,
    ago: tuple[float, ...] = (),
    limits: Limits = LIMITS,
) -> Decision:
    past = [NOW - timedelta(seconds=s) for s in ago]
    return decide(verdicts or (FIRED,), workload(standing), choice, past=past, limits=limits, at=NOW)


@pytest.mark.req("B4")
def test_a_breach_of_an_unproven_release_rolls_back_and_says_why() -> None:
    decision = decided()
    assert decision.action is Action.ROLLBACK
    assert decision.sentence == (
        f"rollback: R4: 4 consecutive failures > 3, the current release {memory_template('2.0').label} is unproven, "
        "target: revision 1: known-good"
    )
    assert decided(standing=Standing.BAD).action is Action.ROLLBACK


@pytest.mark.req("R10")
@pytest.mark.defect("D20")
def test_a_known_good_release_is_paged_about_and_not_rolled_back() -> None:
    decision = decided(standing=Standing.KNOWN_GOOD)
    assert decision.action is Action.PAGE_ONLY
    assert decision.reasons_against == (
        "no recent change can be the cause: the current release is known-good since 2026-01-05 00:00 UTC",
    )
    assert decision.sentence == (
        f"no rollback: {decision.reasons_against[0]}; nobody is paged by this version: a person must decide; "
        "trigger: R4: 4 consecutive failures > 3"
    )


@pytest.mark.req("R10")
def test_literal_does_what_the_document_says() -> None:
    literal = Limits(600, 2, 3600, literal=True)
    assert decided(standing=Standing.KNOWN_GOOD, limits=literal).action is Action.ROLLBACK
    assert decided(standing=Standing.KNOWN_GOOD, limits=literal, choice=NO_TARGET).action is Action.PAGE_ONLY


@pytest.mark.req("R10", "B5")
@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.OK])
def test_without_a_breach_nothing_is_done(outcome: Outcome) -> None:
    decision = decided(Verdict("R4", outcome, "why"))
    assert decision.action is Action.NONE
    expected = ("R4: why",) if outcome is Outcome.UNKNOWN else ("no trigger fires",)
    assert decision.reasons_for == expected


@pytest.mark.req("R10")
@pytest.mark.parametrize(("ago", "action"), [(599.0, Action.PAGE_ONLY), (600.0, Action.ROLLBACK)])
def test_the_cooldown_is_half_open(ago: float, action: Action) -> None:
    decision = decided(ago=(ago,))
    assert decision.action is action
    if action is Action.PAGE_ONLY:
        assert decision.reasons_against == ("cooldown: the last automatic rollback ended 599 s ago < 600 s",)


@pytest.mark.req("R10")
@pytest.mark.parametrize(
    ("ago", "action"),
    [
        ((700.0,), Action.ROLLBACK),
        ((700.0, 3599.0), Action.PAGE_ONLY),
        ((700.0, 3600.0), Action.ROLLBACK),
        ((3599.0, 700.0), Action.PAGE_ONLY),
    ],
)
def test_the_budget_counts_in_a_half_open_window(ago: tuple[float, ...], action: Action) -> None:
    decision = decided(ago=ago)
    assert decision.action is action
    if action is Action.PAGE_ONLY:
        assert decision.reasons_against == ("budget: 2 automatic rollbacks in 3600 s ≥ 2",)


@pytest.mark.req("R10", "B2")
def test_without_a_target_a_person_is_asked_and_told_what_there_is() -> None:
    decision = decided(choice=NO_TARGET)
    assert decision.action is Action.PAGE_ONLY
    assert decision.reasons_against == (f"no target: {NO_TARGET.because}", "revision 1: unproven")


@pytest.mark.req("B4")
def test_every_reason_against_is_said() -> None:
    decision = decided(standing=Standing.KNOWN_GOOD, choice=NO_TARGET, ago=(1, 2))
    assert [r.split(":")[0] for r in decision.reasons_against] == [
        "no recent change can be the cause",
        "cooldown",
        "budget",
        "no target",
        "revision 1",
    ]
