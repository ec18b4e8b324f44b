"""The hash chain (B8): an event's hash covers its content and the hash before it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import rfc8785

from codeblue.model.event import Draft, Event

#: What the first event of a chain is chained to.
GENESIS = "0" * 64


def seal(draft: Draft, *, service: str, seq: int, at: datetime, previous: str) -> Event:
    """The event at its place in the chain.

    Args:
        at: aware time; kept in UTC with microseconds.
        previous: hash of the event before it, or `GENESIS`.
    """
    event = Event(
        service=service,
        seq=seq,
        at=at.astimezone(UTC),
        kind=draft.kind,
        actor=draft.actor,
        run=draft.run,
        incident=draft.incident,
        data=plain(draft.data),
        previous=previous,
        hash="",
    )
    return Event(**{**_shallow(event), "hash": digest(event)})


def digest(event: Event) -> str:
    """SHA-256 over the canonical JSON (RFC 8785) of everything but the hash itself."""
    content = {**_shallow(event), "at": event.at.isoformat(timespec="microseconds")}
    del content["hash"]
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def broken_at(events: Iterable[Event], *, previous: str = GENESIS, seq: int = 0) -> str | None:
    """Where a chain is broken, in one sentence; None when it is whole.

    Args:
        previous, seq: hash and number of the event before the first one given.
    """
    for event in events:
        if event.seq != seq + 1:
            return f"event {seq + 1} is missing: after {seq} comes {event.seq}"
        if event.previous != previous:
            return f"event {event.seq} is not chained to the event before it"
        altered = altered_in(event)
        if altered:
            return altered
        previous, seq = event.hash, event.seq
    return None


def altered_in(event: Event) -> str | None:
    """That an event is not what was hashed, in one sentence; None when it is. Needs no other event."""
    try:
        unchanged = digest(event) == event.hash
    except (ValueError, RecursionError):  # what has no canonical form was never hashed
        unchanged = False
    return None if unchanged else f"event {event.seq} ({event.kind}) was changed after it was written"


def broken_among(events: Iterable[Event]) -> str | None:
    """As `broken_at` for a selection that skips events: only neighbours are seen to be chained to each other."""
    before: Event | None = None
    for event in events:
        if before is not None and event.seq == before.seq + 1 and event.previous != before.hash:
            return f"event {event.seq} is not chained to the event before it"
        altered = altered_in(event)
        if altered:
            return altered
        before = event
    return None


def plain(value: Any) -> Any:
    """JSON values of our nouns: dataclasses by field, enumerations by value, times in ISO 8601 UTC.

    Raises:
        TypeError: something that has no place in the record.
    """
    match value:
        case Enum():
            return value.value
        case None | str() | bool() | int() | float():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case Mapping():
            return {str(k): plain(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    raise TypeError(f"{type(value).__name__} cannot be recorded")


def _shallow(event: Event) -> dict[str, Any]:
    return {f.name: getattr(event, f.name) for f in fields(event)}


def digest_of(value: Any) -> str:
    """SHA-256 over the canonical JSON of a plain value."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()
