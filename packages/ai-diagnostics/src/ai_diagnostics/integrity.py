"""Is the data whole? Counts against a baseline, every document against its form and digest, orphans, and the time
window of what is wrong (R31, D39). No I/O here: it reads two streams and says what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ai_diagnostics.documents import RequestRow, ResultRow, problems

UNFINISHED_AFTER = timedelta(minutes=10)
SAMPLES = 10


@dataclass
class Window:
    """When documents that are wrong were made: the estimate of the corruption's time window."""

    first: str | None = None
    last: str | None = None

    def add(self, at: str) -> None:
        """Widen it."""
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)


@dataclass
class Findings:
    """What a pass over both collections found. Ids are random, so they may be shown; contents are not.

    Attributes:
        counts_24h: documents of the last 24 hours, by collection.
        baseline: the mean of the days before, by collection; None where there is less than one whole day.
        wrong: how often each problem was seen, as `collection: problem`.
        samples: a few ids for each.
        window: when the wrong documents were made, or None for both ends.
    """

    totals: Counter[str] = field(default_factory=Counter)
    counts_24h: Counter[str] = field(default_factory=Counter)
    baseline: dict[str, float | None] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)
    unfinished: int = 0
    window: Window = field(default_factory=Window)

    def report(self, collection: str, problem: str, document_id: str, at: str) -> None:
        """Note one problem of one document."""
        kind = f"{collection}: {problem}"
        self.wrong[kind] += 1
        ids = self.samples.setdefault(kind, [])
        if len(ids) < SAMPLES:
            ids.append(document_id)
        self.window.add(at)


def examine(
    requests: Iterable[RequestRow],
    results: Iterable[ResultRow],
    *,
    now: datetime | None = None,
    baseline_days: int = 7,
    baseline: float | None = None,
    min_ratio: float = 0.5,
) -> Findings:
    """Read both collections once.

    Args:
        now: the end of the last 24 hours; aware, UTC.
        baseline_days: how many days before them make the baseline.
        baseline: requests a day, instead of that mean.
        min_ratio: fewer than this share of the baseline in the last 24 hours is a problem of its own.
    """
    at = now or datetime.now(UTC)
    found = Findings()
    days: dict[str, Counter[int]] = {"diagnosticrequests": Counter(), "diagnosticresults": Counter()}
    completed: dict[str, str] = {}
    known: set[str] = set()
    for request in requests:
        _common(found, days, "diagnosticrequests", request, at)
        known.add(request.id)
        if request.status == "completed":
            completed[request.id] = request.created_at
        elif request.status == "received" and request.created_at < _text(at - UNFINISHED_AFTER):
            found.unfinished += 1
    answered: set[str] = set()
    for result in results:
        _common(found, days, "diagnosticresults", result, at)
        answered.add(result.request_id)
        if result.request_id not in known:
            found.report("diagnosticresults", "orphan: its request is gone", result.id, result.created_at)
    for request_id, created_at in completed.items():
        if request_id not in answered:
            found.report("diagnosticrequests", "completed without a result", request_id, created_at)
    for collection, by_day in days.items():
        found.counts_24h[collection] = by_day[0]
        past = [by_day[day] for day in range(1, min(baseline_days, max(by_day, default=0)) + 1)]
        mean = sum(past) / len(past) if past else None
        found.baseline[collection] = baseline if baseline is not None else mean
        expected = found.baseline[collection]
        if expected and by_day[0] < expected * min_ratio:
            problem = f"{by_day[0]} in 24 h is below {min_ratio:g} x baseline {expected:g}"
            found.wrong[f"{collection}: {problem}"] += 1
    return found


def _common(
    found: Findings, days: dict[str, Counter[int]], name: str, row: RequestRow | ResultRow, at: datetime
) -> None:
    found.totals[name] += 1
    for problem in problems(row):
        found.report(name, problem, row.id, row.created_at)
    try:
        created = datetime.fromisoformat(row.created_at)
        age = at - created
    except (ValueError, TypeError):
        found.report(name, "created_at is no UTC time", row.id, _text(at))
        return
    if age < timedelta(minutes=-1):
        found.report(name, "created_at is in the future", row.id, row.created_at)
    days[name][max(0, age // timedelta(days=1))] += 1


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
