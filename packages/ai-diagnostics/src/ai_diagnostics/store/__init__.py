"""Storage ports: the data store and the control store, and what both owe to their callers.

Both are synchronous and safe to use from several threads and, opened after a fork, from several processes. The server
calls them in threads, the operator commands directly. Adapters: `sqlite`, `mongo`; all pass one contract suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ai_diagnostics.control import ControlState, Value
from ai_diagnostics.documents import RequestRow, ResultRow, Status
from ai_diagnostics.schema import Applied
from ai_diagnostics.settings import Storage


class StoreError(Exception):
    """A store said no, for good."""


class StoreUnreachable(StoreError):
    """A store cannot be reached now, or the file is not there; temporary. Nothing was changed."""


class WriteRefused(StoreError):
    """Writing is not allowed now: read-only mode is on."""


class WriteUncertain(StoreError):
    """The control store cannot say whether writing is allowed, so nothing is written (fail closed)."""


@dataclass(frozen=True)
class Traffic:
    """Requests of one process in one bucket of `BUCKET_S` seconds; `bucket` is the bucket's start, Unix seconds.

    `refused` are answers of a mode (maintenance, read-only): they are in `total` and not in `errors`.
    """

    bucket: int
    total: int = 0
    errors: int = 0
    refused: int = 0
    ai_total: int = 0
    ai_failures: int = 0


BUCKET_S = 5


class DataStore(Protocol):
    """The collections `diagnosticrequests` and `diagnosticresults`, and their schema."""

    kind: str

    def ping(self) -> None:
        """Prove that the server answers; raises StoreUnreachable."""

    def write_probe(self, key: str) -> None:
        """Write a marker, read it back, remove it; raises StoreUnreachable or StoreError."""

    def add_request(self, row: RequestRow) -> None:
        """Store a request; its id is new."""

    def finish(self, request_id: str, status: Status, reason: str | None, result: ResultRow | None) -> None:
        """Set the status of a request and store its result, the result first (or both at once)."""

    def request(self, request_id: str) -> RequestRow | None:
        """One request, or None."""

    def result_of(self, request_id: str) -> ResultRow | None:
        """The result of a request, or None."""

    def remove(self, request_id: str) -> int:
        """Remove a *synthetic* request and its results; returns how many documents went. Others stay."""

    def requests(self) -> Iterator[RequestRow]:
        """All requests, oldest first."""

    def results(self) -> Iterator[ResultRow]:
        """All results, oldest first."""

    def schema_version(self) -> int:
        """The version of the schema; 0 when nothing was ever migrated."""

    def history(self) -> Sequence[Applied]:
        """The migrations in force, in order."""

    def migrate(self, to: int) -> Sequence[int]:
        """Go up or down to a version, one step after the other; returns the versions passed through.

        Idempotent; two callers at once exclude each other. Raises StoreError for a version that is not known.
        """

    def drift(self) -> Sequence[str]:
        """How the real schema differs from what its version should have; empty when it does not."""


class ControlStore(Protocol):
    """Flags, modes, the reports of the worker processes, and their counts of requests."""

    kind: str

    def read(self) -> ControlState:
        """The state now; raises StoreUnreachable."""

    def change(self, name: str, value: Value, *, actor: str, reason: str) -> ControlState:
        """Set one value, atomically; returns the new state."""

    def report(self, pod: str, pid: int, document: Mapping[str, object]) -> None:
        """Replace the report of one process; the document has `seen_at` (Unix seconds). Others go after an hour."""

    def forget(self, pod: str, pid: int) -> None:
        """Remove the report of a process that has ended."""

    def processes(self) -> Sequence[Mapping[str, object]]:
        """All reports, also of processes that no longer send any: the reader judges by `seen_at`."""

    def add_traffic(self, pod: str, pid: int, rows: Sequence[Traffic]) -> None:
        """Add counts; rows of the same bucket add up. Old buckets are dropped after a day."""

    def traffic(self, since: float) -> Traffic:
        """The sum of all buckets that begin at or after `since` (Unix seconds)."""


def open_data(storage: Storage, *, create: bool = False, timeout_s: float = 3.0) -> DataStore:
    """Open the data store that the settings name; `create` lets SQLite make its file.

    Without `create` a file that is not there is an error: an operator with a wrong path must not be answered by a
    new, empty database.
    """
    if storage.mongodb_uri is not None:
        from ai_diagnostics.store.mongo import MongoData

        return MongoData(storage.mongodb_uri, storage.mongodb_database, timeout_s)
    from ai_diagnostics.store.sqlite import SqliteData

    return SqliteData(storage.sqlite_path, create=create, timeout_s=timeout_s)


def open_control(
    storage: Storage, *, initial: Mapping[str, Value] | None = None, timeout_s: float = 3.0
) -> ControlStore:
    """Open the control store; with `initial` it is made where there is none, and begins with these values."""
    if storage.mongodb_uri is not None:
        from ai_diagnostics.store.mongo_control import MongoControl

        return MongoControl(storage.mongodb_uri, storage.control_database, initial, timeout_s)
    from ai_diagnostics.store.sqlite_control import SqliteControl

    return SqliteControl(storage.control_path, initial, timeout_s)
