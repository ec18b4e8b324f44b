"""From samples of metrics to one reading of one pod: the same arithmetic for a scraped page and for Prometheus."""

import math
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from codeblue.model.signal import Reading
from codeblue.profile.signals import Names

#: A status as a label says it: 503, or its class 5xx.
_STATUS = re.compile(r"([1-9])(?:[0-9]{2}|[xX]{2})", re.ASCII)

#: Labels of one series, in the order of their names.
Labels = tuple[tuple[str, str], ...]

#: The series of one metric at one moment.
Values = Mapping[Labels, float]


class Damaged(Exception):
    """A metric that says something, but nothing that can be used. The message quotes no label's value (B9)."""


class Found(NamedTuple):
    """A reading, and what of it could not be had although the service offers it, one line each."""

    reading: Reading | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the metrics are called, and which of the requests are no traffic of clients.

    Attributes:
        ignored: values of `names.route_label` that do not count.
    """

    names: Names
    ignored: frozenset[str]

    @property
    def bucket(self) -> str | None:
        """The series that the histogram's buckets are."""
        return f"{self.names.latency}_bucket" if self.names.latency else None

    @property
    def wanted(self) -> frozenset[str]:
        """Names of all series that are of use."""
        n = self.names
        own = (n.requests, n.errors, self.bucket, n.ai_requests, n.ai_failures)
        return frozenset(name for name in (*own, n.working_set, n.memory_limit, n.oom_kills) if name)

    def read(self, pod: str, at_s: float, samples: Mapping[str, Values], declared: Set[str] = frozenset()) -> Found:
        """What the samples of one pod at one moment say.

        Args:
            samples: series by the metric's name; a name that is missing was not offered.
            declared: names that the pod says it has, without having counted anything under them yet: those are 0.

        Returns:
            A reading, or None where there is nothing in it. A value that is damaged is None in it, and a problem.
        """
        names, problems = self.names, list[str]()

        def told(judge: Callable[[], float | None]) -> float | None:
            try:
                return judge()
            except Damaged as why:
                problems.append(str(why))
                return None

        def total(name: str | None, *, of_clients: bool = False) -> float | None:
            if name is None or (name not in samples and name not in declared):
                return None
            counted = samples.get(name, {}).items()
            return _total(name, [v for labels, v in counted if not (of_clients and self._ignored(labels))])

        requests = told(lambda: total(names.requests, of_clients=True))
        errors = buckets = None
        if names.errors is not None:
            errors = told(lambda: total(names.errors, of_clients=True))
        elif names.requests is not None and requests is not None:
            errors = told(lambda: self._errors(names.requests or "", samples.get(names.requests or "", {})))
        if self.bucket is not None:
            try:
                buckets = _summed(self.bucket, samples.get(self.bucket, {}), self._ignored)
            except Damaged as why:
                problems.append(str(why))
        kills = told(lambda: total(names.oom_kills))
        reading = Reading(
            pod=pod,
            at_s=at_s,
            requests=requests,
            errors=errors,
            buckets=buckets or (),
            ai_calls=told(lambda: total(names.ai_requests)),
            ai_failures=told(lambda: total(names.ai_failures)),
            working_set_bytes=told(lambda: total(names.working_set)),
            memory_limit_bytes=told(lambda: total(names.memory_limit)) or None,  # exporters say 0 where there is none
            oom_kills=None if kills is None else int(kills),
        )
        return Found(None if reading == Reading(pod, at_s) else reading, tuple(problems))

    def _ignored(self, labels: Labels) -> bool:
        return any(name == self.names.route_label and value in self.ignored for name, value in labels)

    def _errors(self, name: str, series: Values) -> float:
        """The requests with a status of 500 or above. Raises Damaged where one of them does not say its status."""
        failed = []
        for labels, value in series.items():
            if self._ignored(labels):
                continue
            status = _STATUS.fullmatch(dict(labels).get(self.names.status_label, ""))
            if status is None:
                raise Damaged(f"{name} has series without a status in the label {self.names.status_label!r}")
            if status[1] >= "5":
                failed.append(value)
        return _total(name, failed)


def _total(name: str, values: list[float]) -> float:
    for value in values:
        if math.isnan(value) or math.isinf(value):
            raise Damaged(f"{name} is {'NaN' if math.isnan(value) else 'infinite'}")
        if value < 0:
            raise Damaged(f"{name} is negative")
    return math.fsum(values)


def _summed(name: str, series: Values, ignored: Callable[[Labels], bool]) -> tuple[tuple[float, float], ...]:
    """The cumulative buckets, summed over label sets; those that are ignored still give the bounds.

    Raises:
        Damaged: bounds or counts that are none, label sets with different bounds, no bucket for everything.
    """
    sets: dict[Labels, dict[float, float]] = {}
    for labels, value in series.items():
        rest = tuple(label for label in labels if label[0] != "le")
        bound = _bound(name, dict(labels).get("le", ""))
        if bound in sets.setdefault(rest, {}):
            raise Damaged(f"{name} has two buckets with the same bound")
        sets[rest][bound] = value
    bounds = sorted(next(iter(sets.values()), {}))
    if any(sorted(found) != bounds for found in sets.values()):
        raise Damaged(f"{name} has label sets with different bounds")
    if bounds and bounds[-1] != math.inf:
        raise Damaged(f"{name} has no bucket le=+Inf")
    summed = []
    for bound in bounds:
        summed.append((bound, _total(name, [found[bound] for rest, found in sets.items() if not ignored(rest)])))
    if any(later < earlier for (_, earlier), (_, later) in pairwise(summed)):
        raise Damaged(f"{name} has counts that fall with the bound")
    return tuple(summed)


def _bound(name: str, text: str) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if math.isnan(bound) or bound == -math.inf or "_" in text:
        raise Damaged(f"{name} has a bound that is no number")
    return bound
