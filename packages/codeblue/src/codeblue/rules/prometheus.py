"""The triggers as alerting rules of Prometheus (`codeblue export alert-rules`), equal to ours but for what the table of
docs/triggers.md lists.

The expressions were proven with Prometheus 2.42; a test compares.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from codeblue.profile.model import Profile
from codeblue.profile.units import show_duration
from codeblue.rules.latency import QUANTILE
from codeblue.rules.severity import severity_of
from codeblue.rules.words import percent

ALERTS: Final[Mapping[str, str]] = {
    "R4": "CodeBlueHealth",
    "R5": "CodeBlueErrors",
    "R6": "CodeBlueLatency",
    "R7": "CodeBlueMemory",
    "R8": "CodeBlueAi",
}
NEXT: Final = "`codeblue status` says what Code Blue sees and does"


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the series are called, and which of them are the service's.

    Attributes:
        matchers: labels that every series of the service has.
        pod_label: the label that names the pod.
        requests, latency, …: names of metrics; None where the service has none, and then no rule that needs it.
        status_label: of `requests`; 500 and above are errors, unless `errors` is a metric of its own.
        route_label, ignored_routes: routes that are no traffic of clients.
        probe: 1 or 0 for each attempt to reach the health path, as the blackbox exporter has it.
    """

    matchers: tuple[tuple[str, str], ...]
    pod_label: str = "pod"
    requests: str | None = "http_requests_total"
    status_label: str = "status"
    errors: str | None = None
    latency: str | None = "http_request_duration_seconds"
    route_label: str = "route"
    ai_requests: str | None = "ai_requests_total"
    ai_failures: str | None = "ai_failures_total"
    working_set: str | None = "service_memory_working_set_bytes"
    memory_limit: str | None = "service_memory_limit_bytes"
    oom_kills: str | None = "service_oom_kills_total"
    ignored_routes: frozenset[str] = frozenset()
    probe: str = "probe_success"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        trigger: "R4" … "R8".
        hold_s: its `for`.
        pod_label: the label that its expression has, "" for none.
    """

    trigger: str
    expr: str
    hold_s: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    pod_label: str = ""

    @property
    def name(self) -> str:
        return ALERTS[self.trigger]


@dataclass(frozen=True, slots=True)
class AlertRules:
    """All rules of one service.

    Attributes:
        interval_s: how often they are evaluated.
        left_out: triggers without a rule, and why.
    """

    service: str
    interval_s: float
    alerts: tuple[Alert, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The rule file, as `promtool check rules` takes it."""
        lines = [
            f"# The triggers of {self.service}, made by `codeblue export alert-rules` from its profile: change them",
            "# there. What differs from Code Blue's own verdicts, and why: docs/triggers.md",
            *(f"# {trigger} is left out: {why}" for trigger, why in self.left_out.items()),
            "groups:",
            f"  - name: codeblue-{self.service}",
            f"    interval: {promised(self.interval_s)}",
            "    rules:" if self.alerts else "    rules: []",
        ]
        for alert in self.alerts:
            lines += [f"      - alert: {alert.name}", f"        expr: {_quoted(alert.expr)}"]
            lines += [f"        for: {promised(alert.hold_s)}"] if alert.hold_s else []
            lines += ["        labels:", *(f"          {k}: {_quoted(v)}" for k, v in alert.labels.items())]
            lines += ["        annotations:", *(f"          {k}: {_quoted(v)}" for k, v in alert.annotations.items())]
        return "\n".join(lines) + "\n"


def metrics_of(profile: Profile) -> Metrics:
    """What the profile says about names and labels: its sections `signals` and, for routes, `contract`."""
    names, prometheus = profile.signals.names, profile.signals.prometheus
    job = prometheus.job if prometheus is not None and prometheus.job else profile.service
    return Metrics(
        matchers=(("job", job), *(prometheus.match.items() if prometheus is not None else ())),
        pod_label=prometheus.pod_label if prometheus is not None else "pod",
        requests=names.requests,
        status_label=names.status_label,
        errors=names.errors,
        latency=names.latency,
        route_label=names.route_label,
        ai_requests=names.ai_requests,
        ai_failures=names.ai_failures,
        working_set=names.working_set,
        memory_limit=names.memory_limit,
        oom_kills=names.oom_kills,
        ignored_routes=profile.ignored_routes,
    )


def alert_rules(profile: Profile, metrics: Metrics) -> AlertRules:
    """The rules that a profile's triggers mean, each with the severity that the profile's table gives it."""
    maker = _Maker(profile, metrics)
    alerts = (maker.health(), maker.errors(), maker.latency(), maker.memory(), maker.ai())
    every_s = min(profile.health.interval, profile.signals.interval)
    return AlertRules(profile.service, every_s, tuple(a for a in alerts if a is not None), maker.left_out)


def promised(duration_s: float) -> str:
    """Seconds as Prometheus writes durations: one unit, whole numbers, to the millisecond."""
    whole_ms = round(duration_s * 1000)
    for unit, factor in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if whole_ms and whole_ms % factor == 0:
            return f"{whole_ms // factor}{unit}"
    return f"{whole_ms}ms"


class _Maker:
    def __init__(self, profile: Profile, metrics: Metrics) -> None:
        self._service, self._triggers, self._interval_s = profile.service, profile.triggers, profile.health.interval
        self._metrics, self._severity = metrics, profile.severity
        self.left_out: dict[str, str] = {}

    def health(self) -> Alert:
        failures = self._triggers.health.failures
        # by time, because PromQL counts no attempts; two intervals, because scrapes come at no even pace
        expr = f"max(last_over_time({self._series(self._metrics.probe)}[{promised(2 * self._interval_s)}])) == 0"
        return self._alert(
            "R4", expr, failures * self._interval_s, f"more than {failures} health checks in a row failed"
        )

    def errors(self) -> Alert | None:
        t, m = self._triggers.errors, self._metrics
        if m.requests is None:
            self.left_out["R5"] = "the service has no counter of requests"
            return None
        requests = self._clients(m.requests)
        failed = self._clients(m.errors) if m.errors else self._clients(m.requests, f'{m.status_label}=~"[5-9].."')
        what = f"more than {percent(t.threshold)} of the requests fail, for {show_duration(t.lasting)}"
        return self._alert("R5", _rate(failed, requests, t.window, t.threshold, t.minimum), t.lasting - t.window, what)

    def latency(self) -> Alert | None:
        t, m = self._triggers.latency, self._metrics
        if m.latency is None:
            self.left_out["R6"] = "the service has no histogram of response times"
            return None
        window, bucket = promised(t.window), f"{m.latency}_bucket"
        p95 = f"histogram_quantile({_number(QUANTILE)}, sum by (le) (increase({self._clients(bucket)}[{window}])))"
        requests = f"""sum(increase({self._clients(bucket, 'le="+Inf"')}[{window}]))"""
        before = _before(self._clients(bucket, 'le="+Inf"'), t.window)
        expr = f"{p95} > {_number(t.threshold)} and {requests} >= {t.minimum} and {before}"
        what = f"p95 of the response times over {show_duration(t.threshold)}, for {show_duration(t.lasting)}"
        return self._alert("R6", expr, t.lasting - t.window, what)

    def memory(self) -> Alert | None:
        t, m = self._triggers.memory, self._metrics
        pod, window = m.pod_label, promised(t.window)
        ways = []
        if m.working_set is not None and m.memory_limit is not None:
            used = f"sum by ({pod}) (last_over_time({self._series(m.working_set)}[{window}]))"
            limit = f"(sum by ({pod}) (last_over_time({self._series(m.memory_limit)}[{window}])) > 0)"
            ways.append(f"({used} / {limit} > {_number(t.threshold)})")
        if m.oom_kills is not None:
            kills = f"increase({self._series(m.oom_kills)}[{promised(t.after_oom)}])"
            ways.append(f"(sum by ({pod}) ({kills}) > 0)")
        if not ways:
            self.left_out["R7"] = "the service has no gauge of its memory"
            return None
        what = f"over {percent(t.threshold)} of its memory or OOM killed, for {show_duration(t.lasting)}"
        return self._alert("R7", " or ".join(ways), t.lasting, what, pod)

    def ai(self) -> Alert | None:
        t, m = self._triggers.ai, self._metrics
        if m.ai_requests is None or m.ai_failures is None:
            self.left_out["R8"] = "the service does not count calls of the model and their failures"
            return None
        failed, calls = self._series(m.ai_failures), self._series(m.ai_requests)
        what = f"more than {percent(t.threshold)} of the calls of the model fail, for {show_duration(t.lasting)}"
        return self._alert("R8", _rate(failed, calls, t.window, t.threshold, t.minimum), t.lasting - t.window, what)

    def _series(self, name: str, *more: str) -> str:
        return f"{name}{{{', '.join((*(f'{k}={_quoted(v)}' for k, v in self._metrics.matchers), *more))}}}"

    def _clients(self, name: str, *more: str) -> str:
        """Without what asks for health and metrics."""
        ignored = "|".join(re.escape(route) for route in sorted(self._metrics.ignored_routes))
        routes = (f"{self._metrics.route_label}!~{_quoted(ignored)}",) if ignored else ()
        return self._series(name, *more, *routes)

    def _alert(self, trigger: str, expr: str, hold_s: float, what: str, pod_label: str = "") -> Alert:
        severity = severity_of(self._severity, trigger).text
        labels = {"severity": severity, "codeblue_trigger": trigger, "service": self._service}
        of = f"{self._service}, pod {{{{ $labels.{pod_label} }}}}" if pod_label else self._service
        return Alert(trigger, expr, hold_s, labels, {"summary": f"{of}: {what} ({trigger})", "next": NEXT}, pod_label)


def _rate(some: str, all_: str, window_s: float, threshold: float, minimum: int) -> str:
    window = promised(window_s)
    total = f"sum(increase({all_}[{window}]))"
    over = f"sum(increase({some}[{window}])) / {total} > {_number(threshold)}"
    return f"{over} and {total} >= {minimum} and {_before(all_, window_s)}"


def _before(series: str, window_s: float) -> str:
    """True where the service was seen before the window began: else the window is a shorter one."""
    return f"count(last_over_time({series}[{promised(window_s)}] offset {promised(window_s)}))"


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
