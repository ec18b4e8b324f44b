"""The schema's versions, and what they mean to this code. The steps themselves are in `store/`. No I/O here.

1. `diagnosticrequests`, `diagnosticresults`, `serviceprobes`
2. indexes by time and by request
3. `provenance` of a result (model asked, model that answered, prompt and guardrail version) as a field of its own
"""

from __future__ import annotations

from dataclasses import dataclass

LATEST = 3
OLDEST_SUPPORTED = 2  # what this code still reads and writes: one version back, so that a rollback finds its schema
NAMES = {1: "collections", 2: "indexes", 3: "provenance"}


@dataclass(frozen=True)
class Applied:
    """One migration in the database's own history; `checksum` is of the step that was run."""

    version: int
    name: str
    checksum: str
    applied_at: str


def supported(version: int) -> bool:
    """Whether this code can work on a database of that version."""
    return OLDEST_SUPPORTED <= version <= LATEST
