"""A page of metrics, as Prometheus or OpenMetrics text, read with bounds of time and memory whatever is on it.

Most of a page is of no use here: its lines are looked at one by one, and only those of wanted metrics reach the parser,
whose time grows with the square of a line's length.
"""

import re
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import TextIO, cast

from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_fd_to_metric_families as parse_text

from codeblue.adapters.signals.series import Labels

#: Bytes of a page, characters of a line, lines of a page that are looked at; lines of wanted metrics, characters of one
#: of those, and seconds of processor time that all of them may take to be parsed.
PAGE_LIMIT = 4 * 1024 * 1024
LINE_LIMIT = 8 * 1024
LINES_LIMIT = 200_000
SAMPLES_LIMIT = 20_000
WANTED_LINE_LIMIT = 2 * 1024
CPU_S = 1.5

#: A sample: name, labels, value; the parser reads it properly. Names of another form stand in braces.
_SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)?(?:\{.*\})?[ \t]*(?<![a-zA-Z0-9_:])[+-]?(?:[0-9.]|[iI]nf|[nN]a[nN])[^ \t]*(?:[ \t].*)?"
)


class NotMetrics(Exception):
    """The page is none that can be read; the message is one line without anything of the page (B9)."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says of the wanted metrics.

    Attributes:
        samples: values by metric and labels.
        declared: wanted metrics that it declares, with or without samples.
    """

    samples: dict[str, dict[Labels, float]]
    declared: frozenset[str]


def read_page(body: bytes, wanted: Set[str]) -> Page:
    """Read a page. Everything that is not wanted is only looked at.

    Args:
        body: the page, at most one byte longer than `PAGE_LIMIT`.
        wanted: names of samples (`http_requests_total`, `http_request_duration_seconds_bucket`).

    Raises:
        NotMetrics: it is too large, cut off, no page of metrics, or says the same twice.
    """
    kept, openmetrics = _lines(_text(body), wanted)
    declared = frozenset(name for line in kept if line.startswith("#") for name in _named(line) if name in wanted)
    families = parse_openmetrics if openmetrics else parse_text
    # untyped, a sample keeps the name that it has; OpenMetrics is nothing without its types
    lines = [*kept, "# EOF"] if openmetrics else [line for line in kept if not line.startswith("#")]
    try:
        found = [sample for family in families(cast("TextIO", _in_time(lines))) for sample in family.samples]
        values = [float(sample.value) for sample in found]
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:  # what the parsers raise for damage
        raise NotMetrics("its lines of wanted metrics cannot be parsed") from error
    samples: dict[str, dict[Labels, float]] = {}
    for sample, value in zip(found, values, strict=True):
        series = samples.setdefault(sample.name, {})
        labels = tuple(sorted(sample.labels.items()))
        if labels in series:
            raise NotMetrics("a series is there twice")
        series[labels] = value
    if len(found) != sum(not line.startswith("#") for line in kept):
        raise NotMetrics("a series is there twice")  # the parser of OpenMetrics drops the second one
    return Page({name: series for name, series in samples.items() if name in wanted}, declared)


def _in_time(lines: list[str]) -> Iterator[str]:
    """The lines one by one, as long as the parser keeps within its time; it asks for no more of a file than that."""
    until_s = time.thread_time() + CPU_S
    for line in lines:
        if time.thread_time() > until_s:
            raise NotMetrics(f"the page takes more than {CPU_S:g} s to be parsed")
        yield f"{line}\n"


def _text(body: bytes) -> str:
    if len(body) > PAGE_LIMIT:
        raise NotMetrics(f"the page is larger than {PAGE_LIMIT >> 20} MiB")
    if not body.strip():
        raise NotMetrics("the page is empty")
    if body.lstrip().startswith((b"<", b"{", b"[")):
        raise NotMetrics("the page is HTML or JSON, not metrics")
    if not body.endswith(b"\n"):
        raise NotMetrics("the page ends in the middle of a line")
    if body.count(b"\n") > LINES_LIMIT:
        raise NotMetrics(f"the page has more than {LINES_LIMIT} lines")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise NotMetrics("the page is not UTF-8 text") from None


def _lines(text: str, wanted: Set[str]) -> tuple[list[str], bool]:
    """The lines that are of use, and whether the page is one of OpenMetrics (which says so at its end)."""
    kept: list[str] = []
    families = wanted | {name.removesuffix("_total").removesuffix("_bucket") for name in wanted}
    beside = {f"{name.removesuffix('_bucket')}{end}" for name in wanted if name.endswith("_bucket") for end in _BESIDE}
    lines = text.split("\n")
    openmetrics = lines[-2].strip() == "# EOF"
    for number, raw in enumerate(lines, start=1):
        if len(raw) > LINE_LIMIT:
            raise NotMetrics(f"line {number} is longer than {LINE_LIMIT >> 10} KiB")
        line = raw.strip(" \t\r")
        if not line:
            continue
        if line.startswith("#"):
            parts = line.split(None, 3)
            if len(parts) == 4 and parts[1] == "TYPE" and parts[2] in families:
                kept.append(line)
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise NotMetrics(f"line {number} is no metric")
        if match[1] in wanted or (openmetrics and match[1] in beside):
            kept.append(line)
            if len(kept) > SAMPLES_LIMIT:
                raise NotMetrics(f"the page has more than {SAMPLES_LIMIT} series of wanted metrics")
            if len(line) > WANTED_LINE_LIMIT:
                raise NotMetrics(f"line {number}, of a wanted metric, is longer than {WANTED_LINE_LIMIT >> 10} KiB")
    return kept, openmetrics


#: What belongs to a histogram beside its buckets.
_BESIDE = ("_count", "_sum", "_created")


def _named(line: str) -> Iterator[str]:
    """The samples that a TYPE line declares."""
    name = line.split(None, 3)[2]
    yield from (name, f"{name}_total", f"{name}_bucket")
