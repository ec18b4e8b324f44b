"""Counts requests in buckets of a few seconds, for the error rate that operators ask for without Prometheus (R46)."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from ai_diagnostics.store import BUCKET_S, Traffic


class TrafficCount:
    """Counts of this process since the last `take`; used from the event loop and from the pulse thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[int, Traffic] = {}

    def request(self, status: int, *, refused: bool) -> None:
        """One answered API request; a server error counts as such unless a mode refused the request."""
        error = status >= 500 and not refused
        self._add(Traffic(_bucket(), total=1, errors=int(error), refused=int(refused)))

    def ai(self, *, failed: bool) -> None:
        """One call of the model."""
        self._add(Traffic(_bucket(), ai_total=1, ai_failures=int(failed)))

    def take(self) -> Sequence[Traffic]:
        """Everything counted since the last time; the caller stores it, or gives it back with `put_back`."""
        with self._lock:
            rows, self._buckets = list(self._buckets.values()), {}
        return rows

    def put_back(self, rows: Sequence[Traffic]) -> None:
        """Count rows again that could not be stored."""
        for row in rows:
            self._add(row)

    def _add(self, row: Traffic) -> None:
        with self._lock:
            old = self._buckets.get(row.bucket, Traffic(row.bucket))
            self._buckets[row.bucket] = replace(
                old,
                total=old.total + row.total,
                errors=old.errors + row.errors,
                refused=old.refused + row.refused,
                ai_total=old.ai_total + row.ai_total,
                ai_failures=old.ai_failures + row.ai_failures,
            )


def _bucket() -> int:
    now = int(time.time())
    return now - now % BUCKET_S
