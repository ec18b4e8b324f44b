"""The signals around an incident: what the loop keeps of them, and the event that the report's curves are drawn from.

Every number is one that was measured, at its own time. What was unknown is a gap (None): never 0, never interpolated;
where points are left out for want of room, no line leads across a gap that stood between them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from codeblue.model.event import Event
from codeblue.model.health import Outcome
from codeblue.record.fields import mapping, number, reading, text, time

KIND = "incident.curves"

#: Points of one curve in the event, at most.
POINTS = 240

#: Readings of one curve that are kept in memory, at most.
KEPT = 960

#: Nothing that is measured here is larger; what is, is no measurement.
LARGEST = 1e9


class Signal(StrEnum):
    """The four curves of R47 and their units: 1 (passing) or 0 (failing), a ratio, seconds, a ratio."""

    HEALTH = "health"
    ERRORS = "errors"
    P95 = "p95"
    MEMORY = "memory"


class Moment(StrEnum):
    """What is marked on the time axis."""

    FIRST_BAD = "first_bad"
    OPENED = "opened"
    DECIDED = "decided"
    CHANGED = "change_accepted"
    PROVEN = "proven"
    MITIGATED = "mitigated"

    @property
    def words(self) -> str:
        """Its name for people."""
        return self.value.replace("_", " ")


#: Seconds, and the value at that time, None for unknown.
Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment of the incident.

    Attributes:
        at_s: seconds after the incident was opened.
        event: number of the event that says so.
    """

    moment: Moment
    at_s: float
    event: int


class Curves:
    """The latest readings, in memory of a fixed size.

    Times are seconds on one clock that is never set (`Clock.monotonic`). While nothing is the matter, what is older
    than `before_s` is forgotten. From `begin` to `end` everything from then on is kept, in long incidents thinned out.

    Args:
        before_s: how much of the time before an incident its curves show.
        kept: readings of one curve in memory, at most.
    """

    def __init__(self, before_s: float = 900.0, kept: int = KEPT) -> None:
        self._before_s, self._kept = before_s, kept
        self._points: dict[Signal, list[Point]] = {signal: [] for signal in Signal}
        self._last_s = -math.inf
        self._holding = False

    def begin(self) -> None:
        """An incident was opened: from now on nothing is forgotten."""
        self._holding = True

    def end(self) -> None:
        """Its event is written."""
        self._holding = False

    def add(
        self,
        at_s: float,
        health: Outcome,
        error_ratio: float | None = None,
        p95_s: float | None = None,
        memory_ratio: float | None = None,
    ) -> None:
        """One look at the health and the signals. Not later than the one before, it is left out.

        Args:
            error_ratio, p95_s, memory_ratio: None for unknown; what is no finite number is unknown as well.
        """
        if self._later(at_s):
            self._add(at_s, health, {Signal.ERRORS: error_ratio, Signal.P95: p95_s, Signal.MEMORY: memory_ratio})

    def add_health(self, at_s: float, health: Outcome) -> None:
        """One look at the health alone, between two looks at the signals. As `add`."""
        if self._later(at_s):
            self._add(at_s, health, {})

    def _later(self, at_s: float) -> bool:
        if not at_s > self._last_s:
            return False
        self._last_s = at_s
        return True

    def _add(self, at_s: float, health: Outcome, measured: Mapping[Signal, float | None]) -> None:
        passing = {Outcome.OK: 1.0, Outcome.BREACH: 0.0}.get(health)
        for signal, value in {Signal.HEALTH: passing, **measured}.items():
            points = self._points[signal]
            points.append((at_s, value if value is not None and 0 <= value <= LARGEST else None))
            if not self._holding:
                old = next(n for n, (s, _) in enumerate(points) if s >= at_s - self._before_s)
                del points[:old]
            if len(points) > self._kept:
                points[:] = thinned(points, self._kept // 2)

    def event_data(
        self, opened_s: float, thresholds: Mapping[Signal, float], markers: Iterable[Marker] = ()
    ) -> dict[str, Any]:
        """The data of an `incident.curves` event.

        Args:
            opened_s: when the incident was opened, on the clock of `add`.
            thresholds: what each signal was judged by, where it has such a line.
            markers: see `markers_of`.
        """
        return {
            "curves": {
                signal.value: [
                    [round(at_s - opened_s, 3), None if value is None else round(value, 6)]
                    for at_s, value in thinned(points, POINTS)
                ]
                for signal, points in self._points.items()
            },
            "thresholds": {signal.value: float(value) for signal, value in thresholds.items()},
            "markers": [{"moment": m.moment.value, "at_s": m.at_s, "event": m.event} for m in markers],
        }


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many of the points: the first, the last, and of each stretch of time the lowest and the highest.

    Where an unknown stood between two that stay, the first and the last of these unknowns stay too.

    Args:
        points: ascending times.
        most: 12 or more.
    """
    stretches = most // 2
    kept = list(range(len(points)))
    while len(kept) > most:
        kept = _chosen(points, stretches)
        stretches = stretches * 3 // 4
    return [points[n] for n in kept]


def _chosen(points: Sequence[Point], stretches: int) -> list[int]:
    begin, end = points[0][0], points[-1][0]
    lowest: dict[int, tuple[float, int]] = {}
    highest: dict[int, tuple[float, int]] = {}
    for n, (at_s, value) in enumerate(points):
        if value is not None:
            stretch = int((at_s - begin) / (end - begin) * stretches)
            lowest[stretch] = min(lowest.get(stretch, (value, n)), (value, n))
            highest[stretch] = max(highest.get(stretch, (value, n)), (value, n))
    known = sorted({n for _, n in (*lowest.values(), *highest.values())})
    kept = {0, len(points) - 1, *known}
    for before, after in pairwise((-1, *known, len(points))):
        unknown = [n for n in range(before + 1, after) if points[n][1] is None]
        kept |= {unknown[0], unknown[-1]} if unknown else set()
    return sorted(kept)


def markers_of(events: Iterable[Event]) -> tuple[Marker, ...]:
    """The moments of one incident, in order of time; of each the first, of decisions and accepted changes all.

    Args:
        events: those of the incident.

    Raises:
        Damaged: an event does not say what it must.
    """
    found: list[Marker] = []
    opened: Event | None = None
    verifications: set[str] = set()
    for event in events:
        with reading(event):
            moment = _moment(event, verifications)
            if event.kind == "incident.opened":
                opened = event
                found.append(Marker(Moment.FIRST_BAD, _after(event, time(event.data, "began").timestamp()), event.seq))
            if opened is None or moment is None:
                continue
            found.append(Marker(moment, _after(opened, event.at.timestamp()), event.seq))
    return tuple(sorted(found, key=lambda m: m.at_s))


def _moment(event: Event, verifications: set[str]) -> Moment | None:
    """What an event marks; notes which runs are verifications."""
    match event.kind:
        case "incident.opened":
            return Moment.OPENED
        case "incident.decided":
            return Moment.DECIDED
        case "incident.mitigated":
            return Moment.MITIGATED
        case "step.applied":
            return Moment.CHANGED
        case "run.requested" if text(event.data, "runbook") == "recovery":
            verifications.add(event.run)
        case "run.ended" if event.run in verifications and text(event.data, "state") == "done":
            return Moment.PROVEN
    return None


def _after(opened: Event, at: float) -> float:
    return round(at - opened.at.timestamp(), 3)


@dataclass(frozen=True, slots=True)
class CurvesView:
    """The curves as the record tells them.

    Attributes:
        event: number of the event that they stand in.
    """

    event: int
    curves: Mapping[Signal, tuple[Point, ...]]
    thresholds: Mapping[Signal, float]
    markers: tuple[Marker, ...]


def read_curves(event: Event) -> CurvesView:
    """The curves of an `incident.curves` event. Raises Damaged: it does not say what it must."""
    with reading(event):
        curves, thresholds = mapping(event.data, "curves"), mapping(event.data, "thresholds")
        return CurvesView(
            event.seq,
            {signal: _points(curves[signal.value]) for signal in Signal},
            {signal: _bounded(thresholds, signal.value) for signal in Signal if signal.value in thresholds},
            tuple(_marker(m) for m in _list(event.data["markers"], POINTS)),
        )


def _points(found: Any) -> tuple[Point, ...]:
    points: list[Point] = []
    for entry in _list(found, POINTS):
        pair = dict(zip(("at_s", "value"), _list(entry, 2), strict=True))
        points.append((_bounded(pair, "at_s"), None if pair["value"] is None else _bounded(pair, "value")))
    if any(b[0] <= a[0] for a, b in pairwise(points)):
        raise ValueError("at_s")
    return tuple(points)


def _marker(found: Any) -> Marker:
    event = found["event"]
    if isinstance(event, bool) or not isinstance(event, int):
        raise TypeError("event")
    return Marker(Moment(text(found, "moment")), _bounded(found, "at_s"), event)


def _bounded(data: Mapping[str, Any], key: str) -> float:
    value = number(data, key)
    if abs(value) > LARGEST:
        raise ValueError(key)
    return value


def _list(found: Any, most: int) -> list[Any]:
    if not isinstance(found, list | tuple):
        raise TypeError("list")
    if len(found) > most:
        raise ValueError("list")
    return list(found)
