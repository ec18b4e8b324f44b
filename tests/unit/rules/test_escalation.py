"""The ladder as a pure rule (R3): its boundaries to the second, and laws that hold for every history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeblue.model.incident import Level, Role
from codeblue.profile.people import Escalation
from codeblue.rules.escalation import Ack, Call, Called, Ladder, Situation, due, ladder_of, next_level, reached_levels

LADDER = ladder_of(Escalation())
L1, L2, L3, L4 = Level
REPEATS = Ladder(LADDER.rungs, LADDER.top, until_acknowledged=False, repeat_s=300, ack_expires_s=600)


def calls(ladder: Ladder = LADDER, **now: object) -> list[tuple[str, int, str]]:
    return [(c.level, c.cycle, c.role.value) for c in due(ladder, Situation(**now)).calls]  # type: ignore[arg-type]


@pytest.mark.req("R3")
@pytest.mark.defect("D21")
def test_the_document_s_levels_and_people_are_the_default() -> None:
    assert [(r.level, r.after_s, r.roles) for r in LADDER.rungs] == [
        (L1, 0, (Role.ON_CALL,)),
        (L2, 900, (Role.DEVOPS_LEAD, Role.AI_TEAM)),
        (L3, 1800, (Role.CTO, Role.CLINICAL_DIRECTOR)),
    ]
    assert LADDER.top == (Role.CEO, Role.CMO)
    assert not LADDER.until_acknowledged


@pytest.mark.req("R3")
@pytest.mark.parametrize(
    ("elapsed_s", "levels"),
    [
        (0, {L1}),
        (899.999, {L1}),
        (900, {L1, L2}),
        (1799.999, {L1, L2}),
        (1800, {L1, L2, L3}),
        (10**9, {L1, L2, L3}),
    ],
)
def test_the_boundaries(elapsed_s: float, levels: set[Level]) -> None:
    assert reached_levels(LADDER, Situation(elapsed_s)) == levels


@pytest.mark.req("R3")
def test_a_level_repeats_only_while_it_is_in_force_and_not_acknowledged() -> None:
    called = {("L1", Role.ON_CALL): Called(0, 0.0)}
    assert calls(REPEATS, elapsed_s=299.9, called=called) == []
    assert calls(REPEATS, elapsed_s=300, called=called) == [("L1", 1, "on_call")]
    assert calls(REPEATS, elapsed_s=899, called=called) == [("L1", 1, "on_call")]  # one, however many were missed
    assert ("L1", 1, "on_call") not in calls(REPEATS, elapsed_s=900, called=called)
    acked = (Ack(L1, 10.0),)
    assert calls(REPEATS, elapsed_s=300, called=called, acks=acked) == []
    assert calls(REPEATS, elapsed_s=609.9, called=called, acks=acked) == []
    assert calls(REPEATS, elapsed_s=610, called=called, acks=acked) == [("L1", 1, "on_call")]  # expired


@pytest.mark.req("R3")
def test_an_acknowledgement_counts_for_the_levels_below_it_and_not_above() -> None:
    called = {("L3", role): Called(0, 1800.0) for role in (Role.CTO, Role.CLINICAL_DIRECTOR)}
    called |= {("L1", Role.ON_CALL): Called(0, 0.0), ("L4", Role.CEO): Called(0, 0.0), ("L4", Role.CMO): Called(0, 0.0)}
    called |= {("L2", role): Called(0, 900.0) for role in (Role.DEVOPS_LEAD, Role.AI_TEAM)}
    now = {"elapsed_s": 2400.0, "called": called, "by_hand": (L4,)}
    everybody = {("L3", 1, "cto"), ("L3", 1, "clinical_director"), ("L4", 1, "ceo"), ("L4", 1, "cmo")}
    assert set(calls(REPEATS, **now)) == everybody
    assert set(calls(REPEATS, **now, acks=(Ack(L2, 2300.0),))) == everybody
    assert set(calls(REPEATS, **now, acks=(Ack(L3, 2300.0),))) == {c for c in everybody if c[0] == "L4"}
    assert calls(REPEATS, **now, acks=(Ack(L4, 2300.0),)) == []


@pytest.mark.req("R3")
def test_a_level_called_by_hand_brings_those_below_it_and_moves_no_other() -> None:
    now = Situation(10.0, by_hand=(L2,))
    assert reached_levels(LADDER, now) == {L1, L2}
    following = next_level(LADDER, now)
    assert following is not None
    assert (following.level, following.after_s) == (L3, 1800)
    assert reached_levels(LADDER, Situation(10.0, by_hand=(L4,))) == {L1, L4}


@pytest.mark.req("R3")
def test_a_severity_starts_higher_or_goes_less_far_and_a_person_still_further() -> None:
    assert reached_levels(LADDER, Situation(0.0, start=L3)) == {L1, L2, L3}
    assert reached_levels(LADDER, Situation(9999.0, up_to=L1)) == {L1}
    assert reached_levels(LADDER, Situation(9999.0, up_to=L1, by_hand=(L3,))) == {L1, L2, L3}
    assert next_level(LADDER, Situation(0.0, up_to=L1)) is None


def test_over_means_nobody() -> None:
    assert calls(elapsed_s=5000.0, over=True, told=(Role.SECURITY,), by_hand=(L4,)) == []
    assert next_level(LADDER, Situation(0.0, over=True)) is None


levels = st.sampled_from(list(Level))
situations = st.builds(
    Situation,
    elapsed_s=st.floats(0, 4000),
    start=st.sampled_from([L1, L2, L3]),
    by_hand=st.lists(levels, max_size=3).map(tuple),
    told=st.lists(st.sampled_from([Role.SECURITY, Role.CLINICAL_LEAD]), unique=True).map(tuple),
    acks=st.lists(st.builds(Ack, levels, st.floats(0, 4000)), max_size=3).map(tuple),
)


def after(now: Situation, made: tuple[Call, ...]) -> Situation:
    called = dict(now.called) | {(c.level, c.role): Called(c.cycle, now.elapsed_s) for c in made if c.level != "notice"}
    noticed = now.noticed | {(c.cycle, c.role) for c in made if c.level == "notice"}
    return Situation(
        now.elapsed_s, now.over, now.start, now.up_to, now.by_hand, now.told, now.acks, (), called, noticed
    )


@pytest.mark.req("R3")
@given(now=situations, ladder=st.sampled_from([LADDER, REPEATS]))
def test_what_was_just_called_is_not_due_again(now: Situation, ladder: Ladder) -> None:
    first = due(ladder, now)
    assert len(set(first.calls)) == len(first.calls)
    assert due(ladder, after(now, first.calls)).calls == ()


@pytest.mark.req("R3")
@given(now=situations, more_s=st.floats(0, 4000))
def test_levels_have_no_gap_and_time_takes_none_away(now: Situation, more_s: float) -> None:
    reached = reached_levels(LADDER, now)
    below = {level for level in reached if level is not L4}
    assert below == {level for level in (L1, L2, L3) if level <= max(below)}
    later = Situation(now.elapsed_s + more_s, start=now.start, by_hand=now.by_hand)
    assert reached_levels(LADDER, later) >= reached_levels(LADDER, now)


@pytest.mark.req("R3")
@given(now=situations)
def test_until_acknowledged_calls_nobody_whom_until_mitigated_would_not(now: Situation) -> None:
    stops = Ladder(LADDER.rungs, LADDER.top, until_acknowledged=True, repeat_s=0, ack_expires_s=600)
    goes_on = Ladder(LADDER.rungs, LADDER.top, until_acknowledged=False, repeat_s=0, ack_expires_s=600)
    assert set(due(stops, now).calls) <= set(due(goes_on, now).calls)
