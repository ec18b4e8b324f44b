"""What is stored: a diagnostic request and its result, with a digest that shows a flipped payload. No I/O here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Body = dict[str, Json]
Status = Literal["received", "completed", "not_processed", "failed"]
STATUSES: tuple[Status, ...] = ("received", "completed", "not_processed", "failed")


@dataclass(frozen=True)
class RequestRow:
    """A document of `diagnosticrequests`.

    Attributes:
        created_at: ISO 8601, UTC, milliseconds; sorts as text.
        reason: why the status is what it is; a code, never free text.
        body: what was asked: patient_id, symptoms, labs, medications, requested_by.
        digest: SHA-256 of the canonical body.
    """

    id: str
    created_at: str
    synthetic: bool
    status: Status
    reason: str | None
    body: Body
    digest: str


@dataclass(frozen=True)
class ResultRow:
    """A document of `diagnosticresults`; `provenance` is stored from schema version 3 on."""

    id: str
    request_id: str
    created_at: str
    body: Body
    digest: str
    provenance: Body | None


def digest(body: Mapping[str, Json]) -> str:
    """SHA-256 (hex) of the canonical JSON of a body."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


REQUEST_FIELDS = {"patient_id": str, "symptoms": list, "labs": list, "medications": list, "requested_by": str}
RESULT_FIELDS = {"differential": list, "warnings": list, "summary": str, "inputs": dict}


def problems(row: RequestRow | ResultRow) -> list[str]:
    """What is wrong with one stored document, in words without its content; empty when it is whole (R31)."""
    fields = REQUEST_FIELDS if isinstance(row, RequestRow) else RESULT_FIELDS
    found = [
        f"{name} is missing" if name not in row.body else f"{name} is no {kind.__name__}"
        for name, kind in fields.items()
        if not isinstance(row.body.get(name), kind)
    ]
    if digest(row.body) != row.digest:
        found.append("digest differs from the body")
    if isinstance(row, RequestRow) and row.status not in STATUSES:
        found.append("unknown status")
    return found
