"""The record in PostgreSQL, shared by several Code Blue processes."""

import socket
import threading
from collections.abc import Collection, Sequence

import psycopg

from codeblue.adapters.record.rows import COLUMNS, from_rows, to_row, where
from codeblue.model.errors import RecordUnusable
from codeblue.model.event import Draft, Event
from codeblue.model.secret import Secret
from codeblue.ports.clock import Clock
from codeblue.record.chain import GENESIS, seal

#: Limits of one call: the server gives up first; a server that is silent altogether is given up on.
STATEMENT_S, SILENT_S = 8, 12

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS codeblue;
CREATE TABLE IF NOT EXISTS codeblue.events (
  service text NOT NULL, seq bigint NOT NULL, at text NOT NULL, kind text NOT NULL, actor text NOT NULL,
  run text NOT NULL, incident text NOT NULL, data text NOT NULL, previous text NOT NULL, hash text NOT NULL,
  PRIMARY KEY (service, seq)
);
CREATE INDEX IF NOT EXISTS events_run ON codeblue.events (service, run) WHERE run <> '';
CREATE INDEX IF NOT EXISTS events_incident ON codeblue.events (service, incident) WHERE incident <> '';
CREATE INDEX IF NOT EXISTS events_kind ON codeblue.events (service, kind);
CREATE OR REPLACE FUNCTION codeblue.append_only() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'append-only'; END $$;
CREATE OR REPLACE FUNCTION codeblue.follow() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN
    IF NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM codeblue.events WHERE service = NEW.service) THEN
      RAISE EXCEPTION 'append-only';
    END IF;
    RETURN NEW;
  END $$;
CREATE OR REPLACE TRIGGER events_follow BEFORE INSERT ON codeblue.events
  FOR EACH ROW EXECUTE FUNCTION codeblue.follow();
CREATE OR REPLACE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON codeblue.events
  FOR EACH STATEMENT EXECUTE FUNCTION codeblue.append_only();
"""


class PostgresRecord:
    """Keeps `ports.record.RecordStore`. An advisory lock per service orders the writers.

    The tables are made by whoever comes first; a role that only may SELECT and INSERT is enough from then on.
    """

    def __init__(self, url: Secret, service: str, clock: Clock) -> None:
        self._url, self._service, self._clock = url, service, clock
        self._lock = threading.RLock()  # a transaction belongs to the connection, not to the thread
        self._db: psycopg.Connection | None = None
        with self._connection() as db:
            db.execute("SELECT pg_advisory_xact_lock(hashtext('codeblue schema'))")
            if db.execute("SELECT to_regclass('codeblue.events')").fetchone() == (None,):
                db.execute(_SCHEMA)

    def append(self, draft: Draft) -> Event:
        with self._connection() as db:
            return self._insert(db, draft)

    def probe(self) -> None:
        # a standby server, a default of read only, a missing right, a full disk: the insertion itself tells
        with self._connection() as db:
            self._insert(db, Draft("record.probe", "record", {}))
            db.rollback()

    def _insert(self, db: psycopg.Connection, draft: Draft) -> Event:
        db.execute("SELECT pg_advisory_xact_lock(hashtext('codeblue record'), hashtext(%s))", (self._service,))
        last = db.execute(
            "SELECT seq, hash FROM codeblue.events WHERE service = %s ORDER BY seq DESC LIMIT 1", (self._service,)
        ).fetchone()
        seq, previous = last or (0, GENESIS)
        event = seal(draft, service=self._service, seq=seq + 1, at=self._clock.now(), previous=previous)
        marks = ", ".join(["%s"] * len(COLUMNS))
        db.execute(f"INSERT INTO codeblue.events VALUES ({marks})".encode(), to_row(event))  # noqa: S608
        return event

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        condition, values = where(after, run, incident, kinds, "%s")
        return self._select(f"{condition} ORDER BY seq LIMIT %s", self._service, *values, limit or None)

    def last(self) -> Event | None:
        return next(iter(self._select("service = %s ORDER BY seq DESC LIMIT 1", self._service)), None)

    def _select(self, condition: str, *values: object) -> Sequence[Event]:
        query = f"SELECT {', '.join(COLUMNS)} FROM codeblue.events WHERE {condition}"  # noqa: S608
        with self._connection() as db:
            rows = db.execute(query.encode(), values).fetchall()
        return from_rows(rows)

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _connection(self) -> "_Transaction":
        return _Transaction(self, self._lock)

    def connect(self) -> psycopg.Connection:
        """The open connection, or a new one after a failure."""
        if self._db is None or self._db.closed:
            options = f"-c statement_timeout={STATEMENT_S}s -c idle_in_transaction_session_timeout={SILENT_S}s"
            self._db = psycopg.connect(self._url.reveal(), connect_timeout=5, options=options)
        return self._db


class _Transaction:
    """One transaction of one thread, ended after `SILENT_S` whatever the server does.

    Errors of the driver come out as RecordUnusable, and the connection is made anew after one.
    """

    def __init__(self, record: PostgresRecord, lock: threading.RLock) -> None:
        self._record, self._lock = record, lock

    def __enter__(self) -> psycopg.Connection:
        self._lock.acquire()
        try:
            self._db = self._record.connect()
        except (psycopg.Error, ValueError) as error:  # ValueError: a URL that holds what no URL can
            self._lock.release()
            raise _unreachable(error) from None  # the driver's message can hold the connection string
        self._alarm = threading.Timer(SILENT_S, _hang_up, (self._db.fileno(),))
        self._alarm.daemon = True
        self._alarm.start()
        return self._db

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self._db.commit()
            else:
                self._db.rollback()
        except psycopg.Error as failed:
            self._record.close()
            raise _unreachable(failed) from None
        finally:
            self._alarm.cancel()
            self._lock.release()
        if isinstance(error, psycopg.Error):
            self._record.close()
            raise _unreachable(error) from None


def _hang_up(descriptor: int) -> None:
    """End a connection from another thread: whoever waits on it gets an error instead of an answer."""
    try:
        with socket.socket(fileno=descriptor) as line:
            try:
                line.shutdown(socket.SHUT_RDWR)
            finally:
                line.detach()
    except OSError:
        return


def _unreachable(error: Exception) -> RecordUnusable:
    return RecordUnusable(
        f"The record's PostgreSQL did not take part ({type(error).__name__}). Nothing goes on without a record.",
        remedy="Check the database that state.database names, and its permissions.",
    )
