"""GET /metrics: Code Blue's own numbers, in a registry of their own.

What the record knows is counted from the record, so that every process tells the same and a restart forgets nothing:
take the maximum over processes, not the sum. What only this process knows (its loop, its answers) is its own.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from codeblue import __version__
from codeblue.model.pulse import Pulse
from codeblue.ports.pulse import LoopPulse
from codeblue.ports.record import RecordStore
from codeblue.record.runs import RunState
from codeblue.record.tally import Tally

#: Events that are read from the record at once.
BATCH: Final = 1000


class Numbers(Collector):
    """Collects them at every scrape; reads of the record only what was appended since the last one."""

    def __init__(self, record: RecordStore, loop: LoopPulse) -> None:
        self._record, self._loop, self._lock = record, loop, threading.Lock()
        self._tally = Tally()
        self.registry = CollectorRegistry(auto_describe=False)
        self.answers = Counter(
            "codeblue_http_answers",
            "Answers over HTTP by this process.",
            ("endpoint", "method", "status"),
            registry=self.registry,
        )
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All of them. Raises as `RecordStore.read`."""
        build = GaugeMetricFamily("codeblue_build_info", "Version of Code Blue.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build
        yield from _of_loop(self._loop.pulse())
        with self._lock:
            self._catch_up()
            yield from _of_record(self._tally)

    def _catch_up(self) -> None:
        while events := self._record.read(after=self._tally.length, limit=BATCH):
            for event in events:
                self._tally.add(event)


def _of_loop(pulse: Pulse) -> Iterator[Metric]:
    yield GaugeMetricFamily("codeblue_lease_held", "1 while this process acts, 0 while it stands by.", pulse.acting)
    yield CounterMetricFamily("codeblue_cycles", "Cycles of the loop of this process.", pulse.cycles)
    yield GaugeMetricFamily("codeblue_last_cycle_age_seconds", "Since the last cycle ended.", pulse.age_s)
    durations = HistogramMetricFamily("codeblue_cycle_duration_seconds", "How long a cycle took.")
    durations.add_metric([], [(_bound(b), n) for b, n in pulse.buckets], pulse.seconds)
    yield durations
    verdicts = CounterMetricFamily("codeblue_verdicts", "What the rules came to.", labels=("rule", "outcome"))
    for labels, count in sorted(pulse.verdicts.items()):
        verdicts.add_metric(labels, count)
    yield verdicts


def _of_record(tally: Tally) -> Iterator[Metric]:
    yield GaugeMetricFamily("codeblue_record_length", "Events in the record.", tally.length)
    counted = (
        ("codeblue_incidents", "Incidents that were opened.", ("severity", "trigger"), tally.incidents),
        ("codeblue_runs", "Runs that ended.", ("runbook", "state"), tally.runs),
        ("codeblue_steps", "Steps that ended.", ("runbook", "state"), tally.steps),
        ("codeblue_pages", "Attempts to reach somebody.", ("channel", "fate"), tally.attempts),
    )
    for name, what, labels, counts in counted:
        family = CounterMetricFamily(name, what, labels=labels)
        for values, count in sorted(counts.items()):
            family.add_metric(values, count)
        yield family
    alerts = CounterMetricFamily("codeblue_alerts", "Alerts that were sent to us.", labels=("what",))
    for what in ("received", "resolved", "truncated"):
        alerts.add_metric((what,), tally.alerts[what])
    yield alerts
    yield GaugeMetricFamily("codeblue_alerts_open", "Alerts that were not resolved yet.", len(tally.alerts_open))
    severities = list(tally.incidents_open.values())
    incidents = GaugeMetricFamily("codeblue_incidents_open", "Incidents that are open.", labels=("severity",))
    for severity in ("SEV1", "SEV2", "SEV3", "SEV4"):
        incidents.add_metric((severity,), severities.count(severity))
    yield incidents
    states = [state for _, state in tally.runs_open.values()]
    runs = GaugeMetricFamily("codeblue_runs_unfinished", "Runs that have not ended.", labels=("state",))
    for state in RunState:
        if not state.ended:
            runs.add_metric((state.value,), states.count(state.value))
    yield runs


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else f"{seconds:g}"
