"""What the loop keeps of the signals: unknown is a gap, memory is bounded, every number was measured."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.record.events import INCIDENT, Story
from tests.unit.record.night import THRESHOLDS, Night, curves

from codeblue.model.errors import Damaged
from codeblue.model.health import Outcome
from codeblue.record.curves import KIND, POINTS, Curves, Moment, Signal, markers_of, read_curves, thinned

VALUES = st.one_of(st.none(), st.floats(0, 1))


def recorded(kept: Curves, opened_s: float = 0.0) -> dict[str, list[list[float | None]]]:
    found: dict[str, list[list[float | None]]] = kept.event_data(opened_s, {})["curves"]
    return found


@pytest.mark.req("R47", "B5")
def test_unknown_is_a_gap_and_never_zero() -> None:
    kept = Curves()
    kept.add(10.0, Outcome.OK, 0.0, 0.5, 0.25)
    kept.add(20.0, Outcome.UNKNOWN)
    kept.add(30.0, Outcome.BREACH, 1.0, math.inf, math.nan)
    assert recorded(kept, 20.0) == {
        "health": [[-10.0, 1.0], [0.0, None], [10.0, 0.0]],
        "errors": [[-10.0, 0.0], [0.0, None], [10.0, 1.0]],
        "p95": [[-10.0, 0.5], [0.0, None], [10.0, None]],
        "memory": [[-10.0, 0.25], [0.0, None], [10.0, None]],
    }


def test_health_is_kept_of_each_look_also_where_the_signals_are_read_less_often() -> None:
    kept = Curves()
    kept.add(10.0, Outcome.OK, 0.0, 0.5, 0.25)
    kept.add_health(11.0, Outcome.BREACH)
    kept.add_health(11.0, Outcome.OK)
    kept.add_health(math.nan, Outcome.OK)
    kept.add_health(12.0, Outcome.UNKNOWN)
    found = recorded(kept, 10.0)
    assert found["health"] == [[0.0, 1.0], [1.0, 0.0], [2.0, None]]
    assert found["errors"] == [[0.0, 0.0]]


@given(st.lists(st.tuples(st.floats(0.001, 1000), VALUES), min_size=1, max_size=600), st.integers(12, 240))
@example([(1.0, None if n in (77, 78, 79, 300) else n % 7 / 7) for n in range(500)], 24)
def test_thinned_points_were_all_measured_and_no_line_leads_across_an_unknown(
    steps: list[tuple[float, float | None]], most: int
) -> None:
    at_s, points = 0.0, []
    for step, value in steps:
        at_s += step
        points.append((at_s, value))
    kept = thinned(points, most)
    assert len(kept) <= most
    where = [points.index(p) for p in kept]
    assert where == sorted(set(where)), "points of the record, in their order"
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    for (a, before), (b, after) in pairwise(zip(where, kept, strict=True)):
        if before[1] is not None and after[1] is not None:
            assert all(value is not None for _, value in points[a:b])
    known = [value for _, value in points if value is not None]
    if known:
        left = [value for _, value in kept if value is not None]
        assert (min(left), max(left)) == (min(known), max(known)), "a peak is never thinned away"


def test_memory_is_bounded_and_an_incident_keeps_its_beginning() -> None:
    kept = Curves(before_s=100.0)
    for n in range(2000):
        kept.add(float(n), Outcome.OK, 0.0, None, None)
    assert recorded(kept)["errors"][0] == [1899.0, 0.0], "what is older than 100 s is forgotten"
    kept.begin()
    for n in range(2000, 60_000):
        kept.add(float(n), Outcome.OK, 0.5 if n == 2001 else 0.0)
    errors = recorded(kept)["errors"]
    assert errors[0] == [1899.0, 0.0]
    assert errors[-1] == [59_999.0, 0.0]
    assert [2001.0, 0.5] in errors, "the peak at its beginning is still there"
    assert all(len(points) <= POINTS for points in recorded(kept).values())
    assert all(len(points) <= 960 for points in kept._points.values())
    kept.end()
    kept.add(60_000.0, Outcome.OK)
    assert recorded(kept)["health"][0][0] >= 59_900.0


def test_what_is_not_later_than_the_look_before_is_left_out() -> None:
    kept = Curves()
    for at_s in (10.0, 10.0, 5.0, math.nan, 11.0):
        kept.add(at_s, Outcome.OK)
    assert [at_s for at_s, _ in recorded(kept)["health"]] == [10.0, 11.0]


@pytest.mark.req("R47")
def test_the_event_is_read_as_it_was_written() -> None:
    night = Night()
    event = next(e for e in night.events if e.kind == KIND)
    view = read_curves(event)
    assert view.event == event.seq
    assert view.thresholds == THRESHOLDS
    written = recorded(curves(), 1000.0)
    assert {s.value: [list(p) for p in view.curves[s]] for s in Signal} == written
    by_moment = {m.moment: m for m in view.markers}
    assert list(by_moment) == [
        Moment.FIRST_BAD,
        Moment.OPENED,
        Moment.DECIDED,
        Moment.CHANGED,
        Moment.PROVEN,
        Moment.MITIGATED,
    ]
    kinds = {m.moment: next(e for e in night.events if e.seq == m.event).kind for m in view.markers}
    assert kinds == {
        Moment.FIRST_BAD: "incident.opened",
        Moment.OPENED: "incident.opened",
        Moment.DECIDED: "incident.decided",
        Moment.CHANGED: "step.applied",
        Moment.PROVEN: "run.ended",
        Moment.MITIGATED: "incident.mitigated",
    }
    assert by_moment[Moment.FIRST_BAD].at_s == -35.25
    assert by_moment[Moment.OPENED].at_s == 0.0
    for marker in view.markers[1:]:
        at = next(e.at for e in night.events if e.seq == marker.event)
        assert marker.at_s == (at - night.events[0].at).total_seconds()


def test_a_run_that_was_no_verification_or_failed_proves_nothing() -> None:
    story = Story()
    story.opened()
    story.requested()
    story.run("run.ended", state="done", why="w", remedy="", exit_code=0)
    other = "run-20260105t030500z-dddddd"
    story.requested(other, runbook="recovery")
    story.run("run.ended", other, state="failed", why="w", remedy="", exit_code=1)
    assert [m.moment for m in markers_of(story.events)] == [Moment.FIRST_BAD, Moment.OPENED]


@pytest.mark.req("B8")
@pytest.mark.parametrize(
    "change",
    [
        {"curves": {}},
        {"curves": []},
        {"curves": {s.value: [[0, 1]] * 2 for s in Signal}},
        {"curves": {s.value: [[n, 1] for n in range(POINTS + 1)] for s in Signal}},
        {"curves": {s.value: [[0, 1e300]] for s in Signal}},
        {"curves": {s.value: [[0, "1"]] for s in Signal}},
        {"curves": {s.value: [[0]] for s in Signal}},
        {"thresholds": {"errors": None}},
        {"markers": [{"moment": "party", "at_s": 0, "event": 1}]},
        {"markers": [{"moment": "opened", "at_s": 0, "event": "1"}]},
        {"markers": None},
    ],
)
def test_curves_that_nobody_of_ours_wrote_are_damage(change: dict[str, object]) -> None:
    story = Story()
    story.opened()
    story.add(KIND, {**curves().event_data(1000.0, THRESHOLDS), **change}, incident=INCIDENT)
    with pytest.raises(Damaged, match=rf"event 2 \({KIND}\)"):
        read_curves(story.events[-1])
