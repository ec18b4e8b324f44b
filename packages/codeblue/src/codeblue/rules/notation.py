"""Recorded series as Prometheus' own rule tests write them: `http_requests_total{job="api"}` with `0+10x5 _ stale`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|`([^`]*)`)\s*(,|$)"""
)
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_NUMBER: Final = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI]nf|[nN]a[nN]"
_BOUND: Final = re.compile(r"\+?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|\+[iI]nf")
_ITEM: Final = re.compile(
    rf"(?P<gap>_)(?:x(?P<gaps>[0-9]+))?|(?P<first>[+-]?(?:{_NUMBER}))(?:(?P<step>[+-](?:{_NUMBER}))?x(?P<times>[0-9]+))?"
    rf"|(?P<stale>stale)"
)
_DURATION: Final = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_FACTORS_MS: Final = (604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)


class NotSeries(ValueError):
    """What is written is no series. Both texts go into a message for people.

    Attributes:
        remedy: what to write instead.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Series:
    """One recorded series.

    Attributes:
        values: one for each interval from 0 on; None where there is none. Whether a series was marked as stale or only
            has a gap makes no difference to windows.
    """

    name: str
    labels: Mapping[str, str]
    values: tuple[float | None, ...]


def parse_selector(text: str) -> tuple[str, dict[str, str]]:
    """The name and the labels of `name{label="value"}`. Raises NotSeries."""
    remedy = 'write name{label="value", …}'
    text = text.strip()
    name = _NAME.match(text)
    rest = text[name.end() :] if name else text
    if name is None or (rest and not (rest.startswith("{") and rest.endswith("}"))):
        raise NotSeries("is not the name of a series", remedy)
    labels: dict[str, str] = {}
    inside, place = rest[1:-1].strip(), 0
    while place < len(inside):
        label = _LABEL.match(inside, place)
        if label is None or label[1] in labels or label[1] == "__name__":
            raise NotSeries("has labels that are none, or one of them twice", remedy)
        quoted = label[2] if label[2] is not None else label[3]
        labels[label[1]] = label[4] if quoted is None else _ESCAPE.sub(_unescape, quoted)
        place = label.end()
    if "le" in labels and not _BOUND.fullmatch(labels["le"]):
        raise NotSeries("has a bucket whose bound is no number", 'write le="0.5" or le="+Inf"')
    return name[0], labels


def _unescape(match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        raise NotSeries(f"has the unknown escape \\{match[1]}", 'write \\\\ for a backslash and \\" for a quote')
    return _ESCAPES[match[1]]


def expand(text: str, limit: int) -> tuple[float | None, ...]:
    """The values of `0+10x5 _ stale`, as Prometheus expands them: `0+10x5` are 6 values, `_x5` are 5.

    Args:
        limit: at most so many.

    Raises:
        NotSeries: it is none, or longer.
    """
    values: list[float | None] = []
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            shown = item if len(item) <= 40 and item.isprintable() else "one of its values"
            what = "a native histogram" if "{{" in item else "no value of a series"
            raise NotSeries(f"{shown} is {what}", "write numbers, 0+10x5, 7x3, _, _x3 or stale, with spaces between")
        times = int((match["gaps"] or match["times"] or "0")[:12])
        if len(values) + times + 1 > limit:
            raise NotSeries(f"is longer than {limit:,} values", "write a shorter series, or a longer interval")
        values += _expanded(match, times)
    return tuple(values)


def _expanded(match: re.Match[str], times: int) -> Iterator[float | None]:
    if match["stale"]:
        yield None
    elif match["gap"]:
        yield from [None] * (times if match["gaps"] else 1)
    else:
        value, step = float(match["first"]), float(match["step"] or 0)
        for _ in range(times + 1):
            yield value
            value += step  # as Prometheus adds them up, with its rounding


def parse_duration_ms(text: str) -> int:
    """`1h30m`, `90s`, `500ms` or `0`, in milliseconds. Raises NotSeries."""
    match = _DURATION.fullmatch(text)
    if (not text or match is None) or len(text) > 30:
        if text == "0":
            return 0
        raise NotSeries("is not a duration of Prometheus", "write 90s, 5m or 1h30m")
    return sum(int(part or 0) * factor for part, factor in zip(match.groups(), _FACTORS_MS, strict=True))
