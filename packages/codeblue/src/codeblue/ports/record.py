"""Where the record is kept."""

from collections.abc import Sequence
from typing import Protocol

from codeblue.model.event import Draft, Event


class RecordStore(Protocol):
    """An append-only chain of events per service; several processes may append at the same time.

    Duties: an appended event is durable when the call returns; `seq` has no gaps; nothing is ever changed.
    """

    def append(self, draft: Draft) -> Event:
        """Add one event at the end.

        Raises:
            Unreachable: it could not be stored (disk full, no connection). The caller must not go on as if it were.
        """

    def read(self, *, after: int = 0, run: str = "", incident: str = "", limit: int = 0) -> Sequence[Event]:
        """Events with `seq > after` in order, optionally those of one run or incident; `limit` 0 means all."""

    def close(self) -> None:
        """Release connections. May be called twice."""
