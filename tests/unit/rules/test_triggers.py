"""R4: more than three consecutive failures; unknown neither counts nor resets."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeblue.model.health import Outcome, Probe, Round
from codeblue.rules.triggers import HealthTrigger

OK, BAD, UNKNOWN = Outcome.OK, Outcome.BREACH, Outcome.UNKNOWN
START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


def rounds(*outcomes: Outcome) -> list[Round]:
    return [
        Round(START + timedelta(seconds=10 * n), Probe("service", "/api/health", outcome, None, 1.0, detail="detail"))
        for n, outcome in enumerate(outcomes)
    ]


def judged(*outcomes: Outcome) -> Outcome:
    return HealthTrigger().judge(rounds(*outcomes)).outcome


@pytest.mark.req("R4")
@pytest.mark.done(10)
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((BAD,) * 3, OK),
        ((BAD,) * 4, BAD),
        ((BAD, BAD, BAD, OK, BAD, BAD, BAD), OK),
        ((BAD, BAD, BAD, OK, BAD, BAD, BAD, BAD), BAD),
        ((BAD,) * 4 + (OK,), OK),
        ((OK,) * 9, OK),
    ],
)
def test_it_fires_on_the_fourth_failure_in_a_row_and_one_success_resets(outcomes, expected) -> None:
    assert judged(*outcomes) is expected


@pytest.mark.req("R4", "R10", "B5")
def test_unknown_neither_counts_nor_resets() -> None:
    assert judged(BAD, BAD, BAD, UNKNOWN) is UNKNOWN
    assert judged(BAD, BAD, UNKNOWN, UNKNOWN, BAD, BAD) is BAD
    assert judged(BAD, BAD, BAD, BAD, UNKNOWN) is BAD
    assert judged(*(UNKNOWN,) * 50) is UNKNOWN
    assert judged(BAD, UNKNOWN, OK, BAD, BAD, BAD) is OK


def test_without_an_attempt_nothing_is_known() -> None:
    assert judged() is UNKNOWN


@pytest.mark.req("R4")
def test_the_verdict_shows_its_arithmetic() -> None:
    assert HealthTrigger().judge(rounds(*(BAD,) * 5)).why == "5 consecutive failures > 3: detail"
    assert HealthTrigger().judge(rounds(*(BAD,) * 3)).why == "3 consecutive failures ≤ 3"
    assert HealthTrigger(failures=1).judge(rounds(BAD, BAD)).why == "2 consecutive failures > 1: detail"


def reference(outcomes: list[Outcome], failures: int) -> Outcome:
    """The rule as one reads it: a counter that walks forward."""
    counter = 0
    for outcome in outcomes:
        if outcome is BAD:
            counter += 1
        elif outcome is OK:
            counter = 0
    if counter > failures:
        return BAD
    if not outcomes or outcomes[-1] is UNKNOWN:
        return UNKNOWN
    return OK


@pytest.mark.req("R4")
@given(st.lists(st.sampled_from([OK, BAD, BAD, BAD, UNKNOWN]), max_size=40), st.integers(1, 6))
def test_it_is_the_counter_that_walks_forward(outcomes: list[Outcome], failures: int) -> None:
    verdict = HealthTrigger(failures).judge(rounds(*outcomes))
    assert verdict.outcome is reference(outcomes, failures)


@given(st.lists(st.sampled_from([OK, BAD, UNKNOWN]), max_size=40))
def test_what_lies_before_a_success_never_matters(outcomes: list[Outcome]) -> None:
    after = [BAD, UNKNOWN, BAD]
    assert judged(*outcomes, OK, *after) is judged(OK, *after)
