"""The control store in a SQLite file of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from ai_diagnostics import control
from ai_diagnostics.control import ControlState, Value
from ai_diagnostics.store import StoreError, Traffic
from ai_diagnostics.store.sqlite_file import SqliteFile

_TABLES = (
    "CREATE TABLE IF NOT EXISTS control (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER, settings TEXT)",
    "CREATE TABLE IF NOT EXISTS processes (pod TEXT, pid INTEGER, seen_at REAL, document TEXT, PRIMARY KEY (pod, pid))",
    "CREATE TABLE IF NOT EXISTS traffic (bucket INTEGER, pod TEXT, pid INTEGER, total INTEGER, errors INTEGER,"
    " refused INTEGER, ai_total INTEGER, ai_failures INTEGER, PRIMARY KEY (bucket, pod, pid))",
)
_ADD = (
    "INSERT INTO traffic (bucket, total, errors, refused, ai_total, ai_failures, pod, pid)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (bucket, pod, pid) DO UPDATE SET total = total + excluded.total,"
    " errors = errors + excluded.errors, refused = refused + excluded.refused,"
    " ai_total = ai_total + excluded.ai_total, ai_failures = ai_failures + excluded.ai_failures"
)
_KEEP_S, _KEEP_REPORTS_S = 86400, 3600


class SqliteControl:
    """`ControlStore` in one file; see the port for the duties."""

    kind = "sqlite"

    def __init__(self, path: Path, initial: Mapping[str, Value] | None, timeout_s: float) -> None:
        self.file = SqliteFile(path, create=initial is not None, timeout_s=timeout_s)
        if initial is None:
            return
        first = control.initial_state(initial)
        with self.file.transaction() as db:
            for statement in _TABLES:
                db.execute(statement)
            row = (first.version, json.dumps(control.to_json(first)))
            db.execute("INSERT OR IGNORE INTO control (id, version, settings) VALUES (1, ?, ?)", row)

    def read(self) -> ControlState:
        """See the port."""
        with self.file.connection() as db:
            return _state(db.execute("SELECT version, settings FROM control").fetchone())

    def change(self, name: str, value: Value, *, actor: str, reason: str) -> ControlState:
        """See the port."""
        with self.file.transaction() as db:
            before = _state(db.execute("SELECT version, settings FROM control").fetchone())
            after = before.changed(name, value, actor=actor, reason=reason)
            row = (after.version, json.dumps(control.to_json(after)))
            db.execute("UPDATE control SET version = ?, settings = ?", row)
            return after

    def report(self, pod: str, pid: int, document: Mapping[str, object]) -> None:
        """See the port."""
        at = time.time()
        with self.file.transaction() as db:
            row = (pod, pid, at, json.dumps(document))
            db.execute("INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?)", row)
            db.execute("DELETE FROM processes WHERE seen_at < ?", (at - _KEEP_REPORTS_S,))

    def forget(self, pod: str, pid: int) -> None:
        """See the port."""
        with self.file.connection() as db:
            db.execute("DELETE FROM processes WHERE pod = ? AND pid = ?", (pod, pid))

    def processes(self) -> Sequence[Mapping[str, object]]:
        """See the port."""
        with self.file.connection() as db:
            rows = db.execute("SELECT document FROM processes ORDER BY pod, pid").fetchall()
        return [json.loads(row[0]) for row in rows]

    def add_traffic(self, pod: str, pid: int, rows: Sequence[Traffic]) -> None:
        """See the port."""
        if not rows:
            return
        with self.file.transaction() as db:
            db.executemany(_ADD, [(*astuple(row), pod, pid) for row in rows])
            db.execute("DELETE FROM traffic WHERE bucket < ?", (time.time() - _KEEP_S,))

    def traffic(self, since: float) -> Traffic:
        """See the port."""
        sums = ", ".join(
            f"coalesce(sum({name}), 0)" for name in ("total", "errors", "refused", "ai_total", "ai_failures")
        )
        with self.file.connection() as db:
            row = db.execute(f"SELECT {sums} FROM traffic WHERE bucket >= ?", (since,)).fetchone()  # noqa: S608
        return Traffic(int(since), *row)


def _state(row: tuple[int, str] | None) -> ControlState:
    if row is None:
        raise StoreError("the control store is empty: it was never made by the service or by `migrate up`")
    try:
        return control.from_json(row[0], json.loads(row[1]))
    except (ValueError, TypeError) as error:
        raise StoreError(f"the control store is damaged: {type(error).__name__}") from error
