"""Recovery verification (R39-R46): every check that the service offers the means for, and any failure fails it."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.world import Lab

from codeblue.engine.runs import make_plan
from codeblue.model.errors import ExitCode, Unreachable
from codeblue.model.health import Outcome, Probe
from codeblue.model.release import Standing
from codeblue.model.signal import Reading
from codeblue.ports.platform import Place
from codeblue.record.runs import RunState, RunView
from codeblue.runbooks.known_good import Request as KnownGoodRequest
from codeblue.runbooks.recovery import Request
from codeblue.runbooks.service_checks import count_requests, judge_latency
from codeblue.testing.memory_cluster import Behaviour, memory_template

FULL = """\
health: {interval: 2s, timeout: 1s}
contract:
  health_database: /api/health/database
  health_redis: /api/health/redis
  health_ai_services: /api/health/ai-services
  metrics: /metrics
  processes: /processes
flags: {ai_enabled: true, rollout: 50}
verify: {every: 2s, checks: 5, stable_for: 10s, latency_samples: 20, latency_p95: 200ms, memory: 90 %, error_rate: 5 %}
known_good: {soak: 60s}
"""
GOOD_FLAGS = {"ai_enabled": {"value": True}, "rollout": {"value": 50}}


def processes(*flags: dict[str, object]) -> Callable[[Place], bytes]:
    """What each pod says of its own processes."""

    def body(place: Place) -> bytes:
        pod = place.name.removeprefix("pod/")
        return json.dumps({"processes": [{"pod": pod, "pid": n, "flags": f} for n, f in enumerate(flags, 1)]}).encode()

    return body


def metrics(lab: Lab, failing: float = 0.0) -> Callable[[Place], bytes]:
    """Counters that grow by a hundred requests with every asking."""
    counts: dict[str, int] = {}

    def body(place: Place) -> bytes:
        n = counts[place.name] = counts.get(place.name, 7) + 100
        bad = int(n * failing)
        return f'http_requests_total{{status="200"}} {n - bad}\nhttp_requests_total{{status="503"}} {bad}\n'.encode()

    return body


@pytest.fixture
def lab() -> Lab:
    lab = Lab(FULL)
    for name in ("database_health", "external_health", "smoke", "verify_rollback"):
        lab.commands.results[name] = (Outcome.OK, "exit code 0")
    lab.prober.bodies = {"/processes": processes(GOOD_FLAGS, GOOD_FLAGS), "/metrics": metrics(lab)}
    return lab


async def verified(lab: Lab) -> RunView:
    return await lab.perform("recovery", Request())


async def failed_at(lab: Lab, step: str) -> str:
    """The reason why a verification failed, which must be at this step, with exit code 1, and nothing touched."""
    run = await verified(lab)
    assert run.state is RunState.FAILED, run.why
    assert run.exit_code in (ExitCode.FAILED, ExitCode.UNREACHABLE)
    assert run.step(step).state == "failed"
    assert lab.cluster.accepted == []
    return run.why


@pytest.mark.req("R39", "R40", "R41", "R42", "R43", "R44", "R45", "R46")
@pytest.mark.defect("D49")
async def test_a_healthy_service_passes_every_check(lab: Lab) -> None:
    run = await verified(lab)
    assert run.state is RunState.DONE, run.why
    assert [s.id for s in run.steps] == [
        "pods",
        "health-api",
        "health-database",
        "health-redis",
        "health-ai-services",
        "database-health",
        "external-health",
        "smoke",
        "verify-rollback",
        "flags",
        "latency",
        "error-rate",
        "memory",
        "signals",
        "stable",
    ]
    assert run.step("flags").why == "2 values as expected in 6 processes"
    assert run.step("latency").why == "p95 of 20 requests is 5 ms ≤ 200 ms"
    assert run.step("memory").why.endswith("uses 25% of its limit ≤ 90%")
    assert run.step("error-rate").why.endswith("= 0.0% ≤ 5%")
    assert run.inputs["left_out"] == []
    assert lab.cluster.accepted == []


@pytest.mark.req("R1c")
async def test_what_the_service_has_no_means_for_is_said() -> None:
    lab = Lab()
    plan = await make_plan("recovery", Request(), lab.world)
    left_out = [line for line in plan.lines if line.startswith("left out")]
    assert len(left_out) == 4 + 3 + 1 + 1 + 1
    assert "left out: triggers of the signals: the profile names no source of metrics" in plan.lines
    assert "left out: error rate: contract.metrics is not in the profile" in plan.lines
    assert [s.id for s in plan.steps] == ["pods", "health-api", "latency", "memory", "stable"]


@pytest.mark.req("R39")
@pytest.mark.defect("D49")
@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/api/health", "health-api"),
        ("/api/health/database", "health-database"),
        ("/api/health/redis", "health-redis"),
        ("/api/health/ai-services", "health-ai-services"),
    ],
)
async def test_an_endpoint_that_fails_fails_it(lab: Lab, path: str, step: str) -> None:
    lab.prober.status_of[path] = 503
    assert "503" in await failed_at(lab, step)


@pytest.mark.req("R40", "R41", "R43")
@pytest.mark.defect("D49")
@pytest.mark.parametrize("name", ["database_health", "external_health", "smoke", "verify_rollback"])
@pytest.mark.parametrize("outcome", [Outcome.BREACH, Outcome.UNKNOWN])
async def test_a_command_that_fails_or_does_not_end_fails_it(lab: Lab, name: str, outcome: Outcome) -> None:
    lab.commands.results[name] = (outcome, "exit code 1")
    assert "exit code 1" in await failed_at(lab, name.replace("_", "-"))
    assert lab.commands.ran.count(name) == 1


@pytest.mark.req("R42")
@pytest.mark.defect("D27")
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (processes(GOOD_FLAGS, {**GOOD_FLAGS, "ai_enabled": {"value": False}}), "process 2: ai_enabled is false"),
        (processes({**GOOD_FLAGS, "rollout": {"value": 49}}), "process 1: rollout is 49, expected 50"),
        (processes({**GOOD_FLAGS, "ai_enabled": {"value": 1}}), "ai_enabled is 1, expected true"),
        (processes({**GOOD_FLAGS, "ai_enabled": {"value": "true"}}), 'ai_enabled is "true", expected true'),
        (processes({"ai_enabled": {"value": True}}), "does not report rollout"),
        (processes({**GOOD_FLAGS, "rollout": {"value": None}}), "does not report rollout"),
        (processes(), "reports no process"),
        (b"not json", "reports no process"),
        (b"[]", "reports no process"),
        (b'{"processes": {"a": 1}}', "reports no process"),
    ],
)
async def test_one_process_with_another_flag_fails_it(lab: Lab, body: bytes, why: str) -> None:
    lab.prober.bodies["/processes"] = body
    assert why in await failed_at(lab, "flags")


async def test_flags_may_be_plain_values(lab: Lab) -> None:
    lab.prober.bodies["/processes"] = processes({"ai_enabled": True, "rollout": 50})
    assert (await verified(lab)).state is RunState.DONE


@pytest.mark.req("R44")
@pytest.mark.defect("D50")
async def test_slow_answers_fail_it(lab: Lab) -> None:
    lab.cluster.behave("1.0", Behaviour(latency_ms=201.0))
    assert "p95 of 20 requests is 201 ms > 200 ms" in await failed_at(lab, "latency")


def probes(*latencies_ms: float) -> list[Probe]:
    return [Probe("service", "/", Outcome.OK, 200, ms) for ms in latencies_ms]


@pytest.mark.req("R44")
def test_p95_is_the_nearest_rank() -> None:
    assert judge_latency(probes(*[1.0] * 19, 999.0), 0.1).ok  # the 19th of 20
    assert not judge_latency(probes(*[1.0] * 18, 999.0, 999.0), 0.1).ok
    assert not judge_latency(probes(*[1.0] * 9, 999.0), 0.1).ok  # of ten the 10th
    assert judge_latency(probes(100.0), 0.1).ok
    assert not judge_latency(probes(100.1), 0.1).ok


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=60), st.floats(0.001, 5))
def test_p95_is_met_by_at_least_95_of_100(latencies: list[float], limit_s: float) -> None:
    within = sum(ms <= limit_s * 1000 for ms in latencies)
    assert judge_latency(probes(*latencies), limit_s).ok == (within * 100 >= 95 * len(latencies))


@pytest.mark.req("R44")
@pytest.mark.defect("D50")
@pytest.mark.parametrize("outcome", [Outcome.BREACH, Outcome.UNKNOWN])
def test_one_failed_request_among_fast_ones_is_no_pass(outcome: Outcome) -> None:
    timed = probes(*[1.0] * 9)
    timed.insert(4, replace(timed[0], outcome=outcome, status=500, detail="status 500"))
    verdict = judge_latency(timed, 1.0)
    assert (verdict.outcome, verdict.why) == (outcome, "service: status 500")


@pytest.mark.req("R46")
async def test_an_error_rate_over_its_limit_fails_it(lab: Lab) -> None:
    lab.prober.bodies["/metrics"] = metrics(lab, failing=0.1)
    assert "of 300 requests failed = 10.0% > 5%" in await failed_at(lab, "error-rate")


@pytest.mark.req("R46")
async def test_the_window_of_the_error_rate_begins_now(lab: Lab) -> None:
    """A million failures before the recovery count for nothing."""
    grown = {"n": 0}

    def body(place: Place) -> bytes:
        grown["n"] += 100
        return (
            f'http_requests_total{{status="200"}} {grown["n"]}\nhttp_requests_total{{status="500"}} 1000000\n'.encode()
        )

    lab.prober.bodies["/metrics"] = body
    assert (await verified(lab)).state is RunState.DONE


@pytest.mark.req("R46")
async def test_too_few_requests_are_no_error_rate(lab: Lab) -> None:
    lab.prober.bodies["/metrics"] = b'http_requests_total{status="200"} 5\n'
    assert "0 requests in the window < 10" in await failed_at(lab, "error-rate")


@pytest.mark.req("R46")
async def test_a_pod_that_was_replaced_begins_a_new_window(lab: Lab) -> None:
    counting = metrics(lab)
    asked = {"n": 0}

    def body(place: Place) -> bytes:
        asked["n"] += 1
        if asked["n"] == 3:  # the end of the first scrape
            lab.cluster.scale(2)
        return counting(place)

    lab.prober.bodies["/metrics"] = body
    run = await verified(lab)
    assert run.state is RunState.DONE
    assert "of 200 requests" in run.step("error-rate").why


@pytest.mark.req("R45")
async def test_memory_over_its_limit_fails_it(lab: Lab) -> None:
    lab.cluster.memory_bytes = 250 * 2**20
    assert "uses 98% of its limit > 90%" in await failed_at(lab, "memory")


async def test_metrics_that_come_late_are_waited_for(lab: Lab) -> None:
    plan = await make_plan("recovery", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r")
    for _ in range(3):
        lab.cluster.fail("usage", Unreachable("metrics-server is away"))
    assert (await lab.execute(run.id)).state is RunState.DONE


def serving(failing: float, *, of: float = 10.0) -> Callable[[str, float], Reading]:
    """Each pod answers ten requests a second, and so many of them with 500."""
    return lambda pod, at_s: Reading(pod, 0.0, requests=of * at_s, errors=of * at_s * failing)


@pytest.mark.req("R46", "R5")
async def test_a_signal_over_the_limit_of_its_trigger_fails_it(lab: Lab) -> None:
    """Every health endpoint is well, and what clients ask for fails."""
    lab.signals.script = serving(0.06)
    assert "R5: 54 of 900 requests failed within 30 s: 6 % > 5 %" in await failed_at(lab, "signals")
    lab.signals.script = serving(0.05)
    run = await verified(lab)
    assert run.state is RunState.DONE, run.why
    assert "R5: 45 of 900 requests failed within 30 s: 5 % ≤ 5 %" in run.step("signals").why


@pytest.mark.req("R46", "B5")
async def test_signals_that_cannot_be_read_verify_nothing_and_a_quiet_night_is_said(lab: Lab) -> None:
    lab.signals.unknown = {"prometheus": "connection refused"}
    assert "prometheus: connection refused" in await failed_at(lab, "signals")
    lab.signals.unknown = {}
    lab.signals.script = serving(1.0, of=0.1)
    run = await verified(lab)
    assert run.state is RunState.DONE
    assert "R5 is unknown: 9 requests within 30 s < 20" in run.step("signals").why


@pytest.mark.req("R46")
async def test_failures_from_before_the_verification_are_waited_out(lab: Lab) -> None:
    def script(pod: str, at_s: float) -> Reading:
        return Reading(pod, 0.0, requests=10 * at_s, errors=10 * min(at_s, 25.0))

    lab.signals.script = script
    assert (await verified(lab)).state is RunState.DONE


@pytest.mark.req("R39", "B5")
async def test_what_cannot_be_asked_is_not_verified(lab: Lab) -> None:
    lab.prober.blind = True
    run = await verified(lab)
    assert run.state is RunState.FAILED
    assert "the network did not carry the request" in run.why


@pytest.mark.req("R39")
async def test_a_pod_that_is_not_ready_fails_it(lab: Lab) -> None:
    lab.cluster.behave("1.0", Behaviour(ready_after_s=None, trouble="CrashLoopBackOff"))
    assert "crash-loops" in await failed_at(lab, "pods")


@pytest.mark.req("R39")
async def test_another_release_that_comes_into_force_meanwhile_is_not_verified(lab: Lab) -> None:
    plan = await make_plan("recovery", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r")
    lab.later(6, lambda: lab.cluster.deploy(memory_template("2.0")))
    run = await lab.execute(run.id)
    assert run.state is RunState.FAILED
    assert run.step("stable").state == "failed"


COUNTED = """\
# HELP http_requests_total requests
# TYPE http_requests_total counter
http_requests_total{method="GET",status="200"} 90
http_requests_total{method="GET",status="404",path="/a b"} 4.0
http_requests_total{method="GET",status="500"} 5 1760000000000
http_requests_total{method="POST",status="503"} 1e0
http_requests_total_created{status="500"} 77
http_requests_total{status="500"} broken
http_requests_total{status="500"}
other_total{status="500"} 9
"""


@pytest.mark.req("R46")
def test_requests_are_counted_by_status() -> None:
    assert count_requests(COUNTED) == (100, 6)
    assert count_requests("") == (0, 0)


VALUES = st.sampled_from(["NaN", "+Inf", "-5", "1e999", "7", "", "x"]) | st.text(max_size=9)


@given(st.lists(st.tuples(st.sampled_from(["200", "500"]), VALUES), max_size=6), st.text(max_size=50))
def test_whatever_a_service_says_is_counted_to_a_number(lines: list[tuple[str, str]], text: str) -> None:
    body = "\n".join([*(f'http_requests_total{{status="{s}"}} {v}' for s, v in lines), text])
    total, failed = count_requests(body)
    assert 0 <= failed <= total < float("inf")


@pytest.mark.req("R46")
async def test_a_counter_that_began_anew_begins_a_new_window(lab: Lab) -> None:
    """Otherwise the failures since would be subtracted from those before the restart, and vanish."""
    answers = iter([(1000, 900)] * 3 + [(100, 90)] * 3 + [(300, 190)] * 3)

    def body(place: Place) -> bytes:
        total, bad = next(answers)
        return (
            f'http_requests_total{{status="200"}} {total - bad}\nhttp_requests_total{{status="500"}} {bad}\n'.encode()
        )

    lab.prober.bodies["/metrics"] = body
    assert "300 of 600 requests failed" in await failed_at(lab, "error-rate")


@pytest.mark.req("B2")
async def test_a_release_becomes_known_good_after_verification_and_soak(lab: Lab) -> None:
    run = await lab.perform("known_good", KnownGoodRequest())
    assert run.state is RunState.DONE, run.why
    mark = lab.cluster.marks[memory_template("1.0").release]
    assert (mark.standing, mark.by, mark.why) == (Standing.KNOWN_GOOD, run.id, "healthy for 60 s of 60 s")
    assert [c.kind for c in lab.cluster.accepted] == ["marks"]
    assert run.started is not None
    assert run.ended is not None
    assert (run.ended - run.started).total_seconds() >= 60


@pytest.mark.req("B2")
@pytest.mark.parametrize("seconds", [5.0, 50.0])
async def test_a_release_that_fails_within_its_soak_is_not_marked(lab: Lab, seconds: float) -> None:
    plan = await make_plan("known_good", KnownGoodRequest(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r")
    lab.later(seconds, lambda: lab.sick("1.0"))
    assert (await lab.execute(run.id)).state is RunState.FAILED
    assert lab.cluster.marks == {}
    assert lab.cluster.accepted == []


@pytest.mark.req("B2", "R5")
async def test_a_release_whose_requests_fail_within_its_soak_is_not_marked(lab: Lab) -> None:
    """Its health path answers all the time."""

    def script(pod: str, at_s: float) -> Reading:
        return Reading(pod, 0.0, requests=10 * at_s, errors=10 * max(0.0, at_s - 60.0))

    lab.signals.script = script
    run = await lab.perform("known_good", KnownGoodRequest())
    assert run.state is RunState.FAILED
    assert run.step("signals").state == "done"
    assert "requests failed within 30 s: 100 % > 5 %" in run.step("stable").why
    assert lab.cluster.marks == {}


@pytest.mark.req("B2", "B5")
async def test_time_in_which_our_own_process_stood_still_is_no_soak(lab: Lab) -> None:
    plan = await make_plan("known_good", KnownGoodRequest(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r")
    lab.later(70.0, lambda: lab.clock.advance(55.0))
    done = await lab.execute(run.id)
    assert done.state is RunState.DONE
    step = done.step("stable")
    assert step.started is not None
    assert step.ended is not None
    assert (step.ended - step.started).total_seconds() >= 55 + 60


@pytest.mark.req("B2")
async def test_a_release_whose_flags_are_not_as_expected_is_not_marked_however_long_it_soaks(lab: Lab) -> None:
    lab.prober.bodies["/processes"] = processes({**GOOD_FLAGS, "ai_enabled": {"value": False}})
    run = await lab.perform("known_good", KnownGoodRequest())
    assert run.state is RunState.FAILED
    assert "ai_enabled is false" in run.why
    assert lab.cluster.marks == {}


@pytest.mark.req("B2")
async def test_the_mark_is_for_the_release_that_was_verified(lab: Lab) -> None:
    plan = await make_plan("known_good", KnownGoodRequest(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r")
    lab.later(30.0, lambda: lab.cluster.deploy(memory_template("2.0")))
    assert (await lab.execute(run.id)).state is RunState.FAILED
    assert lab.cluster.marks == {}
