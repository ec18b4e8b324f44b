"""The control store in a MongoDB database of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from ai_diagnostics import control
from ai_diagnostics.control import ControlState, Value
from ai_diagnostics.secret import Secret
from ai_diagnostics.store import StoreError, Traffic
from ai_diagnostics.store.mongo_client import Document, connect, translated

_KEEP_S, _KEEP_REPORTS_S = 86400, 3600
_ATTEMPTS = 20
_COUNTS = ("total", "errors", "refused", "ai_total", "ai_failures")


class MongoControl:
    """`ControlStore` in one database; the state is one document, so a change is atomic without a transaction."""

    kind = "mongodb"

    def __init__(self, uri: Secret, database: str, initial: Mapping[str, Value] | None, timeout_s: float) -> None:
        self.db = connect(uri, timeout_s)[database]
        if initial is None:
            return
        first = control.initial_state(initial)
        document = {"_id": "state", "version": first.version, "settings": control.to_json(first)}
        with translated():
            if self.db["control"].find_one({"_id": "state"}) is None:
                try:
                    self.db["control"].insert_one(document)
                except DuplicateKeyError:
                    return  # another process was first; its state stands

    def read(self) -> ControlState:
        """See the port."""
        with translated():
            return _state(self.db["control"].find_one({"_id": "state"}))

    def change(self, name: str, value: Value, *, actor: str, reason: str) -> ControlState:
        """See the port; retried when another change came between."""
        for _ in range(_ATTEMPTS):
            before = self.read()
            after = before.changed(name, value, actor=actor, reason=reason)
            change = {"$set": {"version": after.version, "settings": control.to_json(after)}}
            where = {"_id": "state", "version": before.version}
            with translated():
                stored = self.db["control"].find_one_and_update(where, change, return_document=ReturnDocument.AFTER)
            if stored is not None:
                return _state(stored)
        raise StoreError(f"{name} could not be set: other changes came between {_ATTEMPTS} times")

    def report(self, pod: str, pid: int, document: Mapping[str, object]) -> None:
        """See the port."""
        key, at = f"{pod}/{pid}", time.time()
        with translated():
            row = {"_id": key, "seen_at": at, "document": dict(document)}
            self.db["processes"].replace_one({"_id": key}, row, upsert=True)
            self.db["processes"].delete_many({"seen_at": {"$lt": at - _KEEP_REPORTS_S}})

    def forget(self, pod: str, pid: int) -> None:
        """See the port."""
        with translated():
            self.db["processes"].delete_one({"_id": f"{pod}/{pid}"})

    def processes(self) -> Sequence[Mapping[str, object]]:
        """See the port."""
        with translated():
            return [row["document"] for row in self.db["processes"].find().sort("_id", 1)]

    def add_traffic(self, pod: str, pid: int, rows: Sequence[Traffic]) -> None:
        """See the port."""
        with translated():
            for row in rows:
                counts = {name: count for name, count in asdict(row).items() if name in _COUNTS}
                change = {"$inc": counts, "$set": {"bucket": row.bucket}}
                self.db["traffic"].update_one({"_id": f"{row.bucket}/{pod}/{pid}"}, change, upsert=True)
            if rows:
                self.db["traffic"].delete_many({"bucket": {"$lt": time.time() - _KEEP_S}})

    def traffic(self, since: float) -> Traffic:
        """See the port."""
        with translated():
            rows = list(self.db["traffic"].find({"bucket": {"$gte": since}}))
        return Traffic(int(since), *(sum(int(row.get(name, 0)) for row in rows) for name in _COUNTS))


def _state(document: Document | None) -> ControlState:
    if document is None:
        raise StoreError("the control store is empty: it was never made by the service or by `migrate up`")
    try:
        return control.from_json(document["version"], document["settings"])
    except (KeyError, ValueError) as error:
        raise StoreError(f"the control store is damaged: {type(error).__name__}") from error
