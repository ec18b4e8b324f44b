"""The schema's steps in MongoDB, up and down, and the proof that a database has what its version says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from ai_diagnostics.control import now
from ai_diagnostics.schema import LATEST, NAMES, Applied
from ai_diagnostics.store import StoreError
from ai_diagnostics.store.mongo_client import Document

Db = Database[Document]
COLLECTIONS = ("diagnosticrequests", "diagnosticresults", "serviceprobes")
INDEXES = (
    ("diagnosticrequests", "requests_by_time", "createdAt"),
    ("diagnosticresults", "results_by_time", "createdAt"),
    ("diagnosticresults", "results_by_request", "requestId"),
)
_LOCK_FOR = timedelta(minutes=5)


@dataclass(frozen=True)
class Step:
    """One version; `meaning` stands for the code in the checksum, so change it with the code."""

    meaning: str
    up: Callable[[Db], None]
    down: Callable[[Db], None]

    @property
    def checksum(self) -> str:
        """SHA-256 of the meaning."""
        return hashlib.sha256(self.meaning.encode()).hexdigest()


def _collections_up(db: Db) -> None:
    there = set(db.list_collection_names())
    for name in COLLECTIONS:
        if name not in there:
            db.create_collection(name)


def _collections_down(db: Db) -> None:
    for name in COLLECTIONS:
        db.drop_collection(name)


def _indexes_up(db: Db) -> None:
    for collection, name, key in INDEXES:
        db[collection].create_index([(key, 1)], name=name)


def _indexes_down(db: Db) -> None:
    for collection, name, _key in INDEXES:
        if name in db[collection].index_information():
            db[collection].drop_index(name)


def _provenance_up(db: Db) -> None:
    db["diagnosticresults"].update_many({"provenance": {"$exists": False}}, {"$set": {"provenance": None}})


def _provenance_down(db: Db) -> None:
    db["diagnosticresults"].update_many({"provenance": {"$exists": True}}, {"$unset": {"provenance": ""}})


STEPS = {
    1: Step("create " + ", ".join(COLLECTIONS), _collections_up, _collections_down),
    2: Step("index " + ", ".join(name for _, name, _ in INDEXES), _indexes_up, _indexes_down),
    3: Step("diagnosticresults.provenance, null where unknown", _provenance_up, _provenance_down),
}


def version(db: Db) -> int:
    """The schema version; 0 without a history."""
    return max((item.version for item in history(db)), default=0)


def history(db: Db) -> list[Applied]:
    """The migrations in force, in order."""
    rows = db["schema_migrations"].find().sort("_id", 1)
    return [Applied(row["_id"], row["name"], row["checksum"], row["applied_at"]) for row in rows]


def migrate(db: Db, to: int) -> list[int]:
    """Walk to a version under a lock; returns the versions reached, in order."""
    if not 0 <= to <= LATEST:
        raise StoreError(f"there is no schema version {to}; known are 0 to {LATEST}")
    passed = []
    with _locked(db):
        at = version(db)
        if at > LATEST:
            raise StoreError(f"the database has schema version {at}, which this release ({LATEST}) does not know")
        while at != to:
            if at < to:
                at += 1
                STEPS[at].up(db)
                row = {"_id": at, "name": NAMES[at], "checksum": STEPS[at].checksum, "applied_at": now()}
                db["schema_migrations"].replace_one({"_id": at}, row, upsert=True)
            else:
                STEPS[at].down(db)
                db["schema_migrations"].delete_one({"_id": at})
                at -= 1
            passed.append(at)
    return passed


def drift(db: Db) -> list[str]:
    """Compare collections, indexes and the provenance field with what the version should have."""
    applied = history(db)
    if not applied:
        return ["nothing was ever migrated (schema version 0)"]
    at = applied[-1].version
    known = {item.version: item.checksum for item in applied}
    found = [f"version {n} is missing from the history" for n in range(1, at) if n not in known]
    for number, checksum in known.items():
        if number not in STEPS:
            found.append(f"version {number} is unknown to this release")
        elif STEPS[number].checksum != checksum:
            found.append(f"version {number} was applied with other statements")
    there = set(db.list_collection_names())
    found += [f"collection {name} is missing" for name in COLLECTIONS if at >= 1 and name not in there]
    for collection, name, _key in INDEXES:
        if (name in db[collection].index_information()) != (at >= 2):
            found.append(f"index {name} is {'missing' if at >= 2 else 'not part of the schema'}")
    if db["diagnosticresults"].find_one({"provenance": {"$exists": at < 3}}) is not None:
        found.append(f"results {'without' if at >= 3 else 'with'} provenance")
    return found


@contextmanager
def _locked(db: Db) -> Iterator[None]:
    """Exclude other migrations; a lock that a crashed one left behind ends after five minutes."""
    lock, at = db["schema_lock"], datetime.now(UTC)
    lock.delete_one({"_id": "migration", "until": {"$lt": at}})
    try:
        lock.insert_one({"_id": "migration", "until": at + _LOCK_FOR})
    except DuplicateKeyError:
        raise StoreError("another migration is running; its lock ends by itself within five minutes") from None
    try:
        yield
    finally:
        lock.delete_one({"_id": "migration"})
