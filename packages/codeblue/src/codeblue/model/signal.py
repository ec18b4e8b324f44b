"""What the metrics of the service say: counters and gauges of one process or pod at one moment, before any rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at one pod's metrics. A value that the pod does not offer is None: never 0.

    Attributes:
        pod: its name; what is known only of the whole service has "".
        at_s: when it was measured, seconds since the epoch, by the clock of whoever measured (Prometheus or we).
        requests, errors: answered requests, and those of them with a status of 500 or above: counters since the
            process began, so that a smaller value than before is a restart.
        buckets: cumulative counts of the latency histogram by upper bound in seconds, `inf` included; ascending.
        ai_calls, ai_failures: calls of the model, and those of them that failed: counters.
        working_set_bytes, memory_limit_bytes: a pod without a limit has None.
        oom_kills: how often a container of the pod was killed for memory, a counter.
    """

    pod: str
    at_s: float
    requests: float | None = None
    errors: float | None = None
    buckets: tuple[tuple[float, float], ...] = ()
    ai_calls: float | None = None
    ai_failures: float | None = None
    working_set_bytes: float | None = None
    memory_limit_bytes: float | None = None
    oom_kills: int | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """One round of reading the signals.

    Attributes:
        at_s: when it was asked for, seconds since the epoch.
        readings: those that could be had; of one pod at most one for each moment, oldest first.
        unknown: why something could not be had, in one line each, by source ("pod/api-1", "prometheus"). No reading
            and no entry here means that the service has no pods.
    """

    at_s: float
    readings: tuple[Reading, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
