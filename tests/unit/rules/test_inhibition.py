"""What looks like an outage and is none, and for how long (R1b); when nobody can see (B5)."""

from datetime import UTC, datetime, timedelta

import pytest

from codeblue.model.health import Outcome
from codeblue.model.inhibition import Inhibition
from codeblue.model.signal import Reading, Sampling
from codeblue.rules.blindness import Blindness
from codeblue.rules.inhibition import holding, overdue

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


def inhibition(seconds: float, kind: str = "declared") -> Inhibition:
    return Inhibition(kind, "a load test", "person:ada", NOW - timedelta(hours=1), NOW + timedelta(seconds=seconds))


@pytest.mark.req("R1b")
def test_an_expiry_is_half_open() -> None:
    assert holding([inhibition(1)], NOW) == inhibition(1)
    assert holding([inhibition(0)], NOW) is None
    assert overdue([inhibition(1)], NOW) is None
    late = overdue([inhibition(0)], NOW)
    assert late is not None
    assert late.outcome is Outcome.BREACH
    assert late.why == (
        "declared by person:ada (a load test) expired 0 s ago at 2026-01-05 03:00:00 UTC and was not released"
    )


@pytest.mark.req("R1b")
def test_the_longest_of_several_holds_and_none_is_nothing() -> None:
    assert holding([inhibition(5), inhibition(9, "scale-down"), inhibition(-1)], NOW) == inhibition(9, "scale-down")
    assert holding([], NOW) is None
    assert overdue([], NOW) is None


@pytest.mark.req("B5")
def test_blindness_fires_after_its_time_and_one_reading_ends_it() -> None:
    blind, rule = Sampling(0.0, (), {"pod/a": "status 503"}), Blindness(60.0)
    assert rule.observe(blind, 100.0).outcome is Outcome.UNKNOWN
    assert (
        Blindness(60.0).observe(Sampling(0.0, (), {"{a}": "{b} {"}), 0.0).why
        == "nothing from {a} for 0 s ≤ 60 s: {b} {"
    )
    assert rule.observe(blind, 160.0).why == "nothing from pod/a for 60 s ≤ 60 s: status 503"
    assert rule.observe(blind, 160.1).outcome is Outcome.BREACH
    half = Sampling(0.0, (Reading("b", 0.0, requests=1.0),), {"pod/a": "status 503"})
    assert rule.observe(half, 170.0).outcome is Outcome.OK
    assert rule.observe(blind, 180.0).outcome is Outcome.UNKNOWN
    behind = Sampling(0.0, (Reading("b", 0.0, requests=1.0),), {"prometheus": "away"})
    assert rule.observe(behind, 250.0).why == "nothing from prometheus for 70 s > 60 s: away", "others still see"
    assert rule.observe(Sampling(0.0), 999.0).outcome is Outcome.OK, "a service without pods hides nothing"
