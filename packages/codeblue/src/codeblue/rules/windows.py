"""What counters grew by within a window, per pod and in sum: differences that anybody can add up (docs/triggers.md).

No I/O and no clock: the time is that of the sampling. Memory is bounded per pod, however often it is sampled.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate
from math import inf, isfinite
from operator import add, lt, sub
from typing import Final, NamedTuple

from codeblue.model.signal import Reading, Sampling

#: Times are compared to the millisecond, as Prometheus keeps them.
HALF_A_MS: Final = 0.0005
#: A reading may be so far ahead of the look that it belongs to: a look takes a minute at most, and clocks that are
#: kept differ by less than the rest.
AHEAD_S: Final = 65.0
#: So many pods are kept of one service; those that were not read for longest go first.
PODS: Final = 5000
#: Readings that follow each other more closely than this part of the window are merged: counters lose nothing by it.
_PARTS: Final = 240

#: A layout of buckets: their upper bounds.
Bounds = tuple[float, ...]


class Track:
    """Counters that are read together, over the last `keep_s` seconds.

    A value below the one before it is a restart, and counted from 0. So that a difference of two rows is the increase
    between them, a restart moves the older rows down by what was reached before it. Never more than 2 × 240 + 3 rows.

    Args:
        width: how many counters.
    """

    __slots__ = ("_before_s", "_keep_s", "_rows", "_times", "_width")

    def __init__(self, width: int, keep_s: float) -> None:
        self._width, self._keep_s = width, keep_s
        self._times = array("d")
        self._rows = array("d")  # one after the other
        self._before_s = -inf  # the time of the last row that is too old to be kept

    def __len__(self) -> int:
        return len(self._times)

    def add(self, at_s: float, values: Sequence[float]) -> None:
        """A reading. One that is not newer than the last, or says what no counter can, is passed over."""
        times, rows, width = self._times, self._rows, self._width
        if not isfinite(sum(values)) or (times and at_s <= times[-1]):
            return
        if not times:
            if min(values) < 0:
                return
        elif any(map(lt, values, last := rows[-width:])):
            if min(values) < 0:
                return
            self._restart(values, last)
        if len(times) > 1 and at_s - times[-2] < self._keep_s / _PARTS:
            times[-1] = at_s
            rows[-width:] = array("d", values)
            return
        times.append(at_s)
        rows.extend(values)
        if times[0] < at_s - self._keep_s - HALF_A_MS:
            old = bisect_left(times, at_s - self._keep_s - HALF_A_MS)
            self._before_s = times[old - 1]
            del times[:old]
            del rows[: old * width]

    def _restart(self, values: Sequence[float], last: Sequence[float]) -> None:
        for column, (new, before) in enumerate(zip(values, last, strict=True)):
            if new < before:
                for place in range(column, len(self._rows), self._width):
                    self._rows[place] -= before

    def reaches(self, start_s: float) -> bool:
        """Whether there was a row at `start_s`, or before it by no more than the length of the window."""
        place = bisect_left(self._times, start_s + HALF_A_MS)
        last_s = self._times[place - 1] if place else self._before_s
        return last_s >= start_s - self._keep_s - HALF_A_MS

    def increase(self, start_s: float) -> list[float] | None:
        """What each counter grew by between the first and the last row since `start_s`; None with fewer than two."""
        first = bisect_left(self._times, start_s - HALF_A_MS)
        if first > len(self._times) - 2:
            return None
        width = self._width
        return list(map(sub, self._rows[-width:], self._rows[first * width : (first + 1) * width]))


@dataclass(frozen=True, slots=True)
class Lengths:
    """How far each look goes back, in seconds."""

    errors_s: float
    latency_s: float
    ai_s: float
    memory_s: float
    after_oom_s: float

    @property
    def longest_s(self) -> float:
        return max(self.errors_s, self.latency_s, self.ai_s, self.memory_s, self.after_oom_s)


class Unseen(Enum):
    """Why a window says nothing."""

    NO_READINGS = "no pod has two readings"
    TOO_SHORT = "no pod was read before it began"


class Share(NamedTuple):
    """Some of all: requests that failed, calls that failed, and how many there were."""

    some: float
    all: float


class PodMemory(NamedTuple):
    """A pod's memory within the window.

    Attributes:
        share: working set ÷ limit as last seen; None where one of the two was not seen.
        oom_kills: how many there were within the time that they count for; None where that is not known.
    """

    pod: str
    share: float | None
    oom_kills: float | None


class _Pod:
    __slots__ = ("ai", "bounds", "buckets", "limit", "oom", "requests", "seen_s", "working_set")

    def __init__(self, lengths: Lengths) -> None:
        self.seen_s = -inf
        self.requests = Track(2, lengths.errors_s)
        self.ai = Track(2, lengths.ai_s)
        self.oom = Track(1, lengths.after_oom_s)
        self.bounds: Bounds = ()
        self.buckets = Track(0, lengths.latency_s)
        self.working_set = self.limit = (-inf, 0.0)


class Windows:
    """The last readings of one service's pods.

    Attributes:
        at_s: the time of the last sampling.
        unknown: why something of it could not be had, by source.
    """

    __slots__ = ("_lengths", "_pods", "at_s", "unknown")

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths
        self._pods: dict[str, _Pod] = {}
        self.at_s = -inf
        self.unknown: tuple[tuple[str, str], ...] = ()

    def add(self, sampling: Sampling) -> None:
        """Take a sampling in. One from before the last says that a clock was set back: then everything begins anew."""
        pods, lengths = self._pods, self._lengths
        sampling = dated(sampling)
        if sampling.at_s < self.at_s - HALF_A_MS:
            pods.clear()
        self.at_s = sampling.at_s
        self.unknown = tuple(sampling.unknown.items())
        for reading in sampling.readings:
            pod = pods.get(reading.pod)
            if pod is None:
                pod = pods[reading.pod] = _Pod(lengths)
            if reading.at_s > pod.seen_s:
                _take(pod, reading, lengths)
        oldest_s = sampling.at_s - 2 * lengths.longest_s - HALF_A_MS  # its last window's beginning reaches back so far
        for name in [name for name, pod in pods.items() if pod.seen_s < oldest_s]:
            del pods[name]
        if len(pods) > PODS:
            for name in sorted(pods, key=lambda name: pods[name].seen_s)[: len(pods) - PODS]:
                del pods[name]
            self.unknown += (("pods", f"more than {PODS} of one service: those read last are kept"),)

    @property
    def pods(self) -> int:
        """How many pods there are: those that were read lately, and those that could not be."""
        unread = {source.removeprefix("pod/") for source, _ in self.unknown if source.startswith("pod/")}
        return len(self._pods) + len(unread - self._pods.keys())

    def errors(self) -> Share | Unseen:
        """Failed and all requests within the window, summed over pods."""
        return _sum((pod.requests for pod in self._pods.values()), self.at_s - self._lengths.errors_s)

    def ai_failures(self) -> Share | Unseen:
        """Failed and all calls of the model, likewise."""
        return _sum((pod.ai for pod in self._pods.values()), self.at_s - self._lengths.ai_s)

    def buckets(self) -> list[tuple[float, float]] | Unseen:
        """The histogram of the response times within the window, summed over pods by bound, ascending."""
        start_s = self.at_s - self._lengths.latency_s
        bounds: Bounds = ()
        counts: list[float] = []
        others: dict[float, float] = {}
        reaches = False
        for pod in self._pods.values():
            reaches = reaches or pod.buckets.reaches(start_s)
            grown = pod.buckets.increase(start_s)
            if grown is None:
                continue
            if not counts:
                bounds, counts = pod.bounds, grown
            elif pod.bounds == bounds:
                counts = list(map(add, counts, grown))
            else:  # two releases with different layouts
                for bound, count in zip(pod.bounds, grown, strict=True):
                    others[bound] = others.get(bound, 0.0) + count
        if not counts or not reaches:
            return Unseen.TOO_SHORT if counts else Unseen.NO_READINGS
        if not others:
            return list(zip(bounds, counts, strict=True))
        for bound, count in zip(bounds, counts, strict=True):
            others[bound] = others.get(bound, 0.0) + count
        return sorted(others.items())

    def memory(self) -> Iterator[PodMemory]:
        """Every pod's memory."""
        fresh_s = self.at_s - self._lengths.memory_s - HALF_A_MS
        kills_from_s = self.at_s - self._lengths.after_oom_s
        for name, pod in self._pods.items():
            (used_s, used), (limit_s, limit) = pod.working_set, pod.limit
            share = used / limit if used_s >= fresh_s and limit_s >= fresh_s and limit > 0 else None
            kills = pod.oom.increase(kills_from_s)
            yield PodMemory(name, share, None if kills is None else kills[0])


def dated(sampling: Sampling) -> Sampling:
    """The sampling without readings from the future: a clock that was ahead must not hide what is measured after it.

    What is left out is unknown, by pod, and said.
    """
    ahead = [r for r in sampling.readings if not r.at_s <= sampling.at_s + AHEAD_S]
    if not ahead:
        return sampling
    unknown = dict(sampling.unknown)
    for reading in ahead:
        late_s = reading.at_s - sampling.at_s
        unknown.setdefault(f"pod/{reading.pod}", f"a reading from {late_s:.0f} s in the future, which is left out")
    return replace(
        sampling, readings=tuple(r for r in sampling.readings if r.at_s <= sampling.at_s + AHEAD_S), unknown=unknown
    )


def _take(pod: _Pod, reading: Reading, lengths: Lengths) -> None:
    at_s = pod.seen_s = reading.at_s
    if (requests := reading.requests) is not None and (errors := reading.errors) is not None:
        pod.requests.add(at_s, (errors, requests))
    if (calls := reading.ai_calls) is not None and (failures := reading.ai_failures) is not None:
        pod.ai.add(at_s, (failures, calls))
    if (kills := reading.oom_kills) is not None:
        pod.oom.add(at_s, (kills,))
    if (used := reading.working_set_bytes) is not None and isfinite(used):
        pod.working_set = (at_s, used)
    if (limit := reading.memory_limit_bytes) is not None and isfinite(limit):
        pod.limit = (at_s, limit)
    if reading.buckets:
        bounds, counts = zip(*reading.buckets, strict=True)
        if bounds != pod.bounds:  # another layout is another histogram
            pod.bounds, pod.buckets = bounds, Track(len(bounds), lengths.latency_s)
        pod.buckets.add(at_s, counts)


def _sum(tracks: Iterable[Track], start_s: float) -> Share | Unseen:
    some = all_ = 0.0
    seen = reaches = False
    for track in tracks:
        reaches = reaches or track.reaches(start_s)
        grown = track.increase(start_s)
        if grown is not None:
            some, all_, seen = some + grown[0], all_ + grown[1], True
    if not seen or not reaches:
        return Unseen.TOO_SHORT if seen else Unseen.NO_READINGS
    return Share(some, all_)


def quantile(q: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """As Prometheus' histogram_quantile: linear within a bucket, the highest finite bound for what lies above it.

    Args:
        q: above 0, at most 1.
        buckets: upper bounds and cumulative counts, ascending by bound.

    Returns:
        None where it says nothing: no observation, no bucket for everything (+Inf), or no other one.

    Source: promql/quantile.go of Prometheus 2.42, `bucketQuantile`.
    """
    if len(buckets) < 2 or buckets[-1][0] != inf:
        return None
    bounds = [bound for bound, _ in buckets]
    counts = list(accumulate((count for _, count in buckets), max))  # increases of different pods may not be monotonic
    if counts[-1] <= 0:
        return None
    rank = q * counts[-1]
    place = bisect_left(counts, rank, 0, len(counts) - 1)
    if place == len(counts) - 1:
        return bounds[-2]
    if place == 0:
        low, below = 0.0, 0.0
        if bounds[0] <= 0:
            return bounds[0]
    else:
        low, below = bounds[place - 1], counts[place - 1]
    return low + (bounds[place] - low) * ((rank - below) / (counts[place] - below))
