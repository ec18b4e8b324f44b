"""Prometheus' arithmetic of the exported rules once more, slow and plain, with each listed difference as a switch.

With all switches off it must say what Prometheus says, with all on what Code Blue says: so that where the two differ,
the switches that make the difference are its reason (docs/triggers.md, "Where Prometheus says something else").

Sources: promql/functions.go (`extrapolatedRate`), promql/quantile.go and rules/alerting.go of Prometheus 2.42.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

from codeblue.profile.acting import Triggers
from codeblue.rules.notation import Series
from codeblue.rules.prometheus import AlertRules, Metrics
from codeblue.rules.replay import recorded

#: (milliseconds, value), ascending.
Points = Sequence[tuple[int, float]]

#: The reasons, by their names in docs/triggers.md.
EXTRAPOLATION: Final = "extrapolation"
PER_POD: Final = "sums per pod"
UNSEEN: Final = "looks too far apart"
ATTEMPTS: Final = "attempts"
SWITCHES: Final = (EXTRAPOLATION, PER_POD, UNSEEN, ATTEMPTS)
#: No switch: what Prometheus extrapolates is rounded, and added up in an order that changes from run to run.
ROUNDING: Final = "rounding"
REASONS: Final = (*SWITCHES, ROUNDING)


@dataclass(frozen=True)
class Reference:
    """The rules, evaluated over recorded series.

    Args:
        attempt_s: between two attempts of R4.
        ours: the differences that are switched to Code Blue's way.
        strictness: by how much more than its limit a value must be, relative to it.
    """

    rules: AlertRules
    triggers: Triggers
    metrics: Metrics
    attempt_s: float
    ours: frozenset[str]
    strictness: float = 0.0

    def firing(self, series: Sequence[Series], *, interval_ms: int, every_ms: int, end_ms: int) -> dict[int, set[str]]:
        """Which alerts fire at each look: "R5", "R7/POD"."""
        looks = range(0, end_ms + 1, every_ms)
        kept: dict[int, set[str]] = {at: set() for at in looks}
        parts = self._parts(series, interval_ms)
        for alert in self.rules.alerts:
            over = self._over(alert.trigger, parts, series, interval_ms)
            window_s = {"R5": self.triggers.errors, "R6": self.triggers.latency, "R8": self.triggers.ai}
            width = window_s.get(alert.trigger, self.triggers.memory).window * 1000
            if alert.trigger == "R4" and ATTEMPTS in self.ours:
                for at in looks:
                    kept[at] |= over(at)
                continue
            since: dict[str, int] = {}
            before = None
            for at in looks:
                apart = UNSEEN in self.ours and alert.trigger != "R4" and before is not None and at - before > width
                now = over(at)
                since = {} if apart else {key: begun for key, begun in since.items() if key in now}
                for key in now:
                    since.setdefault(key, at)
                    if at - since[key] >= alert.hold_s * 1000:
                        kept[at].add(key)
                before = at
        return kept

    def _parts(self, series: Sequence[Series], interval_ms: int) -> Mapping[str, list[tuple[str, float, Points]]]:
        """By quantity: pod, bound of the bucket, points; one for each series, or for each pod."""
        parts: dict[str, list[tuple[str, float, Points]]] = {}

        def put(quantity: str, pod: str, points: Points, bound: float = 0.0) -> None:
            parts.setdefault(quantity, []).append((pod, bound, points))

        if PER_POD in self.ours:
            found: dict[tuple[str, str, float], list[tuple[int, float]]] = {}
            for r in recorded(series, self.metrics, interval_ms)[0]:
                at = round(r.at_s * 1000)
                one = {"requests": r.requests, "errors": r.errors, "calls": r.ai_calls, "failures": r.ai_failures}
                for quantity, value in (one | {"kills": r.oom_kills}).items():
                    if value is not None:
                        found.setdefault((quantity, r.pod, 0.0), []).append((at, value))
                for bound, value in r.buckets:
                    found.setdefault(("buckets", r.pod, bound), []).append((at, value))
            for (quantity, pod, bound), listed in found.items():
                put(quantity, pod, listed, bound)
        m = self.metrics
        names = {m.ai_requests: "calls", m.ai_failures: "failures", m.oom_kills: "kills"}
        for one in series:
            points = [(n * interval_ms, v) for n, v in enumerate(one.values) if v is not None]
            pod = one.labels.get("pod", "")
            if one.name in (m.working_set, m.memory_limit):
                put("used" if one.name == m.working_set else "limit", pod, points)
            elif one.name == m.probe:
                put("probe", "", points)
            elif PER_POD not in self.ours:
                if one.name == m.requests:
                    put("requests", pod, points)
                    if one.labels["status"] >= "500":
                        put("errors", pod, points)
                elif one.name == f"{m.latency}_bucket":
                    put("buckets", pod, points, float(one.labels["le"]))
                elif one.name in names:
                    put(names[one.name], pod, points)
        return parts

    def _over(
        self,
        trigger: str,
        parts: Mapping[str, list[tuple[str, float, Points]]],
        series: Sequence[Series],
        interval_ms: int,
    ) -> Callable[[int], set[str]]:
        """What exceeds its limit at a time."""
        t, more = self.triggers, 1 + self.strictness

        def grown(quantity: str, at: int, window_s: float) -> list[tuple[str, float, float]]:
            each = ((pod, le, self._increase(points, at, window_s)) for pod, le, points in parts.get(quantity, ()))
            return [(pod, le, value) for pod, le, value in each if value is not None]

        def seen(quantity: str, at: int, window_s: float) -> bool:
            low, high = at - 2000 * window_s, at - 1000 * window_s
            return any(low <= when <= high for _, _, points in parts.get(quantity, ()) for when, _ in points)

        def rate(some: str, all_: str, limit: float, window_s: float, least: float, at: int) -> set[str]:
            failed, every = grown(some, at, window_s), grown(all_, at, window_s)
            total = sum(value for _, _, value in every)
            if not failed or not every or not total or not seen(all_, at, window_s):
                return set()
            over = sum(v for _, _, v in failed) / total > limit * more
            return {trigger} if over and total >= least * more else set()

        def latency(at: int) -> set[str]:
            counts: dict[float, float] = {}
            for _, bound, value in grown("buckets", at, t.latency.window):
                counts[bound] = counts.get(bound, 0.0) + value
            if not seen("buckets", at, t.latency.window) or counts.get(inf, 0.0) < t.latency.minimum * more:
                return set()
            value = quantile(0.95 / more, sorted(counts.items()))
            return {trigger} if value is not None and value > t.latency.threshold * more else set()

        def memory(at: int) -> set[str]:
            def last(quantity: str) -> dict[str, float]:
                low = at - t.memory.window * 1000
                each = ((p, [v for when, v in points if low <= when <= at]) for p, _, points in parts.get(quantity, ()))
                return {pod: values[-1] for pod, values in each if values}

            limits = {pod: value for pod, value in last("limit").items() if value > 0}
            hot = {p for p, used in last("used").items() if p in limits and used / limits[p] > t.memory.threshold}
            hot |= {pod for pod, _, value in grown("kills", at, t.memory.after_oom) if value > 0}
            return {f"R7/{pod}" for pod in hot}

        def health(at: int) -> set[str]:
            probes = [p for _, _, points in parts.get("probe", ()) for p in points if p[0] <= at]
            if ATTEMPTS in self.ours:
                bad = next((n for n, (_, ok) in enumerate(reversed(probes)) if ok), len(probes))
                return {"R4"} if bad > t.health.failures else set()
            fresh = [p for p in probes if p[0] >= at - 2000 * self.attempt_s]
            return {"R4"} if fresh and not fresh[-1][1] else set()

        match trigger:
            case "R4":
                return health
            case "R5":
                e = t.errors
                return lambda at: rate("errors", "requests", e.threshold, e.window, e.minimum, at)
            case "R6":
                return latency
            case "R7":
                return memory
        return lambda at: rate("failures", "calls", t.ai.threshold, t.ai.window, t.ai.minimum, at)

    def _increase(self, points: Points, at: int, window_s: float) -> float | None:
        start = at - round(window_s * 1000)
        inside = [p for p in points if start <= p[0] <= at]
        if len(inside) < 2:
            return None
        value = inside[-1][1] - inside[0][1]
        for (_, before), (_, now) in pairwise(inside):
            if now < before:
                value += before
        if EXTRAPOLATION in self.ours:
            return value
        to_start, to_end = (inside[0][0] - start) / 1000, (at - inside[-1][0]) / 1000
        sampled = (inside[-1][0] - inside[0][0]) / 1000
        average = sampled / (len(inside) - 1)
        if value > 0 and inside[0][1] >= 0:
            to_start = min(to_start, sampled * (inside[0][1] / value))
        reach = sampled
        reach += to_start if to_start < average * 1.1 else average / 2
        reach += to_end if to_end < average * 1.1 else average / 2
        return value * (reach / sampled)


def quantile(q: float, buckets: Iterable[tuple[float, float]]) -> float | None:
    """`bucketQuantile`, word by word."""
    ordered = [list(b) for b in buckets]
    if not ordered or ordered[-1][0] != inf:
        return None
    highest = -inf
    for bucket in ordered:
        highest = bucket[1] = max(highest, bucket[1])
    if len(ordered) < 2 or ordered[-1][1] == 0:
        return None
    rank = q * ordered[-1][1]
    place = next((n for n, (_, count) in enumerate(ordered[:-1]) if count >= rank), len(ordered) - 1)
    if place == len(ordered) - 1:
        return ordered[-2][0]
    if place == 0 and ordered[0][0] <= 0:
        return ordered[0][0]
    start, end, count = 0.0, ordered[place][0], ordered[place][1]
    if place > 0:
        start = ordered[place - 1][0]
        count -= ordered[place - 1][1]
        rank -= ordered[place - 1][1]
    return start + (end - start) * (rank / count)
