"""What counters grew by: by hand, against the plain arithmetic, and within bounded memory."""

from itertools import pairwise
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rules import reference

from codeblue.model.signal import Reading, Sampling
from codeblue.rules.windows import PODS, Lengths, Share, Track, Unseen, Windows, dated, quantile

LENGTHS = Lengths(errors_s=30, latency_s=120, ai_s=120, memory_s=30, after_oom_s=120)


def track(*readings: tuple[float, float], keep_s: float = 1000) -> Track:
    made = Track(1, keep_s)
    for at_s, value in readings:
        made.add(at_s, (value,))
    return made


def test_growth_is_the_last_reading_less_the_first_one_in_the_window() -> None:
    counter = track((0, 100), (10, 107), (20, 130), (30, 131))
    assert counter.increase(0) == [31]
    assert counter.increase(10) == [24]
    assert counter.increase(10.4) == [1]
    assert counter.increase(20.4) is None
    assert track((0, 5)).increase(0) is None


def test_both_ends_belong_to_the_window_to_the_millisecond() -> None:
    counter = track((0.1, 1), (0.2, 2), (0.3, 4), keep_s=10)
    assert counter.increase(0.3 - 0.2) == [3]  # 0.09999999999999998
    assert counter.increase(0.1004) == [3]
    assert counter.increase(0.1006) == [2]


def test_a_smaller_value_is_a_restart_and_counted_from_0() -> None:
    assert track((0, 100), (10, 110), (20, 7), (30, 9)).increase(0) == [10 + 7 + 2]
    assert track((0, 100), (10, 3), (20, 2), (30, 1)).increase(0) == [3 + 2 + 1]
    assert track((0, 100), (10, 0), (20, 0)).increase(0) == [0]
    assert track((0, 2.0**64), (10, 3), (20, 5)).increase(0) == [5]  # where 2⁶⁴ + 3 would be 2⁶⁴


def test_what_no_counter_can_say_is_passed_over() -> None:
    assert track((0, 1), (10, nan), (20, inf), (30, -1), (40, 3)).increase(0) == [2]
    assert track((0, -5), (10, 1), (20, 2)).increase(0) == [1]
    assert track((10, 1), (10, 7), (5, 9), (20, 2)).increase(0) == [1]


counters = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2**46)), min_size=1, max_size=60)


@given(counters, st.integers(0, 400))
def test_it_is_the_plain_sum_of_steps(steps: list[tuple[int, int]], back_s: int) -> None:
    at_s, readings = 0, []
    for step_s, value in steps:
        at_s += step_s
        readings.append((at_s, value))
    kept = track(*readings, keep_s=400)
    inside = [value for when, value in readings if when >= at_s - back_s]
    plain = sum(b - a if b >= a else b for a, b in pairwise(inside))
    assert kept.increase(at_s - back_s) == ([plain] if len(inside) > 1 else None)


@given(st.lists(st.tuples(st.floats(0.001, 3), st.integers(0, 9)), min_size=1, max_size=400))
def test_readings_without_end_are_thinned_out_and_nothing_is_lost(steps: list[tuple[float, int]]) -> None:
    at_s, value = 0.0, 0
    kept = Track(1, 30)
    kept.add(0, (0,))
    for step_s, grown in steps * 5:
        at_s, value = at_s + step_s, value + grown
        kept.add(at_s, (value,))
        assert len(kept) <= 2 * 240 + 3
        if at_s < 30:
            assert kept.increase(at_s - 30) == [value]


def test_a_million_readings_take_no_more_room_than_the_window() -> None:
    kept = Track(15, 120)
    for n in range(20_000):
        kept.add(n / 1000, (float(n),) * 15)
    assert len(kept) <= 2 * 240 + 3


def test_a_window_is_seen_where_a_reading_lies_before_it_by_at_most_its_length() -> None:
    kept = track(*((at, at) for at in range(0, 100, 10)), keep_s=30)
    assert kept.reaches(60)
    assert kept.reaches(65)
    assert kept.reaches(90)
    assert not kept.reaches(121)
    assert not track((40, 1), (50, 2), keep_s=30).reaches(39)
    assert track((40, 1), (50, 2), keep_s=30).reaches(40)


def pods(at_s: float, *values: float | None, name: str = "requests") -> Sampling:
    """Readings of pods 0, 1, …; None: that pod was not read."""
    more = {"errors": 0.0} if name == "requests" else {}
    readings = (Reading(f"api-{n}", at_s, **{name: v}, **more) for n, v in enumerate(values) if v is not None)  # type: ignore[arg-type]
    return Sampling(at_s, tuple(readings))


def windows(*samplings: Sampling) -> Windows:
    made = Windows(LENGTHS)
    for sampling in samplings:
        made.add(sampling)
    return made


def test_growth_is_summed_over_pods_that_come_and_go() -> None:
    seen = windows(
        pods(0, 100, 500), pods(10, 110, 520), pods(20, 120, None), pods(30, None, None, 7), pods(40, 150, None, 9)
    )
    assert seen.errors() == Share(0, (150 - 110) + (9 - 7))  # one reading of api-1 in the window: no difference


def test_without_two_readings_or_one_before_the_window_nothing_is_known() -> None:
    assert windows().errors() is Unseen.NO_READINGS
    assert windows(pods(0, 1)).errors() is Unseen.NO_READINGS
    assert windows(pods(0, 1), pods(10, 2)).errors() is Unseen.TOO_SHORT
    assert windows(pods(0, 1), pods(10, 2), pods(30, 9)).errors() == Share(0, 8)
    assert windows(pods(0, 1), pods(10, 2), pods(60, 9)).errors() is Unseen.NO_READINGS
    assert windows(pods(0, 1), pods(10, 2), pods(60, 9), pods(70, 10)).errors() == Share(0, 1)
    assert windows(pods(0, 1), pods(10, 2), pods(71, 9), pods(80, 10)).errors() is Unseen.TOO_SHORT
    assert windows(Sampling(0), Sampling(10)).buckets() is Unseen.NO_READINGS
    assert windows(Sampling(0), Sampling(10)).ai_failures() is Unseen.NO_READINGS


def test_what_one_of_two_counters_does_not_say_is_not_0() -> None:
    seen = windows(*(Sampling(at, (Reading("api", at, requests=at),)) for at in range(0, 60, 10)))
    assert seen.errors() is Unseen.NO_READINGS


def test_a_clock_that_is_set_back_begins_anew() -> None:
    seen = windows(pods(7200, 1), pods(7230, 2), pods(0, 3), pods(10, 4))
    assert seen.errors() is Unseen.TOO_SHORT
    seen.add(pods(30, 5))
    assert seen.errors() == Share(0, 2)


def test_pods_that_went_are_forgotten() -> None:
    seen = Windows(LENGTHS)
    for n in range(1000):
        seen.add(Sampling(10.0 * n, (Reading(f"api-{n}", 10.0 * n, requests=1, errors=0),)))
    assert seen.pods <= 2 * 12 + 1


@pytest.mark.req("B5", "R5")
def test_a_reading_from_the_future_hides_none_of_those_after_it() -> None:
    ahead = Reading("a", 7200.0, requests=1.0, errors=1.0)
    seen = windows(pods(0, 0.0), pods(10, 10.0), pods(20, 20.0), pods(30, 30.0))
    before = seen.errors()
    seen = windows(pods(0, 0.0), Sampling(10, (*pods(10, 10.0).readings, ahead)), pods(20, 20.0), pods(30, 30.0))
    assert seen.errors() == before
    assert isinstance(before, Share)


@pytest.mark.req("B5")
def test_what_is_left_out_as_from_the_future_is_unknown_and_said() -> None:
    sampling = Sampling(10.0, (Reading("a", 75.0), Reading("b", 75.001), Reading("c", nan)), {"x": "why"})
    kept = dated(sampling)
    assert [r.pod for r in kept.readings] == ["a"]
    assert dict(kept.unknown)["pod/b"] == "a reading from 65 s in the future, which is left out"
    assert set(kept.unknown) == {"x", "pod/b", "pod/c"}
    assert dated(kept) is kept


def test_pods_that_come_and_go_all_the_time_take_bounded_room() -> None:
    seen = windows()
    for look in range(4):
        at_s = 10.0 * look
        names = ("stays", *(f"{look}-{n}" for n in range(PODS - 1)))
        seen.add(Sampling(at_s, tuple(Reading(name, at_s, requests=at_s, errors=at_s) for name in names)))
    assert seen.pods == PODS
    assert seen.unknown == (("pods", "more than 5000 of one service: those read last are kept"),)
    assert seen.errors() == Share(30.0, 30.0), "the pod that stays"


def histogram(at_s: float, **pods: tuple[tuple[float, float], ...]) -> Sampling:
    return Sampling(at_s, tuple(Reading(name, at_s, buckets=buckets) for name, buckets in pods.items()))


def test_histograms_are_summed_by_bound_whatever_their_layouts() -> None:
    seen = windows(
        histogram(0, a=((1, 0), (inf, 0)), b=((1, 0), (inf, 0)), c=((1, 5), (30, 5), (inf, 5))),
        histogram(120, a=((1, 3), (inf, 4)), b=((1, 10), (inf, 10)), c=((1, 6), (30, 8), (inf, 9))),
    )
    assert seen.buckets() == [(1, 3 + 10 + 1), (30, 3), (inf, 4 + 10 + 4)]


def test_another_layout_of_the_same_pod_is_another_histogram() -> None:
    seen = windows(histogram(0, a=((1, 5), (inf, 9))), histogram(120, a=((2, 50), (inf, 90))))
    assert seen.buckets() is Unseen.NO_READINGS


def memory(at_s: float, used: float | None, limit: float | None, kills: int | None = None) -> Sampling:
    return Sampling(at_s, (Reading("a", at_s, working_set_bytes=used, memory_limit_bytes=limit, oom_kills=kills),))


def test_memory_is_the_last_that_was_seen_within_the_window() -> None:
    [seen] = windows(memory(0, 50, 100), memory(30, None, None)).memory()
    assert seen.share == 0.5
    [late] = windows(memory(0, 50, 100), memory(31, None, 100)).memory()
    assert late.share is None
    [none] = windows(memory(0, 50, 0)).memory()
    assert none.share is None
    [broken] = windows(memory(0, nan, 100)).memory()
    assert broken.share is None


def test_oom_kills_count_for_their_time_from_the_reading_before_them() -> None:
    kills = [memory(0, None, None, 4), memory(10, None, None, 5), *(memory(at, 1, 10, 5) for at in range(20, 200, 10))]
    found = []
    seen = Windows(LENGTHS)
    for sampling in kills:
        seen.add(sampling)
        found += [(sampling.at_s, pod.oom_kills) for pod in seen.memory()]
    assert found[:2] == [(0, None), (10, 1)]
    assert (120, 1) in found
    assert (130, 0) in found


def test_a_quantile_by_hand() -> None:
    buckets = [(1.0, 50.0), (10.0, 90.0), (30.0, 95.0), (60.0, 100.0), (inf, 100.0)]
    assert quantile(0.5, buckets) == 1
    assert quantile(0.25, buckets) == 0.5
    assert quantile(0.95, buckets) == 30
    assert quantile(0.96, buckets) == pytest.approx(36)
    assert quantile(1, [(1.0, 5.0), (inf, 10.0)]) == 1  # all that is known of what lies above the last bound


def test_a_quantile_of_nothing_is_none() -> None:
    assert quantile(0.95, []) is None
    assert quantile(0.95, [(inf, 5.0)]) is None
    assert quantile(0.95, [(1.0, 0.0), (inf, 0.0)]) is None
    assert quantile(0.95, [(1.0, 5.0), (2.0, 5.0)]) is None


bounds = st.lists(st.integers(-2, 50).map(float), min_size=1, max_size=8, unique=True).map(sorted)


@given(bounds, st.lists(st.integers(0, 20), min_size=9, max_size=9), st.floats(0.001, 1))
def test_a_quantile_is_that_of_prometheus(layout: list[float], counts: list[int], q: float) -> None:
    """Also of counts that fall with the bound, which differences over several pods can have."""
    buckets = [(bound, float(count)) for bound, count in zip([*layout, inf], counts, strict=False)]
    assert quantile(q, buckets) == reference.quantile(q, buckets)


def test_merged_readings_keep_the_newest_time_and_value() -> None:
    kept = Track(1, 240)  # one second apart, or merged
    for at_s, value in ((0, 0), (2, 10), (2.4, 11), (2.8, 5), (9, 7)):
        kept.add(at_s, (value,))
    assert len(kept) == 4  # 0, 2, 2.8, 9: that of 2.4 is merged into its successor
    assert kept.increase(0) == [10 + 1 + 5 + 2]
    assert kept.increase(2) == [1 + 5 + 2]
    assert kept.increase(2.5) == [2]
    assert kept.increase(3) is None
    several = Track(2, 240)
    for at_s in (0, 2, 2.4, 2.8, 9):
        several.add(at_s, (at_s, 10 * at_s))
    assert several.increase(2.5) == pytest.approx([9 - 2.8, 90 - 28])


def test_a_restart_of_one_counter_leaves_the_others_alone() -> None:
    kept = Track(3, 1000)
    for n, row in enumerate(((10, 100, 7), (20, 200, 7), (5, 300, 8))):
        kept.add(10 * n, row)
    assert kept.increase(0) == [10 + 5, 200, 1]


def test_a_sampling_a_moment_before_the_last_one_is_no_clock_set_back() -> None:
    seen = windows(pods(0, 1), pods(30, 2), pods(30 - 0.0004, 3), pods(40, 4), pods(60, 9))
    assert seen.errors() == Share(0, 7)


def test_the_first_reading_of_the_last_window_is_kept_for_as_long_as_it_matters() -> None:
    """A pod that is gone still shows that the service was seen before the window began."""
    old = (Sampling(at, (Reading("old", at, ai_calls=at, ai_failures=0),)) for at in range(0, 20, 10))
    new = (Sampling(at, (Reading("new", at, ai_calls=at, ai_failures=0),)) for at in range(130, 250, 10))
    seen = windows(*old, *new)
    assert seen.ai_failures() == Share(0, 110)


def test_pods_without_buckets_do_not_hide_those_with() -> None:
    seen = windows(
        Sampling(0, (Reading("a", 0, requests=1), Reading("b", 0, buckets=((1, 0), (inf, 0))))),
        Sampling(120, (Reading("a", 120, requests=1), Reading("b", 120, buckets=((1, 1), (inf, 2))))),
    )
    assert seen.buckets() == [(1, 1), (inf, 2)]
    short = windows(histogram(0, b=((1, 0), (inf, 0))), histogram(10, b=((1, 1), (inf, 2))))
    assert short.buckets() is Unseen.TOO_SHORT
    more = windows(
        histogram(0, a=((1, 0), (inf, 0)), b=((2, 0), (inf, 0)), c=((2, 0), (inf, 0))),
        histogram(120, a=((1, 3), (inf, 4)), b=((2, 1), (inf, 1)), c=((2, 5), (inf, 5))),
    )
    assert more.buckets() == [(1, 3), (2, 6), (inf, 10)]


def test_a_quantile_where_few_buckets_are_filled() -> None:
    assert quantile(0.95, [(0.0, 10.0), (5.0, 10.0), (inf, 10.0)]) == 0
    assert quantile(0.95, [(1.0, 0.0), (2.0, 0.0), (inf, 4.0)]) == 2
    assert quantile(0.5, [(1.0, 0.0), (2.0, 4.0), (inf, 4.0)]) == 1.5
