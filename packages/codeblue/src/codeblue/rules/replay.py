"""Recorded series through the profile's triggers: what would have fired, and when (`codeblue rules test`).

The series become the readings that an adapter would have made of them, pod by pod and moment by moment, and those go
the way of every reading. No server, no clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

from codeblue.model.health import Outcome, Probe, Round
from codeblue.model.signal import Reading, Sampling
from codeblue.model.verdict import Verdict
from codeblue.profile.acting import Triggers
from codeblue.rules.notation import Series
from codeblue.rules.prometheus import Alert, AlertRules, Metrics
from codeblue.rules.rule_tests import AlertTest, Expected, Group, RuleTests
from codeblue.rules.service import ServiceTriggers

_ERRORS = frozenset("56789")


@dataclass(frozen=True, slots=True)
class Look:
    """The verdicts at one time, milliseconds from the start."""

    at_ms: int
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that did not come out as expected.

    Attributes:
        why: the arithmetic of the verdict at that time.
    """

    group: str
    test: AlertTest
    got: tuple[Expected, ...]
    why: str


def run_tests(tests: RuleTests, rules: AlertRules, triggers: Triggers, metrics: Metrics) -> Iterator[Difference]:
    """Every test that comes out otherwise than it expects."""
    alerts = {alert.name: alert for alert in rules.alerts}
    for group in tests.groups:
        due = sorted(group.tests, key=lambda test: test.at_ms)
        for look, until_ms in _until_next(replay(group, triggers, metrics, every_ms=tests.every_ms), tests.every_ms):
            while due and due[0].at_ms < until_ms:  # as promtool: by the last look at or before that time
                test = due.pop(0)
                got = firing(alerts[test.alert], look)
                if _sorted(got) != _sorted(test.expected):
                    verdict = look.verdicts.get(alerts[test.alert].trigger)
                    yield Difference(group.name, test, got, verdict.why if verdict else "no attempt was made")


def _until_next(looks: Iterator[Look], every_ms: int) -> Iterator[tuple[Look, int]]:
    for look in looks:
        yield look, look.at_ms + every_ms


def replay(group: Group, triggers: Triggers, metrics: Metrics, *, every_ms: int) -> Iterator[Look]:
    """Look at the series every so often, from 0 until the last test."""
    service = ServiceTriggers(triggers)
    readings, rounds = recorded(group.series, metrics, group.interval_ms)
    taken = tried = 0
    for at_ms in range(0, group.end_ms + 1, every_ms):
        first = taken
        while taken < len(readings) and readings[taken].at_s * 1000 <= at_ms + 0.5:
            taken += 1
        while tried < len(rounds) and rounds[tried].at.timestamp() * 1000 <= at_ms + 0.5:
            service.observe(rounds[tried], None)
            tried += 1
        verdicts = service.observe(None, Sampling(at_ms / 1000, tuple(readings[first:taken])))
        yield Look(at_ms, {verdict.rule: verdict for verdict in verdicts})


def firing(alert: Alert, look: Look) -> tuple[Expected, ...]:
    """The alerts of a rule that fire at that look; those of R7 for each pod."""
    verdict = look.verdicts.get(alert.trigger)
    if verdict is None or verdict.outcome is not Outcome.BREACH:
        return ()
    if not alert.pod_label:
        return (Expected(alert.labels, alert.annotations),)
    return tuple(_of_pod(alert, pod) for pod in verdict.pods)


def _of_pod(alert: Alert, pod: str) -> Expected:
    mark = f"{{{{ $labels.{alert.pod_label} }}}}"
    labels = {**alert.labels, alert.pod_label: pod} if pod else dict(alert.labels)
    return Expected(labels, {name: text.replace(mark, pod) for name, text in alert.annotations.items()})


def _sorted(alerts: Sequence[Expected]) -> list[tuple[list[tuple[str, str]], list[tuple[str, str]]]]:
    return sorted((sorted(a.labels.items()), sorted(a.annotations.items())) for a in alerts)


@dataclass(slots=True)
class _Counter:
    """Series that add up to one counter of one pod.

    One that is missing where others are there keeps its last value, or was not born yet; where none is there, the pod
    was not read.
    """

    parts: list[Sequence[float | None]] = field(default_factory=list)
    kept: float = 0.0
    _last: list[float] = field(default_factory=list)

    def at(self, place: int) -> float | None:
        """The sum at a place; to be asked in order."""
        self._last = self._last or [0.0] * len(self.parts)
        now = [part[place] if place < len(part) else None for part in self.parts]
        if all(value is None for value in now):
            return None
        self._last = [last if value is None else value for value, last in zip(now, self._last, strict=True)]
        self.kept = sum(self._last)
        return self.kept


@dataclass(slots=True)
class _Pod:
    requests: _Counter = field(default_factory=_Counter)
    errors: _Counter = field(default_factory=_Counter)
    ai_calls: _Counter = field(default_factory=_Counter)
    ai_failures: _Counter = field(default_factory=_Counter)
    working_set: _Counter = field(default_factory=_Counter)
    memory_limit: _Counter = field(default_factory=_Counter)
    oom_kills: _Counter = field(default_factory=_Counter)
    buckets: dict[float, _Counter] = field(default_factory=dict)

    def reading(self, name: str, place: int, at_s: float) -> Reading:
        requests, errors, kills = self.requests.at(place), self.errors.at(place), self.oom_kills.at(place)
        calls, failures = self.ai_calls.at(place), self.ai_failures.at(place)
        counts = [(bound, counter.at(place), counter) for bound, counter in sorted(self.buckets.items())]
        there = inf in self.buckets and any(count is not None for _, count, _ in counts)
        return Reading(
            pod=name,
            at_s=at_s,
            requests=requests,
            errors=self.errors.kept if errors is None and requests is not None else errors,
            buckets=tuple((bound, counter.kept) for bound, _, counter in counts) if there else (),
            ai_calls=calls,
            ai_failures=self.ai_failures.kept if failures is None and calls is not None else failures,
            working_set_bytes=self.working_set.at(place),
            memory_limit_bytes=self.memory_limit.at(place) or None,
            oom_kills=None if kills is None else int(kills),
        )


def recorded(
    series: Sequence[Series], metrics: Metrics, interval_ms: int
) -> tuple[tuple[Reading, ...], tuple[Round, ...]]:
    """The readings and the attempts that recorded series stand for, each in order of time."""
    pods: dict[str, _Pod] = {}
    probes = _Counter()
    for one in series:
        if any(one.labels.get(name, "") != value for name, value in metrics.matchers):
            continue
        if one.name == metrics.probe:
            probes.parts.append(one.values)
            continue
        pod = pods.setdefault(one.labels.get(metrics.pod_label, ""), _Pod())
        for counter in _belongs(one, pod, metrics):
            counter.parts.append(one.values)
    length = max((len(one.values) for one in series), default=0)
    readings: list[Reading] = []
    rounds: list[Round] = []
    for place in range(length):
        at_s = place * interval_ms / 1000
        for name in sorted(pods):
            reading = pods[name].reading(name, place, at_s)
            if reading != Reading(name, at_s):
                readings.append(reading)
        success = probes.at(place)
        if success is not None:
            outcome = Outcome.OK if success > 0 else Outcome.BREACH
            at = datetime.fromtimestamp(at_s, UTC)
            rounds.append(Round(at, Probe("service", "", outcome, None, 0.0, detail=f"{metrics.probe} {success:g}")))
    return tuple(readings), tuple(rounds)


def _belongs(one: Series, pod: _Pod, metrics: Metrics) -> Iterator[_Counter]:
    ignored = one.labels.get(metrics.route_label, "") in metrics.ignored_routes
    if one.name == metrics.requests and not ignored:
        yield pod.requests
        if metrics.errors is None and one.labels.get(metrics.status_label, "")[:1] in _ERRORS:
            yield pod.errors
    if one.name == metrics.errors and not ignored:
        yield pod.errors
    if one.name == f"{metrics.latency}_bucket" and not ignored and "le" in one.labels:
        yield pod.buckets.setdefault(float(one.labels["le"]), _Counter())
    named = {
        metrics.ai_requests: pod.ai_calls,
        metrics.ai_failures: pod.ai_failures,
        metrics.working_set: pod.working_set,
        metrics.memory_limit: pod.memory_limit,
        metrics.oom_kills: pod.oom_kills,
    }
    if one.name in named:
        yield named[one.name]
