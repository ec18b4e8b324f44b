"""Over which channel a call goes next (R2): a table of histories, and that no history is a dead end."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeblue.model.page import Fate
from codeblue.record.pages import Attempt
from codeblue.rules.delivery import (
    LONGEST_PAUSE_S,
    PAUSE_S,
    Count,
    Delivered,
    Nobody,
    Patience,
    Route,
    Send,
    Wait,
    next_step,
)

AT = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
KEYED, UNKEYED = Route("pagerduty", keyed=True), Route("slack", keyed=False)
PATIENCE = Patience(tries=3, within_s=30.0)


def tried(channel: str, state: str, *, round_: int = 0, tries: int = 1, at: float = 0.0, wait: float = 0.0) -> Attempt:
    return Attempt(f"key:{channel}", channel, round_, tries, state, 0.0, at, AT, at + wait, why="503")


@pytest.mark.req("R2", "B3")
@pytest.mark.parametrize(
    ("attempts", "routes", "elapsed_s", "step"),
    [
        ([], [], 0, Nobody()),
        ([], [KEYED, UNKEYED], 0, Send("pagerduty", 0)),
        ([tried("pagerduty", "accepted")], [KEYED], 0, Delivered()),
        ([tried("pagerduty", "refused")], [KEYED, UNKEYED], 0, Send("slack", 0)),
        ([tried("pagerduty", "unknown")], [KEYED, UNKEYED], 0, Send("slack", 0)),
        # a crash between intent and outcome
        ([tried("pagerduty", "intended")], [KEYED, UNKEYED], 0, Send("pagerduty", 0)),
        # certainly not accepted: again after the pause that the provider asked for
        ([tried("pagerduty", "deferred", wait=5)], [KEYED, UNKEYED], 4.9, Wait(5.0)),
        ([tried("pagerduty", "deferred", wait=5)], [KEYED, UNKEYED], 5, Send("pagerduty", 0)),
        ([tried("slack", "deferred", wait=5)], [UNKEYED, KEYED], 5, Send("slack", 0)),
        # everybody failed: a pause, then anew
        ([tried("pagerduty", "refused", at=7)], [KEYED], 7 + PAUSE_S - 0.1, Wait(7 + PAUSE_S)),
        ([tried("pagerduty", "refused", at=7)], [KEYED], 7 + PAUSE_S, Send("pagerduty", 1)),
        ([tried("pagerduty", "refused", round_=9)], [KEYED], LONGEST_PAUSE_S, Send("pagerduty", 10)),
        # without a key and in doubt: not again while there is another
        (
            [tried("slack", "unknown"), tried("pagerduty", "refused")],
            [UNKEYED, KEYED],
            PAUSE_S,
            Send("pagerduty", 1),
        ),
        ([tried("slack", "unknown")], [UNKEYED], PAUSE_S, Send("slack", 1)),
    ],
)
def test_the_next_step(attempts: list[Attempt], routes: list[Route], elapsed_s: float, step: object) -> None:
    assert next_step(attempts, routes, elapsed_s, PATIENCE) == step


@pytest.mark.req("B3")
@pytest.mark.parametrize(
    ("attempt", "fate"),
    [
        (tried("slack", "intended"), Fate.UNKNOWN),
        (tried("pagerduty", "intended", tries=3), Fate.UNKNOWN),
        (tried("pagerduty", "deferred", tries=3), Fate.REFUSED),
        (tried("pagerduty", "deferred", wait=30.1), Fate.REFUSED),  # it asks for more patience than there is
        (tried("pagerduty", "deferred", round_=1), Fate.REFUSED),
        (tried("gone", "intended"), Fate.UNKNOWN),
    ],
)
def test_an_attempt_that_counts_as_failed(attempt: Attempt, fate: Fate) -> None:
    routes = [UNKEYED, KEYED] if attempt.channel == "slack" else [KEYED, UNKEYED]
    step = next_step([attempt], routes, 10_000.0, PATIENCE)
    assert isinstance(step, Count)
    assert (step.attempt, step.fate) == (attempt, fate)
    assert step.why


def test_what_is_under_way_is_left_alone() -> None:
    assert next_step([tried("slack", "intended")], [UNKEYED], 0.0, PATIENCE, flying="slack") == Wait(None)


@pytest.mark.req("R2")
@given(
    st.lists(
        st.builds(
            tried,
            st.sampled_from(["pagerduty", "slack", "gone"]),
            st.sampled_from(["intended", "deferred", "refused", "unknown"]),
            round_=st.integers(0, 3),
            tries=st.integers(1, 5),
            at=st.floats(0, 100),
            wait=st.floats(0, 100),
        ),
        max_size=6,
    ),
    st.sampled_from([[KEYED], [UNKEYED], [KEYED, UNKEYED], [UNKEYED, KEYED]]),
)
def test_no_history_is_a_dead_end(attempts: list[Attempt], routes: list[Route]) -> None:
    """Undelivered, something is always to be done sooner or later: send, or count an attempt and then look again."""
    step = next_step(attempts, routes, 10_000.0, PATIENCE)
    assert isinstance(step, Send | Count)
    if isinstance(step, Count):
        assert step.attempt.state in ("intended", "deferred")
