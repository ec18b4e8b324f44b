"""A curve as inline SVG: axes, the limit, the moments of the incident, and a gap wherever something was unknown.

The path is in the record's own numbers (seconds, values) below a transform, so what is drawn can be read back from it.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.etree import ElementTree as ET

from codeblue.record.curves import CurvesView, Marker, Point, Signal
from codeblue.record.report.readings import TITLES, after, amount, reading_of

#: The drawing and its margins, in the units of its view box.
WIDTH, HEIGHT = 440, 216
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 44, 28

#: The distances that two ticks of the time axis may have, seconds.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
#: At most so many of them.
_TICKS = 5
#: Numbers of moments that would stand on each other go to the next row.
_ROWS, _APART = 3, 15


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where seconds and values are in the drawing."""

    begin: float
    end: float
    top: float

    @property
    def matrix(self) -> tuple[float, float, float, float]:
        """Factor and offset, of seconds and of values."""
        a = (WIDTH - LEFT - RIGHT) / (self.end - self.begin)
        d = -(HEIGHT - TOP - BOTTOM) / self.top
        return a, LEFT - a * self.begin, d, HEIGHT - BOTTOM

    def x(self, seconds: float) -> float:
        a, e, _, _ = self.matrix
        return a * seconds + e

    def y(self, value: float) -> float:
        _, _, d, f = self.matrix
        return d * value + f


def draw(view: CurvesView, signal: Signal) -> str:
    """The drawing of one curve; its moments have the numbers of `numbered`."""
    points, limit = view.curves[signal], view.thresholds.get(signal)
    scale = _scale(view, signal)
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "role": "img",
            "aria-labelledby": f"{signal.value}-title {signal.value}-desc",
        },
    )
    _text(svg, "title", TITLES[signal], id=f"{signal.value}-title")
    moments = ", ".join(f"{m.moment.words} at {after(m.at_s)}" for m in view.markers)
    _text(svg, "desc", f"{reading_of(view, signal)}. {moments}", id=f"{signal.value}-desc")
    _gaps(svg, points, scale)
    _axes(svg, signal, scale)
    if limit is not None:
        y = _n(scale.y(limit))
        ET.SubElement(svg, "line", {"class": "limit", "x1": _n(LEFT), "x2": _n(WIDTH - RIGHT), "y1": y, "y2": y})
        label = {"class": "limit-label", "x": _n(WIDTH - RIGHT - 2), "y": _n(scale.y(limit) - 4), "text-anchor": "end"}
        _text(svg, "text", f"limit {amount(signal, limit)}", **label)
    _moments(svg, view.markers, scale)
    a, e, d, f = scale.matrix
    plot = ET.SubElement(svg, "g", {"transform": f"matrix({a!r} 0 0 {d!r} {e!r} {f!r})"})
    ET.SubElement(plot, "path", {"class": "curve", "d": path_of(points, steps=signal is Signal.HEALTH)})
    if not any(value is not None for _, value in points):
        middle = {"x": _n((LEFT + WIDTH - RIGHT) / 2), "y": _n((TOP + HEIGHT - BOTTOM) / 2), "text-anchor": "middle"}
        _text(svg, "text", "unknown all the time" if points else "not recorded", **{"class": "nothing"}, **middle)
    return ET.tostring(svg, encoding="unicode")


def numbered(markers: Sequence[Marker]) -> Iterator[tuple[int, Marker]]:
    """The moments with the numbers that they have in the drawings."""
    return enumerate(markers, start=1)


def path_of(points: Sequence[Point], *, steps: bool = False) -> str:
    """The path through the known points, in their own numbers: each stretch between two unknowns begins anew.

    Args:
        steps: what was read holds until the next reading, as of something that is either so or so.
    """
    parts = []
    for known, stretch in groupby(points, key=lambda point: point[1] is not None):
        if known:
            first, *others = [(json.dumps(at_s), json.dumps(value)) for at_s, value in stretch]
            line = [f"H{at_s}V{value}" if steps else f"L{at_s},{value}" for at_s, value in others]
            parts.append(f"M{first[0]},{first[1]}{''.join(line) or 'h0'}")  # a point alone is a dot
    return "".join(parts)


def _scale(view: CurvesView, signal: Signal) -> _Scale:
    """One time axis for all four curves; values from 0."""
    times = [at_s for points in view.curves.values() for at_s, _ in points]
    times += [marker.at_s for marker in view.markers]
    begin, end = min(times, default=0.0), max(times, default=0.0)
    if end - begin < 1:
        begin, end = begin - 30, end + 30
    largest = max((value for _, value in view.curves[signal] if value is not None), default=0.0)
    highest = max(largest, view.thresholds.get(signal, 0.0))
    least = {Signal.HEALTH: 1.0, Signal.P95: 0.1, Signal.ERRORS: 0.01, Signal.MEMORY: 1.0}[signal]
    return _Scale(begin, end, max(highest, least) * 1.12)


def _axes(svg: ET.Element, signal: Signal, scale: _Scale) -> None:
    bottom = HEIGHT - BOTTOM
    for value in (0.0, 1.0) if signal is Signal.HEALTH else _values(scale.top):
        y = scale.y(value)
        ET.SubElement(svg, "line", {"class": "grid", "x1": _n(LEFT), "x2": _n(WIDTH - RIGHT), "y1": _n(y), "y2": _n(y)})
        _text(svg, "text", amount(signal, value), x=_n(LEFT - 6), y=_n(y + 4), **{"text-anchor": "end"})
    step = next((s for s in _STEPS if (scale.end - scale.begin) / s <= _TICKS), (scale.end - scale.begin) / _TICKS)
    for n in range(math.ceil(scale.begin / step), math.floor(scale.end / step) + 1):
        x = scale.x(n * step)
        ET.SubElement(svg, "line", {"class": "axis", "x1": _n(x), "x2": _n(x), "y1": _n(bottom), "y2": _n(bottom + 4)})
        anchor = "end" if x > WIDTH - RIGHT - 24 else "middle"
        _text(svg, "text", _tick(n * step, step), x=_n(x), y=_n(bottom + 17), **{"text-anchor": anchor})
    edges = {"x1": _n(LEFT), "x2": _n(WIDTH - RIGHT), "y1": _n(bottom), "y2": _n(bottom)}
    ET.SubElement(svg, "line", {"class": "axis", **edges})


def _values(top: float) -> list[float]:
    """Two to five round values from 0."""
    rough = top / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * f for f in (1, 2, 5, 10) if unit * f >= rough)
    return [n * step for n in range(math.floor(top / step) + 1)]


def _tick(seconds: float, step: float) -> str:
    sign = "−" if seconds < 0 else "+" if seconds > 0 else ""
    size, unit = next(((s, u) for s, u in ((3600, "h"), (60, "min")) if step >= s and step % s == 0), (1, "s"))
    return f"{sign}{abs(seconds) / size:g} {unit}" if seconds else "0"


def _gaps(svg: ET.Element, points: Sequence[Point], scale: _Scale) -> None:
    """A band from the first to the last unknown of each gap, at least wide enough to be seen."""
    for known, stretch in groupby(points, key=lambda point: point[1] is not None):
        if not known:
            times = [at_s for at_s, _ in stretch]
            x, width = scale.x(times[0]), max(scale.x(times[-1]) - scale.x(times[0]), 2.0)
            box = {"x": _n(x - 1), "width": _n(width), "y": _n(TOP), "height": _n(HEIGHT - TOP - BOTTOM)}
            ET.SubElement(svg, "rect", {"class": "unknown", **box})


def _moments(svg: ET.Element, markers: Sequence[Marker], scale: _Scale) -> None:
    taken = [-math.inf] * _ROWS
    for number, marker in numbered(markers):
        x = scale.x(marker.at_s)
        row = next((r for r in range(_ROWS) if x - taken[r] >= _APART), _ROWS - 1)
        taken[row] = x
        y = TOP - 6 - 13 * row
        foot = {"y1": _n(y + 3), "y2": _n(HEIGHT - BOTTOM)}
        ET.SubElement(svg, "line", {"class": "moment", "x1": _n(x), "x2": _n(x), **foot})
        _text(svg, "text", str(number), x=_n(x), y=_n(y), **{"class": "number", "text-anchor": "middle"})


def _text(parent: ET.Element, tag: str, said: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = said


def _n(value: float) -> str:
    return f"{value:.1f}"
