"""An event as a row, the same in every store."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from codeblue.model.event import Event

COLUMNS = ("service", "seq", "at", "kind", "actor", "run", "incident", "data", "previous", "hash")


def to_row(event: Event) -> tuple[Any, ...]:
    """The values in the order of `COLUMNS`; time and data as text, so that what was hashed is what is kept."""
    at = event.at.isoformat(timespec="microseconds")
    data = json.dumps(event.data, sort_keys=True, ensure_ascii=False, allow_nan=False)
    place = (event.service, event.seq, at)
    return (*place, event.kind, event.actor, event.run, event.incident, data, event.previous, event.hash)


def from_row(row: Sequence[Any]) -> Event:
    """The event of a row. Raises ValueError for a row that is none of ours."""
    service, seq, at, kind, actor, run, incident, data, previous, hash_ = row
    when = datetime.fromisoformat(at).astimezone(UTC)
    return Event(service, int(seq), when, kind, actor, run, incident, json.loads(data), previous, hash_)


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
