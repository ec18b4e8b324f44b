"""An event as a row, the same in every store."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from codeblue.model.errors import Damaged
from codeblue.model.event import Event
from codeblue.record.chain import broken_among

COLUMNS = ("service", "seq", "at", "kind", "actor", "run", "incident", "data", "previous", "hash")


def to_row(event: Event) -> tuple[Any, ...]:
    """The values in the order of `COLUMNS`; time and data as text, so that what was hashed is what is kept."""
    at = event.at.isoformat(timespec="microseconds")
    data = json.dumps(event.data, sort_keys=True, ensure_ascii=False, allow_nan=False)
    place = (event.service, event.seq, at)
    return (*place, event.kind, event.actor, event.run, event.incident, data, event.previous, event.hash)


def from_rows(rows: Iterable[Sequence[Any]]) -> list[Event]:
    """The events of a query, each with its hash computed anew: what was altered is never told as if it were true (B8).

    Raises:
        Damaged: one of them was altered, is not chained to the one before it, or is none that we wrote.
    """
    events: list[Event] = []
    try:
        for row in rows:
            events.append(from_row(row))
    except Damaged:
        _refuse_broken(events)  # of several that are broken the first is named
        raise
    _refuse_broken(events)
    return events


def _refuse_broken(events: Sequence[Event]) -> None:
    broken = broken_among(events)
    if broken:
        raise Damaged(broken)


def from_row(row: Sequence[Any]) -> Event:
    """The event of a row.

    Raises:
        Damaged: nobody of ours wrote such a row. That is said of the row, because a query has many.
    """
    service, seq, at, kind, actor, run, incident, data, previous, hash_ = row
    what = f"event {seq} ({kind})" if isinstance(seq, int) and isinstance(kind, str) else "an event without a number"
    if not all(isinstance(value, str) for value in (service, at, kind, actor, run, incident, data, previous, hash_)):
        raise Damaged(f"{what} has a value that is no text")
    try:
        when = datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Damaged(f"{what} has no time that can be read") from None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise Damaged(f"{what} has data that is not JSON") from None
    if not isinstance(content, dict) or not isinstance(seq, int):
        raise Damaged(f"{what} has data of another kind than an event has")
    return Event(service, seq, when, kind, actor, run, incident, content, previous, hash_)


def where(after: int, run: str, incident: str, kinds: Collection[str], mark: str) -> tuple[str, list[Any]]:
    """The condition of `RecordStore.read` and its values; `mark` is the driver's placeholder."""
    parts = [f"service = {mark}", f"seq > {mark}"]
    values: list[Any] = [after]
    if run:
        parts.append(f"run = {mark}")
        values.append(run)
    if incident:
        parts.append(f"incident = {mark}")
        values.append(incident)
    if kinds:
        parts.append(f"kind IN ({', '.join([mark] * len(kinds))})")
        values += kinds
    return " AND ".join(parts), values
