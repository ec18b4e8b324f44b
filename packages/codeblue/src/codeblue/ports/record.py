"""Where the record is kept."""

from collections.abc import Collection, Sequence
from typing import Protocol

from codeblue.model.event import Draft, Event


class RecordStore(Protocol):
    """An append-only chain of events per service; several processes may append at the same time.

    Duties: an appended event is durable when the call returns; `seq` has no gaps; nothing is ever changed, which the
    store itself enforces. Threads may share one object. The contract suite is tests/contract/test_record.py.
    """

    def append(self, draft: Draft) -> Event:
        """Add one event at the end.

        Raises:
            RecordUnusable: it could not be stored (disk full, no connection). The caller must not go on as if it were.
        """

    def probe(self) -> None:
        """Find out by writing whether an event could be stored at this moment; nothing is added to the chain.

        Raises:
            RecordUnusable: it could not.
        """

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        """Events with `seq > after` in order.

        Args:
            run, incident: only those of this run or incident; "" means all.
            kinds: only those of these kinds; none means all.
            limit: at most so many; 0 means all.

        Raises:
            RecordUnusable: it could not be read. Damaged: one of the events is none that was written here, or not as it
                was written: each one's hash is computed anew, and its link to the one before where both are read.
        """

    def last(self) -> Event | None:
        """The event at the end of the chain, None while it is empty. Raises as `read`."""

    def close(self) -> None:
        """Release connections. May be called twice."""
