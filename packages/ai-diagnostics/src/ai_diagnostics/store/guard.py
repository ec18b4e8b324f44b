"""Read-only mode, kept at the last point before the data: every writer of this package passes here (R30, D37)."""

from __future__ import annotations

from ai_diagnostics.documents import RequestRow, ResultRow, Status
from ai_diagnostics.store import ControlStore, DataStore, StoreError, WriteRefused, WriteUncertain


class Guard:
    """Writes to the data store, each after a fresh look at the control store: no worker writes on an old view."""

    def __init__(self, data: DataStore, control: ControlStore) -> None:
        self.data = data
        self.control = control

    def check(self) -> None:
        """Raises WriteRefused in read-only mode, and WriteUncertain when nobody can say whether it is on."""
        try:
            read_only = self.control.read().value("read_only")
        except StoreError as error:
            raise WriteUncertain("the control store cannot say whether writing is allowed") from error
        if read_only:
            raise WriteRefused("read-only mode is on")

    def add_request(self, row: RequestRow) -> None:
        """As the port, guarded."""
        self.check()
        self.data.add_request(row)

    def finish(self, request_id: str, status: Status, reason: str | None, result: ResultRow | None) -> None:
        """As the port, guarded."""
        self.check()
        self.data.finish(request_id, status, reason, result)

    def remove(self, request_id: str) -> int:
        """As the port, guarded."""
        self.check()
        return self.data.remove(request_id)
