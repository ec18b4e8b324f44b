"""One entry of the record: append-only, hash-chained (B8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: JSON data of an event: typed fields, references and digests. Never patient data, never a secret (B9).
Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before the record gave it its place in the chain.

    Attributes:
        kind: dotted, past tense: "run.started", "step.applied", "incident.opened".
        actor: who caused it: "person:alice@laptop", "watch", "engine".
        run, incident: what it belongs to, or "".
    """

    kind: str
    actor: str
    data: Data
    run: str = ""
    incident: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """An event in its place: `hash` covers everything else including `previous`."""

    service: str
    seq: int
    at: datetime
    kind: str
    actor: str
    run: str
    incident: str
    data: Data
    previous: str
    hash: str
