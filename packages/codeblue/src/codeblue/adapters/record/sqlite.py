"""The record in a SQLite file."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from codeblue.adapters.record.rows import COLUMNS, from_row, to_row, where
from codeblue.model.errors import Unreachable
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
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_keep BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


class SqliteRecord:
    """Keeps `ports.record.RecordStore`. Several processes of one machine may append: a write
    transaction gives the place.

    Every commit is synced to disk before it counts (synchronous=FULL).
    """

    def __init__(self, path: Path, service: str, clock: Clock) -> None:
        self._path, self._service, self._clock = path, service, clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise self._unreachable("opened", error) from error

    def append(self, draft: Draft) -> Event:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                last = self._db.execute(
                    "SELECT seq, hash FROM events WHERE service = ? ORDER BY seq DESC LIMIT 1", (self._service,)
                ).fetchone()
                seq, previous = last or (0, GENESIS)
                event = seal(draft, service=self._service, seq=seq + 1, at=self._clock.now(), previous=previous)
                marks = ", ".join("?" * len(COLUMNS))
                self._db.execute(f"INSERT INTO events VALUES ({marks})", to_row(event))  # noqa: S608  # only marks
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unreachable("written", error) from error
        return event

    def read(self, *, after: int = 0, run: str = "", incident: str = "", limit: int = 0) -> Sequence[Event]:
        condition, values = where(after, run, incident, "?")
        names = ", ".join(COLUMNS)
        query = f"SELECT {names} FROM events WHERE {condition} ORDER BY seq LIMIT ?"  # noqa: S608  # constants only
        try:
            rows = self._db.execute(query, (self._service, *values, limit or -1)).fetchall()
            return [from_row(row) for row in rows]
        except (sqlite3.Error, ValueError) as error:
            raise self._unreachable("read", error) from error

    def close(self) -> None:
        self._db.close()

    def _unreachable(self, what: str, error: Exception) -> Unreachable:
        return Unreachable(
            f"The record {self._path} could not be {what}: {error}. Nothing goes on without a record.",
            remedy="Free the disk or repair the permissions, or point state.directory at another disk.",
        )
