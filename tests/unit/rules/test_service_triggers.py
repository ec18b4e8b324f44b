"""R5 to R8 as the loop uses them: one sampling after the other in, verdicts with their arithmetic out."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from math import inf

import pytest

from codeblue.model.health import Outcome, Probe, Round
from codeblue.model.signal import Reading, Sampling
from codeblue.model.verdict import Verdict
from codeblue.profile.acting import Triggers
from codeblue.rules.holding import Holding
from codeblue.rules.service import ServiceTriggers, mode_of, observing

OK, BREACH, UNKNOWN = Outcome.OK, Outcome.BREACH, Outcome.UNKNOWN
#: An hour of good service before what a test is about.
START_S = 1_800_000_000.0


class Service:
    """One pod that serves, read every so often."""

    def __init__(self, triggers: Triggers | None = None, every_s: int = 1) -> None:
        self.triggers = ServiceTriggers(triggers or Triggers())
        self.every_s, self.at_s = every_s, START_S
        self.requests = self.errors = self.calls = self.lost = self.fast = self.slow = 0.0

    def serve(
        self, seconds: int, *, requests: int = 10_000, errors: int = 0, calls: int = 0, lost: int = 0, slow: int = 0
    ) -> list[dict[str, Verdict]]:
        """So many seconds with so many of each per second."""
        found = []
        for _ in range(seconds // self.every_s):
            self.at_s += self.every_s
            self.requests += requests * self.every_s
            self.errors += errors * self.every_s
            self.calls += calls * self.every_s
            self.lost += lost * self.every_s
            self.slow += slow * self.every_s
            found.append(self.look(self.reading()))
        return found

    def reading(self) -> Reading:
        fast = self.requests - self.slow
        return Reading(
            "api-1",
            self.at_s,
            requests=self.requests,
            errors=self.errors,
            buckets=((1.0, fast), (30.0, fast), (45.0, self.requests), (inf, self.requests)),
            ai_calls=self.calls,
            ai_failures=self.lost,
        )

    def look(self, *readings: Reading, unknown: dict[str, str] | None = None) -> dict[str, Verdict]:
        verdicts = self.triggers.observe(None, Sampling(self.at_s, readings, unknown or {}))
        return {verdict.rule: verdict for verdict in verdicts}

    def blind(self, seconds: int) -> list[dict[str, Verdict]]:
        """Nobody can read anything."""
        found = []
        for _ in range(seconds // self.every_s):
            self.at_s += self.every_s
            found.append(self.look(unknown={"prometheus": "connection refused"}))
        return found


def fired(looks: Iterable[dict[str, Verdict]], rule: str) -> int:
    """How often it began to fire."""
    outcomes = [OK, *(look[rule].outcome for look in looks)]
    return sum(now is BREACH and before is not BREACH for before, now in pairwise(outcomes))


@pytest.mark.req("R5", "R10")
@pytest.mark.defect("D17")
@pytest.mark.done("4.2")
@pytest.mark.parametrize(
    ("errors", "seconds", "times"), [(500, 600, 0), (501, 119, 0), (501, 121, 1), (501, 120, 1), (10_000, 600, 1)]
)
def test_five_percent_for_two_minutes(errors: int, seconds: int, times: int) -> None:
    service = Service()
    service.serve(60)
    looks = service.serve(seconds, errors=errors) + service.serve(120)
    assert fired(looks, "R5") == times


@pytest.mark.req("R5")
def test_a_breach_tells_its_arithmetic_and_since_when() -> None:
    service = Service(every_s=10)
    service.serve(60)
    looks = service.serve(120, errors=501)
    assert looks[1]["R5"].why == "10,020 of 300,000 requests failed within 30 s: 3.34 % ≤ 5 %"
    assert looks[2]["R5"].why == (
        "15,030 of 300,000 requests failed within 30 s: 5.01 % > 5 %, at every look for 0 s < 90 s"
    )
    assert looks[2]["R5"].outcome is OK
    assert looks[2]["R5"].since_s == START_S + 60 + 30
    last = looks[-1]["R5"]
    assert last.outcome is BREACH
    assert last.why.endswith("5.01 % > 5 %, at every look for 90 s ≥ 90 s")
    assert last.since_s == START_S + 60 + 30
    assert service.serve(30)[-1]["R5"].since_s is None


@pytest.mark.req("R10")
@pytest.mark.defect("D17")
def test_a_service_that_is_hardly_used_says_nothing() -> None:
    service = Service(every_s=10)
    verdict = service.serve(600, requests=0)[-1]["R5"]
    assert verdict.outcome is UNKNOWN
    assert verdict.why == "0 requests within 30 s < 20"
    service = Service(Triggers.model_validate({"errors": {"minimum": 31}}), every_s=10)
    assert service.serve(600, requests=1, errors=1)[-1]["R5"].outcome is UNKNOWN
    service = Service(Triggers.model_validate({"errors": {"minimum": 30}}), every_s=10)
    assert service.serve(600, requests=1, errors=1)[-1]["R5"].outcome is BREACH


@pytest.mark.req("R5", "R10", "B5")
def test_what_was_not_seen_did_not_hold() -> None:
    service = Service(every_s=10)
    service.serve(60)
    assert fired(service.serve(110, errors=5000), "R5") == 1  # what follows is not for want of failures
    service = Service(every_s=10)
    service.serve(60)
    looks = service.serve(50, errors=5000) + service.blind(40) + service.serve(100, errors=5000)
    assert fired(looks, "R5") == 0
    assert [look["R5"].outcome for look in looks[5 : 5 + 4]] == [OK, OK, UNKNOWN, UNKNOWN]
    assert looks[5 + 3]["R5"].why == ("requests within 30 s: no pod has two readings (prometheus: connection refused)")


@pytest.mark.req("R10", "B5")
def test_one_reading_that_fails_is_no_gap() -> None:
    service = Service(every_s=10)
    service.serve(60)
    looks = service.serve(60, errors=5000) + service.blind(10) + service.serve(40, errors=5000)
    assert fired(looks, "R5") == 1


@pytest.mark.req("R5", "R10")
def test_looks_that_lie_too_far_apart_do_not_add_up() -> None:
    """A daemon that was stopped for ten minutes has not seen ten minutes of failures."""
    service = Service(every_s=10)
    service.serve(60)
    service.serve(40, errors=5000)
    assert service.serve(10, errors=5000)[-1]["R5"].since_s is not None
    service.at_s += 600
    looks = service.serve(100, errors=5000)
    assert fired(looks, "R5") == 0


@pytest.mark.req("R5")
def test_a_clock_that_is_set_back_breaks_the_holding() -> None:
    service = Service(every_s=10)
    service.serve(60)
    service.serve(100, errors=5000)
    service.at_s -= 7200
    looks = service.serve(100, errors=5000)
    assert fired(looks, "R5") == 0
    assert fired(service.serve(40, errors=5000), "R5") == 1


@pytest.mark.req("R5")
def test_right_after_the_start_two_minutes_are_two_minutes() -> None:
    """No window is judged that is shorter than it should be."""
    service = Service(every_s=10)
    service.look(service.reading())
    looks = service.serve(110, errors=5000)
    assert fired(looks, "R5") == 0
    assert looks[1]["R5"].outcome is UNKNOWN
    assert looks[1]["R5"].why == "requests within 30 s: no pod was read before it began"
    assert fired(service.serve(10, errors=5000), "R5") == 1


@pytest.mark.req("R6", "R10")
@pytest.mark.defect("D17")
@pytest.mark.parametrize(("slow", "outcome"), [(500, OK), (501, BREACH)])
def test_p95_over_30_seconds(slow: int, outcome: Outcome) -> None:
    service = Service(every_s=10)
    service.serve(180)
    looks = service.serve(130, slow=slow)
    assert looks[-1]["R6"].outcome is outcome
    assert looks[5]["R6"].outcome is OK
    if outcome is BREACH:
        assert looks[-1]["R6"].why == "p95 of 1,200,000 requests within 120 s: 30.0299 s > 30 s"
    else:
        assert looks[-1]["R6"].why == "p95 of 1,200,000 requests within 120 s: 1 s ≤ 30 s"


@pytest.mark.req("R6", "R10")
def test_p95_of_few_requests_says_nothing() -> None:
    service = Service(Triggers.model_validate({"latency": {"minimum": 121}}), every_s=10)
    verdict = service.serve(600, requests=1, slow=1)[-1]["R6"]
    assert (verdict.outcome, verdict.why) == (UNKNOWN, "120 requests within 120 s < 121")


@pytest.mark.req("R6")
@pytest.mark.defect("D18")
@pytest.mark.parametrize("highest", [10.0, 30.0])
def test_a_histogram_that_ends_below_the_limit_is_never_fast_enough(highest: float) -> None:
    service = ServiceTriggers(Triggers())
    for n in range(30):
        reading = Reading("api-1", 10.0 * n, buckets=((1.0, 0.0), (highest, 0.0), (inf, 100.0 * n)))
        verdicts = service.observe(None, Sampling(10.0 * n, (reading,)))
    [verdict] = [v for v in verdicts if v.rule == "R6"]
    assert verdict.outcome is UNKNOWN
    assert verdict.why == (
        f"the histogram ends at {highest:g} s, so that its p95 can never be above 30 s (D18): "
        "give it a bucket above that"
    )


@pytest.mark.defect("D18")
def test_a_histogram_without_a_finite_bucket_says_nothing() -> None:
    service = ServiceTriggers(Triggers())
    for n in range(30):
        reading = Reading("api-1", 10.0 * n, buckets=((inf, 100.0 * n),))
        verdicts = service.observe(None, Sampling(10.0 * n, (reading,)))
    [verdict] = [v for v in verdicts if v.rule == "R6"]
    assert (verdict.outcome, "(D18)" in verdict.why) == (UNKNOWN, True)


@pytest.mark.req("R8", "R10")
@pytest.mark.defect("D17")
@pytest.mark.parametrize(("lost", "outcome"), [(10, OK), (11, BREACH)])
def test_ten_percent_of_the_calls_of_the_model(lost: int, outcome: Outcome) -> None:
    service = Service(every_s=10)
    service.serve(180, calls=100)
    looks = service.serve(130, calls=100, lost=lost)
    assert looks[-1]["R8"].outcome is outcome
    assert looks[-1]["R5"].outcome is OK
    if outcome is BREACH:
        assert looks[-1]["R8"].why == "1,320 of 12,000 calls of the model failed within 120 s: 11 % > 10 %"


GIB = 2.0**30


class Pods:
    """Pods with memory, read every 10 s."""

    def __init__(self, *, triggers: Triggers | None = None) -> None:
        self.triggers = ServiceTriggers(triggers or Triggers())
        self.at_s = START_S

    def use(
        self, seconds: int, *shares: float | None, kills: tuple[int | None, ...] = (), unknown: tuple[str, ...] = ()
    ) -> list[Verdict]:
        """So much of the memory of each pod for so long; None: that one was not read."""
        found = []
        for _ in range(seconds // 10):
            self.at_s += 10
            readings = tuple(
                Reading(
                    f"api-{n}",
                    self.at_s,
                    working_set_bytes=share * GIB,
                    memory_limit_bytes=GIB,
                    oom_kills=kills[n] if n < len(kills) else None,
                )
                for n, share in enumerate(shares)
                if share is not None
            )
            sampling = Sampling(self.at_s, readings, dict.fromkeys(unknown, "no answer"))
            found += [v for v in self.triggers.observe(None, sampling) if v.rule == "R7"]
        return found


@pytest.mark.req("R7", "R10")
@pytest.mark.parametrize(
    ("share", "seconds", "outcome"), [(0.95, 900, OK), (0.951, 300, OK), (0.951, 310, BREACH), (0.5, 900, OK)]
)
def test_memory_over_95_percent_for_five_minutes(share: float, seconds: int, outcome: Outcome) -> None:
    assert Pods().use(seconds, share)[-1].outcome is outcome


@pytest.mark.req("R7")
def test_a_moment_below_the_limit_resets() -> None:
    pods = Pods()
    assert [v.outcome for v in (*pods.use(290, 0.96), *pods.use(10, 0.9), *pods.use(300, 0.96))] == [OK] * 60
    assert pods.use(10, 0.96)[-1].outcome is BREACH


@pytest.mark.req("R7")
@pytest.mark.defect("D19")
def test_an_oom_kill_is_a_breach_and_no_reset() -> None:
    pods = Pods()
    pods.use(200, 0.99, kills=(0,))
    looks = pods.use(110, 0.2, kills=(1,))  # killed, and begun anew with little
    assert looks[-1].outcome is BREACH
    assert looks[-1].why == (
        "1 of 1 pods over 95 % of their memory (api-0 20 %, 1 OOM kill within 120 s), at every look for 300 s ≥ 300 s"
    )
    assert pods.use(20, 0.2, kills=(1,))[-1].outcome is OK  # a kill counts for two minutes
    without = Pods()
    without.use(200, 0.99)
    assert without.use(110, 0.2)[-1].outcome is OK


@pytest.mark.req("R7")
@pytest.mark.defect("D19")
def test_a_pod_that_is_killed_again_and_again_is_found_although_it_is_never_seen_full() -> None:
    pods = Pods()
    pods.use(10, 0.5, kills=(0,))
    outcomes = [pods.use(60, 0.5, kills=(n,))[-1].outcome for n in range(1, 8)]
    assert outcomes[-1] is BREACH
    assert outcomes[3] is OK


@pytest.mark.req("R7")
@pytest.mark.parametrize(
    ("shares", "hot", "few"),
    [
        ((0.99, 0.5, 0.5), ("api-0",), True),
        ((0.99, 0.99, 0.5), ("api-0", "api-1"), False),
        ((0.99, 0.99, 0.5, 0.5), ("api-0", "api-1"), True),
        ((0.99, 0.99, 0.99, 0.5), ("api-0", "api-1", "api-2"), False),
        ((0.99,), ("api-0",), False),
    ],
)
def test_one_hot_pod_is_told_from_a_quorum(shares: tuple[float, ...], hot: tuple[str, ...], few: bool) -> None:
    verdict = Pods().use(310, *shares)[-1]
    assert (verdict.pods, verdict.of, verdict.is_of_few) == (hot, len(shares), few)


@pytest.mark.req("R7", "B5")
def test_pods_that_cannot_be_read_make_no_quorum() -> None:
    verdict = Pods().use(310, 0.99, unknown=("pod/api-1", "pod/api-2", "prometheus"))[-1]
    assert (verdict.pods, verdict.of, verdict.is_of_few) == (("api-0",), 3, True)


@pytest.mark.req("R7")
def test_pods_get_hot_at_their_own_time() -> None:
    pods = Pods()
    pods.use(200, 0.99, 0.5)
    [*_, first] = pods.use(110, 0.99, 0.99)
    assert (first.pods, first.near) == (("api-0",), ("api-1",)), "the second is over the limit too, for less long"
    assert first.why.endswith("; not yet for so long: api-1"), "the decision counts it, so its reason says so"
    [*_, both] = pods.use(200, 0.99, 0.99)
    assert (both.pods, both.near) == (("api-0", "api-1"), ())
    assert both.since_s == START_S + 10


@pytest.mark.req("R7", "R10", "B5")
def test_memory_that_is_not_read_is_unknown_and_breaks_the_holding() -> None:
    pods = Pods()
    looks = (*pods.use(200, 0.99), *pods.use(50, None, unknown=("pod/api-0",)), *pods.use(290, 0.99))
    assert BREACH not in {v.outcome for v in looks}
    blind = looks[20 + 4]
    assert blind.outcome is UNKNOWN
    assert blind.why == "no pod's memory and limit were read within 30 s (pod/api-0: no answer)"


def round_(outcome: Outcome) -> Round:
    return Round(datetime(2026, 1, 5, tzinfo=UTC), Probe("service", "/", outcome, None, 1.0, detail="503"))


@pytest.mark.req("R4")
def test_all_triggers_of_a_service_are_judged_together() -> None:
    service = ServiceTriggers(Triggers())
    assert service.observe(None, None) == ()
    assert [v.rule for v in service.observe(round_(OK), None)] == ["R4"]
    verdicts = service.observe(None, Sampling(10.0))
    assert [(v.rule, v.outcome) for v in verdicts] == [
        ("R4", OK), ("R5", UNKNOWN), ("R6", UNKNOWN), ("R7", UNKNOWN), ("R8", UNKNOWN)
    ]  # fmt: skip
    assert verdicts[1].why.endswith("no pod has two readings: there is no pod")
    for _ in range(3):
        service.observe(round_(BREACH), None)
    assert service.observe(round_(BREACH), None)[0].outcome is BREACH
    service.forget_rounds()
    assert service.observe(round_(BREACH), None)[0].outcome is OK


@pytest.mark.req("R1a")
def test_the_strongest_mode_of_the_triggers_that_speak_for_it_counts() -> None:
    modes = {"health": {"mode": "ask"}, "memory": {"mode": "act"}, "ai": {"mode": "observe"}}
    triggers = Triggers.model_validate(modes)
    assert mode_of(triggers, []) == "observe"
    assert mode_of(triggers, ["R8"]) == "observe"
    assert mode_of(triggers, ["R8", "R4", "R5"]) == "ask"
    assert mode_of(triggers, ["R4", "R5", "R7", "R8"]) == "act"
    assert mode_of(triggers, ["other"]) == "observe"
    assert observing(triggers) == {"R5", "R6", "R8"}


@pytest.mark.req("R6")
def test_p95_exactly_at_the_limit_is_not_above_it() -> None:
    service = ServiceTriggers(Triggers.model_validate({"latency": {"minimum": 100}}))

    def p95(above: float, requests: float = 10.0) -> Verdict:
        for n in range(14):
            at_s = START_S + 10 * n
            below = (requests - above) * n
            reading = Reading("a", at_s, buckets=((1.0, 0.0), (30.0, below), (45.0, requests * n), (inf, requests * n)))
            verdicts = service.observe(None, Sampling(at_s, (reading,)))
        return next(v for v in verdicts if v.rule == "R6")

    at_the_limit = p95(0.5)
    assert (at_the_limit.outcome, at_the_limit.measured) == (OK, 30.0)
    assert at_the_limit.why == "p95 of 120 requests within 120 s: 30 s ≤ 30 s"


def test_verdicts_carry_what_they_measured() -> None:
    service = Service(every_s=10)
    quiet = service.serve(250, calls=100, lost=1, slow=1, errors=1)[-1]
    assert (quiet["R5"].measured, quiet["R8"].measured) == (0.0001, 0.01)
    assert quiet["R6"].measured == pytest.approx(0.95009, abs=1e-4)
    bad = service.serve(250, calls=100, lost=50, slow=5000, errors=5000)[-1]
    assert (bad["R5"].measured, bad["R8"].measured, bad["R6"].measured) == (0.5, 0.5, 43.5)
    assert [v.measured for v in Pods().use(10, 0.5, 0.75)] == [0.75]
    assert [v.measured for v in Pods().use(10, 0.99, 0.5)] == [0.99]
    assert Pods().use(10, None)[-1].measured is None


@pytest.mark.req("R7")
def test_memory_tells_its_arithmetic() -> None:
    assert Pods().use(10, 0.5)[-1].why == "the pod uses 50 % ≤ 95 % of its memory"
    assert Pods().use(10, 0.5, 0.25)[-1].why == "each of 2 pods uses at most 50 % ≤ 95 % of its memory"
    pods = Pods()
    waiting = pods.use(20, 0.99, 0.96, 0.5)[-1]
    assert waiting.why == (
        "2 of 3 pods over 95 % of their memory (api-0 99 %, api-1 96 %), at every look for 10 s < 300 s"
    )
    assert (waiting.outcome, waiting.since_s, waiting.pods) == (OK, START_S + 10, ())
    killed = Pods()
    killed.use(10, 0.5, kills=(0,))
    assert "(api-0 50 %, 2 OOM kills within 120 s)" in killed.use(10, 0.5, kills=(2,))[-1].why
    many = Pods().use(310, *([0.99] * 5))[-1]
    assert "(api-0 99 %, api-1 99 %, api-2 99 % and 2 more)" in many.why


def test_a_pod_of_which_only_the_kills_are_known_is_told_by_them() -> None:
    service = ServiceTriggers(Triggers())
    for n in range(2):
        sampling = Sampling(10.0 * n, (Reading("api-0", 10.0 * n, oom_kills=n),))
        [verdict] = [v for v in service.observe(None, sampling) if v.rule == "R7"]
    assert "(api-0 1 OOM kill within 120 s)" in verdict.why
    assert verdict.measured is None


def test_why_latency_is_not_known_is_told() -> None:
    service = ServiceTriggers(Triggers())
    [verdict] = [v for v in service.observe(None, Sampling(0.0)) if v.rule == "R6"]
    assert verdict.why == "response times within 120 s: no pod has two readings: there is no pod"
    for n in range(30):
        reading = Reading("api-1", 10.0 * n, buckets=((inf, 100.0 * n),))
        verdicts = service.observe(None, Sampling(10.0 * n, (reading,)))
    assert next(v for v in verdicts if v.rule == "R6").why == (
        "the histogram of the response times has no finite bucket (D18)"
    )
    for n in range(30, 60):
        layout = ((1.0, 0.0), (20.0, 0.0), (inf, 100.0 * n))
        verdicts = service.observe(None, Sampling(10.0 * n, (Reading("api-1", 10.0 * n, buckets=layout),)))
    assert next(v for v in verdicts if v.rule == "R6").why.startswith("the histogram ends at 20 s, ")


def test_a_histogram_without_a_bucket_for_everything_says_nothing() -> None:
    service = ServiceTriggers(Triggers())
    for n in range(30):
        reading = Reading("api-1", 10.0 * n, buckets=((1.0, 0.0), (60.0, 100.0 * n)))
        verdicts = service.observe(None, Sampling(10.0 * n, (reading,)))
    verdict = next(v for v in verdicts if v.rule == "R6")
    assert (verdict.outcome, verdict.why) == (UNKNOWN, "the histogram of the response times says nothing")


def test_looks_as_far_apart_as_the_window_still_add_up() -> None:
    """To the millisecond: a look that comes a moment late is no gap."""
    for late_s in (0.0, 0.0004):
        holding = Holding(hold_s=90, gap_s=30)
        assert [holding.over(START_S + n * (30 + late_s)) for n in range(4)] == [False, False, False, True]
    holding = Holding(hold_s=90, gap_s=30)
    assert not any(holding.over(START_S + n * 30.001) for n in range(10))
    holding = Holding(hold_s=90, gap_s=30)
    assert [holding.over(at_s) for at_s in (0, 30, 30, 60, 89.9994)] == [False] * 5
    assert holding.over(89.9996)
