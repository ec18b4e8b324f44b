"""One explainable decision (B4, R10)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from codeblue.model.health import Outcome
from codeblue.model.release import Mark, Pod, Revision, Standing, Workload
from codeblue.model.verdict import Action, Decision, Verdict
from codeblue.rules.decision import Limits, PastRollback, Situation, decide, decide_declared
from codeblue.rules.known_good import Choice
from codeblue.rules.severity import MANUAL
from codeblue.testing.memory_cluster import memory_template

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
FIRED = Verdict("R4", Outcome.BREACH, "4 consecutive failures > 3")
LIMITS = Limits(cooldown_s=600, budget=2, budget_window_s=3600)
TARGET = Choice(Revision(1, memory_template("1.0"), current=False), "revision 1: known-good")
NO_TARGET = Choice(None, "there is no other known-good release in its history of 2", ("revision 1: unproven",))


AI_FIRED = Verdict("R8", Outcome.BREACH, "12 of 100 calls = 12 % > 10 %")
PROVIDER_OK = Verdict("provider", Outcome.OK, "status 200")
PROVIDER_DOWN = Verdict("provider", Outcome.BREACH, "status 503")
HOT = Verdict("R7", Outcome.BREACH, "1 of 3 pods above 95 % for 300 s", pods=("api-1",), of=3)


def workload(standing: Standing | None = None, pods: int = 3) -> Workload:
    current = memory_template("2.0")
    marks = {current.release: Mark(standing, NOW - timedelta(hours=3), "watch", "w")} if standing else {}
    live = tuple(
        Pod(f"api-{n}", f"u{n}", current.exact, current.release, (), ready=True, terminating=False, restarts=0)
        for n in range(1, pods + 1)
    )
    return Workload("api", "u", "1", 1, 1, False, pods, pods, pods, pods, current, marks=marks, pods=live)


def decided(
    *verdicts: Verdict,
    standing: Standing | None = None,
    choice: Choice = TARGET,
    ago: tuple[float, ...] = (),
    of: str = "another",
    limits: Limits = LIMITS,
    age_s: float | None = None,
    provider: Verdict | None = None,
    pods: int = 3,
) -> Decision:
    past = tuple(PastRollback(NOW - timedelta(seconds=s), of) for s in ago)
    changed = NOW - timedelta(seconds=age_s) if age_s is not None else None
    return decide(
        Situation(
            verdicts or (FIRED,),
            workload(standing, pods),
            choice,
            past,
            limits,
            NOW,
            changed=changed,
            provider=provider,
        )
    )


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
        f"no change: {decision.reasons_against[0]}; trigger: R4: 4 consecutive failures > 3; a person must decide"
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


@pytest.mark.req("R10")
@pytest.mark.parametrize(("age_s", "action"), [(3600.0, Action.ROLLBACK), (3601.0, Action.PAGE_ONLY)])
def test_only_a_change_that_is_young_enough_is_blamed(age_s: float, action: Action) -> None:
    recent = Limits(600, 2, 3600, recent_s=3600)
    decision = decided(limits=recent, age_s=age_s)
    assert decision.action is action
    if action is Action.PAGE_ONLY:
        assert decision.reasons_against == ("no recent change: the current release is 3601 s old > 3600 s",)
    assert decided(age_s=age_s).action is Action.ROLLBACK
    assert decided(limits=Limits(600, 2, 3600, recent_s=3600, literal=True), age_s=age_s).action is Action.ROLLBACK


@pytest.mark.req("R10")
def test_a_release_that_keeps_coming_back_is_not_rolled_back_for_ever() -> None:
    wide = Limits(0, 100, 60)
    release = memory_template("2.0").release
    assert decided(ago=(9000.0,), of=release, limits=wide).action is Action.ROLLBACK
    decision = decided(ago=(9000.0, 8000.0), of=release, limits=wide)
    assert decision.action is Action.PAGE_ONLY
    label = memory_template("2.0").label
    assert decision.reasons_against == (
        f"flapping: {label} was rolled back 2 times ≥ 2, and came back: find who deploys it",
    )
    assert decided(ago=(9000.0, 8000.0), of="another", limits=wide).action is Action.ROLLBACK


@pytest.mark.req("B4")
@pytest.mark.defect("D20")
def test_a_provider_that_fails_is_answered_with_the_flags_and_never_with_a_rollback() -> None:
    decision = decided(AI_FIRED, provider=PROVIDER_DOWN)
    assert decision.action is Action.DISABLE_FLAGS
    assert decision.sentence == ("disable flags: R8: 12 of 100 calls = 12 % > 10 %, provider: status 503")
    [rollback, flags] = decision.options
    assert rollback.action is Action.ROLLBACK
    assert rollback.reasons_against == ("the provider of the model fails, and going back cannot help: status 503",)
    assert flags.reasons_against == ()


@pytest.mark.req("B4", "B5")
@pytest.mark.parametrize("provider", [None, Verdict("provider", Outcome.UNKNOWN, "no answer")])
def test_where_nobody_can_tell_whether_the_provider_fails_there_is_no_rollback(provider: Verdict | None) -> None:
    assert decided(AI_FIRED, provider=provider).action is Action.DISABLE_FLAGS


@pytest.mark.req("B4")
def test_ai_failures_of_a_new_release_beside_a_healthy_provider_roll_back() -> None:
    decision = decided(AI_FIRED, provider=PROVIDER_OK)
    assert decision.action is Action.ROLLBACK
    assert "provider: status 200" in decision.reasons_for
    assert decided(AI_FIRED, FIRED, provider=PROVIDER_DOWN).action is Action.ROLLBACK
    assert decided(AI_FIRED, standing=Standing.KNOWN_GOOD, provider=PROVIDER_OK).action is Action.DISABLE_FLAGS
    literal = Limits(600, 2, 3600, literal=True)
    assert decided(AI_FIRED, provider=PROVIDER_DOWN, limits=literal).action is Action.ROLLBACK


@pytest.mark.req("B4", "R7")
def test_one_hot_pod_is_replaced_and_a_release_is_rolled_back() -> None:
    decision = decided(HOT)
    assert (decision.action, decision.pods) == (Action.REPLACE_POD, ("api-1",))
    assert decision.sentence == "replace pod: R7: 1 of 3 pods above 95 % for 300 s"
    both = decided(HOT, FIRED)
    assert (both.action, both.pods) == (Action.ROLLBACK, ())
    assert {o.action for o in both.options} == {Action.ROLLBACK, Action.REPLACE_POD}
    assert decided(HOT, pods=1).action is Action.ROLLBACK, "where it is all of the release, it is the release"
    assert decided(replace(HOT, pods=("gone",))).reasons_against == ("gone is gone already",)


@pytest.mark.req("B4", "R7")
def test_a_few_of_all_that_are_most_of_a_new_release_are_the_release() -> None:
    """Three pods of before, and the first one of the new release is hot already."""
    seen = workload()
    old = tuple(replace(p, name=f"old-{p.name}", release="before") for p in seen.live_pods)
    rolling = replace(seen, pods=(*old, seen.live_pods[0]))
    hot = replace(HOT, of=4)
    situation = Situation((hot,), rolling, TARGET, (), LIMITS, NOW)
    assert decide(situation).action is Action.ROLLBACK
    further = replace(situation, workload=replace(seen, pods=(*old, *seen.live_pods)))
    assert decide(further).reasons_against[-1].endswith("is not finished: it may be the release")
    assert decide(replace(further, verdicts=(replace(hot, near=("api-2",)),))).action is Action.ROLLBACK
    assert decide(replace(situation, workload=seen, verdicts=(HOT,))).action is Action.REPLACE_POD


@pytest.mark.req("R9")
@pytest.mark.parametrize("trigger", [*MANUAL, "one that nobody knows"])
def test_a_declared_incident_freezes_and_says_what_is_due(trigger: str) -> None:
    decision = decide_declared(trigger, NOW)
    manual = MANUAL.get(trigger, MANUAL["other"])
    assert decision.action is (Action.FREEZE if manual.freeze else Action.PAGE_ONLY)
    assert f"declared: {manual.means}, due now: {manual.next_step}" in decision.sentence
    assert ("until it is over every automatic change waits for an approval" in decision.sentence) == manual.freeze


@pytest.mark.req("B4", "R10")
@pytest.mark.parametrize(
    ("ago", "limits"),
    [
        ((), ("cooldown: there was no automatic rollback before", "budget: 0 automatic rollbacks in 3600 s < 2")),
        (
            (599.0,),
            (
                "cooldown: the last automatic rollback ended 599 s ago < 600 s",
                "budget: 1 automatic rollbacks in 3600 s < 2",
            ),
        ),
        (
            (600.0, 3599.0),
            (
                "cooldown: the last automatic rollback ended 600 s ago ≥ 600 s",
                "budget: 2 automatic rollbacks in 3600 s ≥ 2",
            ),
        ),
    ],
)
def test_how_the_limits_stood_is_part_of_the_decision(ago: tuple[float, ...], limits: tuple[str, str]) -> None:
    decision = decided(ago=ago)
    assert decision.limits == limits
    broken = {line for line in limits if "ago <" in line or "≥ 2" in line}
    assert broken == {line for line in decision.reasons_against if line.startswith(("cooldown", "budget"))}


@pytest.mark.req("B4")
def test_the_releases_that_were_considered_are_part_of_the_decision() -> None:
    choice = replace(TARGET, passed_over=("revision 2: unproven",))
    assert decided(choice=choice).releases == ("target: revision 1: known-good", "passed over: revision 2: unproven")
    assert decided(choice=NO_TARGET).releases == (
        f"no target: {NO_TARGET.because}",
        "passed over: revision 1: unproven",
    )
