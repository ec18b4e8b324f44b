"""The record in a SQLite file."""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from codeblue.adapters.record.rows import COLUMNS, from_rows, to_row, where
from codeblue.model.errors import RecordUnusable
from codeblue.model.event import Draft, Event
from codeblue.ports.clock import Clock
from codeblue.record.chain import GENESIS, seal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  service TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL,
  run TEXT NOT NULL, incident TEXT NOT NULL, data TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL,
  PRIMARY KEY (service, seq)
);
CREATE INDEX IF NOT EXISTS events_run ON events (service, run) WHERE run <> '';
CREATE INDEX IF NOT EXISTS events_incident ON events (service, incident) WHERE incident <> '';
CREATE INDEX IF NOT EXISTS events_kind ON events (service, kind);
CREATE TRIGGER IF NOT EXISTS events_follow BEFORE INSERT ON events
  WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE service = NEW.service)
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_keep BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
#: Made when it is first needed, so that a record on a disk that takes nothing more can still be read.
_PROBES = "CREATE TABLE IF NOT EXISTS probes (service TEXT PRIMARY KEY, at TEXT NOT NULL)"


class SqliteRecord:
    """Keeps `ports.record.RecordStore`. Processes of one machine may append together: a write transaction orders them.

    Every commit is synced to disk before it counts (synchronous=FULL). The triggers take an event only at the end of
    the chain, so that `INSERT OR REPLACE`, which fires no trigger of DELETE, replaces nothing either.
    """

    def __init__(self, path: Path, service: str, clock: Clock) -> None:
        self._path, self._service, self._clock = path, service, clock
        self._lock = threading.Lock()  # a transaction belongs to the connection, not to the thread
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            # text that is no UTF-8 was not written by us: the event's hash tells; an exception could not say which one
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._file = _identity(path)
        except (sqlite3.Error, OSError) as error:
            raise self._unreachable("opened", error) from error

    def append(self, draft: Draft) -> Event:
        with self._writing():
            last = self._db.execute(
                "SELECT seq, hash FROM events WHERE service = ? ORDER BY seq DESC LIMIT 1", (self._service,)
            ).fetchone()
            seq, previous = last or (0, GENESIS)
            event = seal(draft, service=self._service, seq=seq + 1, at=self._clock.now(), previous=previous)
            marks = ", ".join("?" * len(COLUMNS))
            self._db.execute(f"INSERT INTO events VALUES ({marks})", to_row(event))  # noqa: S608  # only marks
        return event

    def probe(self) -> None:
        # a transaction that is rolled back never reaches the disk, so this one is committed: to a table of its own
        with self._writing():
            self._db.execute(_PROBES)
            self._db.execute("INSERT OR REPLACE INTO probes VALUES (?, ?)", (self._service, str(self._clock.now())))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A write transaction of one thread, committed at its end. Raises RecordUnusable."""
        try:
            with self._lock:
                if _identity(self._path) != self._file:
                    raise OSError("another file is in its place, what we would write would be lost")
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        except (sqlite3.Error, OSError) as error:
            raise self._unreachable("written", error) from error

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        condition, values = where(after, run, incident, kinds, "?")
        return self._select(f"{condition} ORDER BY seq LIMIT ?", self._service, *values, limit or -1)

    def last(self) -> Event | None:
        return next(iter(self._select("service = ? ORDER BY seq DESC LIMIT 1", self._service)), None)

    def _select(self, condition: str, *values: object) -> Sequence[Event]:
        query = f"SELECT {', '.join(COLUMNS)} FROM events WHERE {condition}"  # noqa: S608  # constants only
        try:
            with self._lock:
                rows = self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreachable("read", error) from error
        return from_rows(rows)

    def close(self) -> None:
        self._db.close()

    def _unreachable(self, what: str, error: Exception) -> RecordUnusable:
        if "not a database" in str(error) or "malformed" in str(error):
            return RecordUnusable(
                f"The record {self._path} is no database any more: {error}. Nothing goes on without a record.",
                remedy="Keep the file, it is evidence, and bring it back from a backup; to act at once, point "
                "state.directory at another place.",
            )
        return RecordUnusable(
            f"The record {self._path} could not be {what}: {error}. Nothing goes on without a record.",
            remedy="Free the disk or repair the permissions, or point state.directory at another disk.",
        )


def _identity(path: Path) -> tuple[int, int]:
    """Device and inode: a file that was removed or replaced under an open connection is another file."""
    found = path.stat()
    return found.st_dev, found.st_ino
