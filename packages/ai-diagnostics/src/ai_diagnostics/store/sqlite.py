"""The data store in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from ai_diagnostics.documents import Body, RequestRow, ResultRow, Status
from ai_diagnostics.schema import Applied
from ai_diagnostics.store import StoreError, sqlite_migrations
from ai_diagnostics.store.sqlite_file import SqliteFile

_REQUEST = "id, created_at, synthetic, status, reason, body, digest"


class SqliteData:
    """`DataStore` in one file; see the port for the duties."""

    kind = "sqlite"

    def __init__(self, path: Path, *, create: bool, timeout_s: float) -> None:
        self.file = SqliteFile(path, create=create, timeout_s=timeout_s)

    def ping(self) -> None:
        """See the port."""
        with self.file.connection() as db:
            db.execute("SELECT count(*) FROM sqlite_master")

    def write_probe(self, key: str) -> None:
        """See the port."""
        with self.file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO serviceprobes (id) VALUES (?)", (key,))
            if db.execute("SELECT 1 FROM serviceprobes WHERE id = ?", (key,)).fetchone() is None:
                raise StoreError("the write probe was not read back")
            db.execute("DELETE FROM serviceprobes WHERE id = ?", (key,))

    def add_request(self, row: RequestRow) -> None:
        """See the port."""
        values = (row.id, row.created_at, row.synthetic, row.status, row.reason, json.dumps(row.body), row.digest)
        with self.file.transaction() as db:
            db.execute(f"INSERT INTO diagnosticrequests ({_REQUEST}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608

    def finish(self, request_id: str, status: Status, reason: str | None, result: ResultRow | None) -> None:
        """See the port; both in one transaction."""
        with self.file.transaction() as db:
            if result is not None:
                values = [result.id, result.request_id, result.created_at, json.dumps(result.body), result.digest]
                columns = "id, request_id, created_at, body, digest"
                if sqlite_migrations.version(db) >= 3:
                    columns += ", provenance"
                    values.append(json.dumps(result.provenance))
                marks = ", ".join("?" * len(values))
                db.execute(f"INSERT INTO diagnosticresults ({columns}) VALUES ({marks})", values)  # noqa: S608
            sql = "UPDATE diagnosticrequests SET status = ?, reason = ? WHERE id = ?"
            if db.execute(sql, (status, reason, request_id)).rowcount != 1:
                raise StoreError("the request to finish is gone")

    def request(self, request_id: str) -> RequestRow | None:
        """See the port."""
        with self.file.connection() as db:
            found = db.execute(f"SELECT {_REQUEST} FROM diagnosticrequests WHERE id = ?", (request_id,))  # noqa: S608
            return next((_request(row) for row in found), None)

    def result_of(self, request_id: str) -> ResultRow | None:
        """See the port."""
        with self.file.connection() as db:
            return next(_results(db, "WHERE request_id = ? ORDER BY created_at DESC", (request_id,)), None)

    def remove(self, request_id: str) -> int:
        """See the port."""
        with self.file.transaction() as db:
            found = db.execute("SELECT 1 FROM diagnosticrequests WHERE id = ? AND synthetic = 1", (request_id,))
            if found.fetchone() is None:
                return 0
            gone = db.execute("DELETE FROM diagnosticresults WHERE request_id = ?", (request_id,)).rowcount
            return gone + db.execute("DELETE FROM diagnosticrequests WHERE id = ?", (request_id,)).rowcount

    def requests(self) -> Iterator[RequestRow]:
        """See the port."""
        with self.file.connection() as db:
            yield from map(_request, db.execute(f"SELECT {_REQUEST} FROM diagnosticrequests ORDER BY created_at, id"))  # noqa: S608

    def results(self) -> Iterator[ResultRow]:
        """See the port."""
        with self.file.connection() as db:
            yield from _results(db, "ORDER BY created_at, id", ())

    def schema_version(self) -> int:
        """See the port."""
        with self.file.connection() as db:
            return sqlite_migrations.version(db)

    def history(self) -> Sequence[Applied]:
        """See the port."""
        with self.file.connection() as db:
            return sqlite_migrations.history(db)

    def migrate(self, to: int) -> Sequence[int]:
        """See the port; all steps in one transaction."""
        with self.file.transaction() as db:
            return sqlite_migrations.migrate(db, to)

    def drift(self) -> Sequence[str]:
        """See the port."""
        with self.file.connection() as db:
            return sqlite_migrations.drift(db)


def _load(text: object) -> Body:
    """A body as stored; what is no JSON object becomes an empty body, whose digest then differs."""
    try:
        found = json.loads(cast("str", text))
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _request(row: tuple[object, ...]) -> RequestRow:
    request_id, created_at, synthetic, status, reason, body, digest = row
    return RequestRow(
        id=str(request_id),
        created_at=str(created_at),
        synthetic=bool(synthetic),
        status=cast("Status", status),
        reason=None if reason is None else str(reason),
        body=_load(body),
        digest=str(digest),
    )


def _results(db: sqlite3.Connection, tail: str, arguments: tuple[str, ...]) -> Iterator[ResultRow]:
    provenance = "provenance" if sqlite_migrations.version(db) >= 3 else "NULL"
    sql = f"SELECT id, request_id, created_at, body, digest, {provenance} FROM diagnosticresults {tail}"  # noqa: S608
    for result_id, request_id, created_at, body, digest, origin in db.execute(sql, arguments):
        source = None if origin is None else _load(origin)
        yield ResultRow(result_id, request_id, created_at, _load(body), digest, source)
