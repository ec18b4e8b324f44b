"""Which signals can be had now, and what each missing piece costs: a part of `codeblue check --live` (R1c, D18)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from codeblue.cli.finding import Finding
from codeblue.model.errors import CodeBlueError, ExitCode
from codeblue.model.signal import Reading, Sampling
from codeblue.ports.platform import Place
from codeblue.profile.model import Profile
from codeblue.runbooks.step import World


@dataclass(frozen=True, slots=True)
class Signal:
    """What a trigger lives by.

    Attributes:
        costs: what does not happen where it cannot be had.
        remedy: what would bring it.
        there: whether the newest readings of a pod have it.
    """

    name: str
    costs: str
    remedy: str
    there: Callable[[Reading], bool]


SIGNALS = (
    Signal(
        "errors",
        "a rising error rate is not noticed (R5)",
        "Count requests by status: signals.names.requests and status_label.",
        lambda r: r.requests is not None and r.errors is not None,
    ),
    Signal(
        "latency",
        "slow answers are not noticed (R6)",
        "Offer a histogram of seconds: signals.names.latency.",
        lambda r: bool(r.buckets),
    ),
    Signal(
        "memory",
        "memory that runs out is not noticed before the pod is killed (R7)",
        "Set a memory limit, and have a metrics server or signals.names.working_set and memory_limit.",
        lambda r: r.working_set_bytes is not None and r.memory_limit_bytes is not None,
    ),
    Signal(
        "ai",
        "failing calls of the model are not noticed, nor told from other errors (R8)",
        "Count them: signals.names.ai_requests and ai_failures.",
        lambda r: r.ai_calls is not None and r.ai_failures is not None,
    ),
)


async def look_at_signals(world: World) -> list[Finding]:
    """One look at the signals of each pod. An error of ours becomes a finding."""
    try:
        places = (await world.platform.routing()).pods
    except CodeBlueError as error:
        return [Finding("signals", "unknown", error.message, error.remedy, ExitCode.UNREACHABLE)]
    sampling = await world.signals.sample(places)
    return judge_signals(sampling, places, world.profile)


def judge_signals(sampling: Sampling, places: Sequence[Place], profile: Profile) -> list[Finding]:
    """A finding for what came of each signal, and one for each source that did not answer."""
    findings = [
        Finding(
            f"signals of {source}",
            "unknown",
            why,
            "Without them the triggers are blind; the health check goes on (R4).",
            ExitCode.UNREACHABLE,
        )
        for source, why in sorted(sampling.unknown.items())
    ]
    seen = merged(sampling.readings)
    pods = sorted({place.name.removeprefix("pod/") for place in places} | set(seen))
    findings += [_one(signal, seen, pods, profile.signal_source) for signal in SIGNALS]
    limit_s = profile.triggers.latency.threshold
    low = {pod: top for pod, reading in seen.items() if (top := _highest(reading)) is not None and top <= limit_s}
    if low:
        findings.append(
            Finding(
                "latency histogram",
                "no",
                f"a p95 above {limit_s:g} s cannot be seen: {_ends(max(low.values()))} (R6)",
                f"Add buckets to {profile.signals.names.latency}, for example {1.5 * limit_s:g} and {2 * limit_s:g}.",
                ExitCode.REFUSED,
                tuple(f"{pod}: {_ends(top)}" for pod, top in sorted(low.items())),
            )
        )
    return findings


def merged(readings: Sequence[Reading]) -> dict[str, Reading]:
    """What is known of each pod, the newest of each value."""
    seen: dict[str, Reading] = {}
    for reading in readings:
        before = seen.get(reading.pod, reading)
        values = {
            name: new if (new := getattr(reading, name)) not in (None, ()) else getattr(before, name)
            for name in Reading.__dataclass_fields__
        }
        seen[reading.pod] = Reading(**values)
    return seen


def _one(signal: Signal, seen: Mapping[str, Reading], pods: Sequence[str], source: str) -> Finding:
    what = f"signal {signal.name}"
    without = [pod for pod in pods if pod not in seen or not signal.there(seen[pod])]
    had = len(pods) - len(without)
    if pods and not without:
        return Finding(what, "ok", f"of {had} of {len(pods)} pods")
    if source == "none" and not had:
        remedy = f"Name the metrics' path (contract.metrics) or a Prometheus (signals). {signal.remedy}"
    else:
        remedy = signal.remedy
    lines = tuple(f"not of {pod}" for pod in without) if had else ()
    return Finding(what, "skipped", f"of {had} of {len(pods)} pods: {signal.costs}", remedy, lines=lines)


def _highest(reading: Reading) -> float | None:
    """The highest finite bound of its histogram; None without a histogram."""
    if not reading.buckets:
        return None
    return max((bound for bound, _ in reading.buckets if math.isfinite(bound)), default=-math.inf)


def _ends(top: float) -> str:
    return f"the highest bucket ends at {top:g} s" if math.isfinite(top) else "no finite bucket"
