"""Prometheus metrics of all worker processes of a pod, whichever of them is scraped (R62).

`PROMETHEUS_MULTIPROC_DIR` must be set before the metrics are made, which is at this module's import: `serve` does both
in order. The operator commands import the module without it and count into nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Buckets above 30 s, because the trigger is p95 > 30 s: with the usual last bucket of 10 s a quantile never says
# more than 10 (R6, D18).
BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0)

REQUESTS = Counter("http_requests_total", "Answered HTTP requests", ["method", "route", "status"])
DURATION = Histogram(
    "http_request_duration_seconds", "Time to answer an HTTP request", ["method", "route"], buckets=BUCKETS_S
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered", multiprocess_mode="livesum")
REFUSED = Counter("requests_refused_total", "Requests that a mode refused", ["mode"])
AI_REQUESTS = Counter("ai_requests_total", "Calls of the model, those that the breaker refused included", ["model"])
AI_FAILURES = Counter("ai_failures_total", "Calls of the model that failed or were refused by the breaker", ["reason"])
GUARDED = Counter("guarded_calls_total", "Runs of code behind a feature flag", ["flag"])
BREAKER = Gauge("ai_breaker_open", "1 while the circuit breaker lets nothing through", multiprocess_mode="liveall")
MEMORY = Gauge("process_working_set_bytes", "Proportional resident memory of a worker", multiprocess_mode="liveall")
MEMORY_SUM = Gauge(
    "service_memory_working_set_bytes", "Working set of all workers of this pod", multiprocess_mode="livesum"
)
MEMORY_LIMIT = Gauge(
    "service_memory_limit_bytes",
    "Memory limit of this pod; absent without one",
    ["source"],
    multiprocess_mode="livemax",
)
OOM_KILLS = Gauge(
    "service_oom_kills_total",
    "Processes of this pod that the kernel killed for memory; absent without a limit of the kernel's",
    multiprocess_mode="livemax",
)
BUILD = Gauge(
    "service_build_info", "1, labelled with the release", ["version", "code_version"], multiprocess_mode="livemax"
)


#: Why a call of the model can fail (`clients.Kind`, the guardrails, the breaker).
AI_REASONS = (
    *("unreachable", "status", "invalid"),
    *("guardrail_schema", "guardrail_probability", "guardrail_drug"),
    "breaker_open",
)

_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def announce(model: str) -> None:
    """Say of this worker's counters that they are 0.

    One that is absent until its first failure cannot be told from one that the service does not have.
    """
    AI_REQUESTS.labels(model)
    for reason in AI_REASONS:
        AI_FAILURES.labels(reason)


def oom_kills() -> int | None:
    """Processes of this control group that were killed for memory; None where the kernel does not say."""
    for path in _EVENTS:
        try:
            lines = Path(path).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdecimal():
                return int(count)
    return None


def exposition() -> bytes:
    """The metrics of all processes in the text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def buried(pid: int) -> None:
    """Forget the gauges of a worker that has ended; its counters stay, because they happened."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def working_set_bytes() -> int:
    """Memory of this process, with pages shared among n workers counted to 1/n (PSS), so that a sum is true.

    A kernel that does not tell gives the resident set, in which shared pages are counted in full.
    """
    try:
        for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # answered below from what every kernel has
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_limit_bytes(configured: int | None) -> tuple[str, int] | None:
    """Where the limit comes from (`configured`, `cgroup`) and what it is; None where there is none."""
    if configured is not None:
        return "configured", configured
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < machine:
            return "cgroup", int(text)
    return None
