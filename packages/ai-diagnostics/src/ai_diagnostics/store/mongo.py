"""The data store in MongoDB.

A result is written before its request is marked completed, because no transaction is relied on: after a crash between
the two the request says `received`, never `completed` without a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from ai_diagnostics.documents import RequestRow, ResultRow, Status
from ai_diagnostics.schema import Applied
from ai_diagnostics.secret import Secret
from ai_diagnostics.store import StoreError, mongo_migrations
from ai_diagnostics.store.mongo_client import Document, connect, translated


class MongoData:
    """`DataStore` in one database; see the port for the duties."""

    kind = "mongodb"

    def __init__(self, uri: Secret, database: str, timeout_s: float) -> None:
        self.db = connect(uri, timeout_s)[database]

    def ping(self) -> None:
        """See the port."""
        with translated():
            self.db.command("ping")

    def write_probe(self, key: str) -> None:
        """See the port."""
        with translated():
            probes = self.db["serviceprobes"]
            probes.replace_one({"_id": key}, {"_id": key}, upsert=True)
            if probes.find_one({"_id": key}) is None:
                raise StoreError("the write probe was not read back")
            probes.delete_one({"_id": key})

    def add_request(self, row: RequestRow) -> None:
        """See the port."""
        document = {
            "_id": row.id,
            "createdAt": _time(row.created_at),
            "synthetic": row.synthetic,
            "status": row.status,
            "reason": row.reason,
            "body": row.body,
            "digest": row.digest,
        }
        with translated():
            self.db["diagnosticrequests"].insert_one(document)

    def finish(self, request_id: str, status: Status, reason: str | None, result: ResultRow | None) -> None:
        """See the port."""
        with translated():
            if result is not None:
                document: Document = {
                    "_id": result.id,
                    "requestId": result.request_id,
                    "createdAt": _time(result.created_at),
                    "body": result.body,
                    "digest": result.digest,
                }
                if mongo_migrations.version(self.db) >= 3:
                    document["provenance"] = result.provenance
                self.db["diagnosticresults"].insert_one(document)
            change = {"$set": {"status": status, "reason": reason}}
            if self.db["diagnosticrequests"].update_one({"_id": request_id}, change).matched_count != 1:
                raise StoreError("the request to finish is gone")

    def request(self, request_id: str) -> RequestRow | None:
        """See the port."""
        with translated():
            found = self.db["diagnosticrequests"].find_one({"_id": request_id})
        return None if found is None else _request(found)

    def result_of(self, request_id: str) -> ResultRow | None:
        """See the port."""
        with translated():
            found = self.db["diagnosticresults"].find_one({"requestId": request_id}, sort=[("createdAt", -1)])
        return None if found is None else _result(found)

    def remove(self, request_id: str) -> int:
        """See the port."""
        with translated():
            if self.db["diagnosticrequests"].find_one({"_id": request_id, "synthetic": True}) is None:
                return 0
            gone = self.db["diagnosticresults"].delete_many({"requestId": request_id}).deleted_count
            return gone + self.db["diagnosticrequests"].delete_one({"_id": request_id}).deleted_count

    def requests(self) -> Iterator[RequestRow]:
        """See the port."""
        with translated():
            yield from map(_request, self.db["diagnosticrequests"].find().sort([("createdAt", 1), ("_id", 1)]))

    def results(self) -> Iterator[ResultRow]:
        """See the port."""
        with translated():
            yield from map(_result, self.db["diagnosticresults"].find().sort([("createdAt", 1), ("_id", 1)]))

    def schema_version(self) -> int:
        """See the port."""
        with translated():
            return mongo_migrations.version(self.db)

    def history(self) -> Sequence[Applied]:
        """See the port."""
        with translated():
            return mongo_migrations.history(self.db)

    def migrate(self, to: int) -> Sequence[int]:
        """See the port; a lock document excludes a second caller, each step can be repeated after a crash."""
        with translated():
            return mongo_migrations.migrate(self.db, to)

    def drift(self) -> Sequence[str]:
        """See the port."""
        with translated():
            return mongo_migrations.drift(self.db)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(value: object) -> str:
    """A BSON date as ISO 8601; anything else as it is, for the integrity check to find."""
    if not isinstance(value, datetime):
        return str(value)
    return value.replace(tzinfo=UTC).isoformat(timespec="milliseconds")


def _request(document: Document) -> RequestRow:
    body = document.get("body")
    return RequestRow(
        id=str(document["_id"]),
        created_at=_text(document.get("createdAt")),
        synthetic=document.get("synthetic") is True,
        status=document.get("status", ""),
        reason=document.get("reason"),
        body=body if isinstance(body, dict) else {},
        digest=str(document.get("digest")),
    )


def _result(document: Document) -> ResultRow:
    body = document.get("body")
    return ResultRow(
        id=str(document["_id"]),
        request_id=str(document.get("requestId")),
        created_at=_text(document.get("createdAt")),
        body=body if isinstance(body, dict) else {},
        digest=str(document.get("digest")),
        provenance=document.get("provenance"),
    )
