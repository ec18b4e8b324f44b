"""The schema's steps in SQLite, up and down, and the proof that a database has what its version says (R18, R60)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ai_diagnostics.control import now
from ai_diagnostics.schema import LATEST, NAMES, Applied
from ai_diagnostics.store import StoreError


@dataclass(frozen=True)
class Step:
    """One version: the statements that lead to it, and those that lead back."""

    up: tuple[str, ...]
    down: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """SHA-256 of the statements."""
        return hashlib.sha256("\n".join((*self.up, "--", *self.down)).encode()).hexdigest()


STEPS = {
    1: Step(
        up=(
            "CREATE TABLE diagnosticrequests (id TEXT PRIMARY KEY, created_at TEXT NOT NULL,"
            " synthetic INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, body TEXT NOT NULL, digest TEXT NOT NULL)",
            "CREATE TABLE diagnosticresults (id TEXT PRIMARY KEY, request_id TEXT NOT NULL"
            " REFERENCES diagnosticrequests (id), created_at TEXT NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL)",
            "CREATE TABLE serviceprobes (id TEXT PRIMARY KEY)",
        ),
        down=("DROP TABLE diagnosticresults", "DROP TABLE diagnosticrequests", "DROP TABLE serviceprobes"),
    ),
    2: Step(
        up=(
            "CREATE INDEX requests_by_time ON diagnosticrequests (created_at)",
            "CREATE INDEX results_by_time ON diagnosticresults (created_at)",
            "CREATE INDEX results_by_request ON diagnosticresults (request_id)",
        ),
        down=("DROP INDEX requests_by_time", "DROP INDEX results_by_time", "DROP INDEX results_by_request"),
    ),
    3: Step(
        up=("ALTER TABLE diagnosticresults ADD COLUMN provenance TEXT",),
        down=("ALTER TABLE diagnosticresults DROP COLUMN provenance",),
    ),
}

_HISTORY = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
)


def version(db: sqlite3.Connection) -> int:
    """The schema version; 0 without a history."""
    return max((item.version for item in history(db)), default=0)


def history(db: sqlite3.Connection) -> list[Applied]:
    """The migrations in force, in order."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").fetchone() is None:
        return []
    rows = db.execute("SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version")
    return [Applied(*row) for row in rows]


def migrate(db: sqlite3.Connection, to: int) -> list[int]:
    """Walk to a version inside the caller's transaction; returns the versions reached, in order."""
    if not 0 <= to <= LATEST:
        raise StoreError(f"there is no schema version {to}; known are 0 to {LATEST}")
    db.execute(_HISTORY)
    passed = []
    at = version(db)
    if at > LATEST:
        raise StoreError(f"the database has schema version {at}, which this release ({LATEST}) does not know")
    while at != to:
        if at < to:
            at += 1
            for statement in STEPS[at].up:
                db.execute(statement)
            values = (at, NAMES[at], STEPS[at].checksum, now())
            db.execute("INSERT INTO schema_migrations VALUES (?, ?, ?, ?)", values)
        else:
            for statement in STEPS[at].down:
                db.execute(statement)
            db.execute("DELETE FROM schema_migrations WHERE version = ?", (at,))
            at -= 1
        passed.append(at)
    return passed


def drift(db: sqlite3.Connection) -> list[str]:
    """Compare with a database that is built afresh, in memory, to the same version."""
    applied = history(db)
    found = [f"version {n} is missing from the history" for n in range(1, version(db)) if n not in _versions(applied)]
    for item in applied:
        if item.version not in STEPS:
            found.append(f"version {item.version} is unknown to this release")
        elif item.checksum != STEPS[item.version].checksum:
            found.append(f"version {item.version} was applied with other statements")
    if found or not applied:
        return found or ["nothing was ever migrated (schema version 0)"]
    fresh = sqlite3.connect(":memory:")
    try:
        migrate(fresh, version(db))
        wanted, real = _shape(fresh), _shape(db)
    finally:
        fresh.close()
    found += [f"{name} is missing" for name in sorted(wanted.keys() - real.keys())]
    found += [f"{name} is not part of the schema" for name in sorted(real.keys() - wanted.keys())]
    found += [f"{name} has other columns" for name in sorted(wanted.keys() & real.keys()) if wanted[name] != real[name]]
    return found


def _versions(applied: Sequence[Applied]) -> set[int]:
    return {item.version for item in applied}


def _shape(db: sqlite3.Connection) -> dict[str, object]:
    """Tables with their columns, and indexes with theirs."""
    shape: dict[str, object] = {}
    rows = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    for kind, name in rows:
        if kind == "table":
            shape[f"table {name}"] = sorted(
                row[:4] for row in db.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name,))
            )
        else:
            shape[f"{kind} {name}"] = [row[0] for row in db.execute("SELECT name FROM pragma_index_info(?)", (name,))]
    return shape
