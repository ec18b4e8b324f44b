"""Series of services that fail in many ways, by a seed: gaps, restarts, wraps, pods that come and go, late series."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from codeblue.rules.notation import Series

BOUNDS = ("0.1", "1", "10", "30", "45", "60", "+Inf")
#: The usual buckets of client libraries: they end at 10 s (D18).
LOW_BOUNDS = ("0.1", "1", "10", "+Inf")
LIMIT = 1_000_000_000.0


@dataclass
class Phase:
    """What goes on for a while, from interval `first` on."""

    first: int
    errors: float = 0.0
    slow: float = 0.0
    ai_failures: float = 0.0
    memory: float = 0.4
    health: bool = True


@dataclass
class Pod:
    name: str
    first: int
    last: int
    counters: dict[tuple[str, str], float] = field(default_factory=dict)
    values: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    hot_from: int = 0


def phases(random: Random, length: int, per_second: float) -> list[Phase]:
    """Quiet, then bad for about as long as the triggers want, or a little less, and quiet again."""
    found, at = [Phase(0)], random.randint(10, 20)
    while at < length:
        bad = Phase(at)
        for name in random.sample(["errors", "slow", "ai_failures", "memory", "health"], random.randint(1, 4)):
            match name:
                case "errors":
                    bad.errors = random.choice([0.0499, 0.05, 0.0501, 0.06, 0.5, 1.0])
                case "slow":
                    bad.slow = random.choice([0.04, 0.05, 0.06, 0.5])
                case "ai_failures":
                    bad.ai_failures = random.choice([0.0999, 0.1, 0.101, 0.5, 1.0])
                case "memory":
                    bad.memory = random.choice([0.9499, 0.95, 0.9501, 0.99])
                case _:
                    bad.health = False
        lasts = round(random.choice([20, 40, 100, 110, 120, 130, 160, 310, 400]) * per_second)
        found += [bad, Phase(at + max(lasts, 1))]
        at += lasts + random.randint(5, 25)
    return found


def generate(seed: int, *, interval_s: int, length: int) -> list[Series]:
    """The series of one service."""
    random = Random(seed)  # noqa: S311
    even = random.random() < 0.4  # nothing but what the service does: no gaps, no restarts
    plan = phases(random, length, 1 / interval_s)
    requests, calls = random.choice([1, 3, 40, 1000, 10_000]), random.choice([0, 1, 5, 30, 1000])
    bounds = LOW_BOUNDS if random.random() < 0.15 else BOUNDS
    born_late, oom, probe_gaps = random.random() < 0.3, random.random() < 0.6, not even and random.random() < 0.5
    outages = set() if even else set(_outages(random, length))
    pods = list(_pods(random, length, even=even))
    for pod in pods:
        for status in ("200", "500"):
            if status == "200" or not born_late:
                pod.counters["http_requests_total", status] = random.choice([0.0, 0.0, 57.0, 2.0**32 - 5000])
        for bound in bounds:
            pod.counters["http_request_duration_seconds_bucket", bound] = 0.0
        if calls:
            pod.counters["ai_requests_total", ""] = pod.counters["ai_failures_total", ""] = 0.0
        if oom:
            pod.counters["service_oom_kills_total", ""] = 0.0
        for place in range(pod.first, pod.last):
            phase = [p for p in plan if p.first <= place][-1]
            _serve(random, pod, phase, requests, calls, bounds)
            memory = phase.memory
            if not even and random.random() < 0.02:
                _restart(pod, random, killed=oom and random.random() < 0.7)
                pod.hot_from = place + random.randint(1, 8)
            if place < pod.hot_from:
                memory = 0.3
            if place in outages or (not even and random.random() < 0.04):
                continue
            gauges = {
                ("service_memory_working_set_bytes", ""): LIMIT * memory,
                ("service_memory_limit_bytes", ""): LIMIT,
            }
            for key, value in (pod.counters | gauges).items():
                pod.values.setdefault(key, {})[place] = value
    series = [one for pod in pods for one in _written(pod, length)]
    probes = [
        None if probe_gaps and random.random() < 0.15 else float([p for p in plan if p.first <= n][-1].health)
        for n in range(length)
    ]
    return [*series, Series("probe_success", {"job": "api"}, tuple(probes))]


def _outages(random: Random, length: int) -> Iterator[int]:
    for _ in range(random.randint(0, 2)):
        first = random.randint(0, length)
        yield from range(first, first + random.randint(1, 8))


def _pods(random: Random, length: int, *, even: bool) -> Iterator[Pod]:
    for number in range(random.randint(1, 4)):
        first, last = 0, length
        if not even and random.random() < 0.3:
            first = random.randint(0, length // 2)
        if not even and random.random() < 0.3:
            last = random.randint(first + 1, length)
        yield Pod(f"api-{number}", first, last)


def _serve(random: Random, pod: Pod, phase: Phase, requests: int, calls: int, bounds: tuple[str, ...]) -> None:
    counters = pod.counters

    def count(name: str, label: str, by: float) -> None:
        if by or (name, label) in counters:
            counters[name, label] = counters.get((name, label), 0.0) + by
            if counters[name, label] >= 2.0**32:  # an old counter of 32 bits wraps
                counters[name, label] -= 2.0**32

    def share(of: int, part: float) -> int:
        exact = of * part
        return int(exact) + (random.random() < exact - int(exact))

    failed, slow, lost = share(requests, phase.errors), share(requests, phase.slow), share(calls, phase.ai_failures)
    count("http_requests_total", "200", requests - failed)
    count("http_requests_total", "500", failed)
    for bound in bounds:
        took = requests if float(bound) >= 45 else requests - slow
        count("http_request_duration_seconds_bucket", bound, took)
    if calls:
        count("ai_requests_total", "", calls)
        count("ai_failures_total", "", lost)


def _restart(pod: Pod, random: Random, *, killed: bool) -> None:
    for name, label in pod.counters:
        if name != "service_oom_kills_total":
            pod.counters[name, label] = 0.0
    if killed:
        pod.counters["service_oom_kills_total", ""] += 1


def _written(pod: Pod, length: int) -> Iterator[Series]:
    labels = {"http_requests_total": "status", "http_request_duration_seconds_bucket": "le"}
    for (name, label), values in pod.values.items():
        more = {labels[name]: label} if name in labels else {}
        yield Series(name, {"job": "api", "pod": pod.name} | more, tuple(values.get(n) for n in range(length)))
