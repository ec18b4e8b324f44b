"""Which signals can be had, by pod, and what the missing ones cost."""

import math
from dataclasses import replace

import pytest
from tests.unit.world import Lab

from codeblue.cli.finding import Finding
from codeblue.cli.readiness import look, worst
from codeblue.cli.signals import SIGNALS, look_at_signals
from codeblue.model.errors import ExitCode, Unreachable
from codeblue.model.signal import Reading

BUCKETS = ((0.5, 1.0), (30.0, 2.0), (45.0, 3.0), (math.inf, 3.0))
FULL = Reading("", 0.0, 3.0, 0.0, BUCKETS, 1.0, 0.0, 50.0, 100.0, 0)


async def checked(lab: Lab) -> tuple[dict[str, Finding], ExitCode]:
    found = [f for f in await look(lab.world, lab.lease) if f.what.startswith(("signal", "latency"))]
    assert len({f.what for f in found}) == len(found)
    return {f.what: f for f in found}, worst(found)


def lab(reading: Reading | None = FULL, profile: str = "contract: {metrics: /metrics}\n") -> Lab:
    made = Lab(profile)
    made.signals.script = lambda pod, at_s: reading
    return made


@pytest.mark.req("R1c")
async def test_everything_can_be_had() -> None:
    found, code = await checked(lab())
    assert code is ExitCode.DONE
    assert {what: f.outcome for what, f in found.items()} == {f"signal {s.name}": "ok" for s in SIGNALS}
    assert found["signal errors"].why == "of 3 of 3 pods"


@pytest.mark.req("R1c")
@pytest.mark.parametrize(
    ("gone", "signal", "costs"),
    [
        ({"requests": None}, "errors", "R5"),
        ({"errors": None}, "errors", "R5"),
        ({"buckets": ()}, "latency", "R6"),
        ({"working_set_bytes": None}, "memory", "R7"),
        ({"memory_limit_bytes": None}, "memory", "R7"),
        ({"ai_calls": None}, "ai", "R8"),
        ({"ai_failures": None}, "ai", "R8"),
    ],
)
async def test_what_is_missing_is_said_with_what_it_costs(gone: dict[str, None], signal: str, costs: str) -> None:
    found, code = await checked(lab(replace(FULL, **gone)))  # type: ignore[arg-type]
    assert code is ExitCode.DONE, "a service that offers less is no fault"
    assert {what for what, f in found.items() if f.outcome == "skipped"} == {f"signal {signal}"}
    missing = found[f"signal {signal}"]
    assert missing.why.startswith("of 0 of 3 pods: ") and costs in missing.why and missing.remedy


async def test_of_a_pod_that_lacks_something_the_name_is_told() -> None:
    made = lab()
    first = min(p.name for p in made.cluster.pods())
    made.signals.script = lambda pod, at_s: replace(FULL, ai_calls=None) if pod == first else FULL
    found, _ = await checked(made)
    assert found["signal ai"].why.startswith("of 2 of 3 pods")
    assert found["signal ai"].lines == (f"not of {first}",)


@pytest.mark.req("R6")
@pytest.mark.defect("D18")
@pytest.mark.parametrize(("top", "refused"), [(10.0, True), (30.0, True), (30.1, False)])
async def test_a_histogram_that_cannot_exceed_the_threshold_is_refused(top: float, refused: bool) -> None:
    found, code = await checked(lab(replace(FULL, buckets=((1.0, 1.0), (top, 2.0), (math.inf, 9.0)))))
    assert ("latency histogram" in found) is refused
    assert code is (ExitCode.REFUSED if refused else ExitCode.DONE)
    if refused:
        finding = found["latency histogram"]
        assert (finding.outcome, len(finding.lines)) == ("no", 3)
        assert f"ends at {top:g} s" in finding.why
        assert "http_request_duration_seconds" in finding.remedy


@pytest.mark.defect("D18")
async def test_one_pod_with_such_a_histogram_is_enough() -> None:
    made = lab()
    first = min(p.name for p in made.cluster.pods())
    low = replace(FULL, buckets=((math.inf, 9.0),))
    made.signals.script = lambda pod, at_s: low if pod == first else FULL
    found, code = await checked(made)
    assert code is ExitCode.REFUSED
    assert found["latency histogram"].lines == (f"{first}: no finite bucket",)


@pytest.mark.req("B5")
async def test_a_source_that_does_not_answer_is_unknown() -> None:
    made = lab()
    made.signals.blind = True
    made.signals.unknown = {"prometheus": "no complete answer within 5 s"}
    found, code = await checked(made)
    assert code is ExitCode.UNREACHABLE
    assert found["signals of prometheus"].why == "no complete answer within 5 s"
    made.cluster.fail("routing", Unreachable("the API server is away"))
    [finding] = await look_at_signals(made.world)
    assert (finding.outcome, finding.why, finding.exit_code) == (
        "unknown",
        "the API server is away",
        ExitCode.UNREACHABLE,
    )


@pytest.mark.req("R1c")
async def test_a_profile_without_metrics_is_told_what_they_would_bring() -> None:
    found, code = await checked(lab(None, profile=""))
    assert code is ExitCode.DONE
    assert {f.outcome for f in found.values()} == {"skipped"}
    assert "contract.metrics" in found["signal errors"].remedy


@pytest.mark.defect("D18")
async def test_the_threshold_is_the_profiles() -> None:
    profile = "contract: {metrics: /metrics}\ntriggers: {latency: {threshold: 45s}}\n"
    found, code = await checked(lab(profile=profile))
    assert code is ExitCode.REFUSED
    assert "above 45 s" in found["latency histogram"].why
