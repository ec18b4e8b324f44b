"""The record in memory, in SQLite and in PostgreSQL keeps one contract; and what each of the real ones owes besides."""

import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.postgres import Postgres

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record import postgres as postgres_module
from codeblue.adapters.record.postgres import PostgresRecord
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.model.errors import ExitCode, RecordUnusable, Unreachable
from codeblue.model.event import Draft
from codeblue.model.secret import Secret
from codeblue.ports.record import RecordStore
from codeblue.record.chain import broken_at
from codeblue.testing.contracts.record import RecordContract, draft
from codeblue.testing.memory_record import MemoryRecord

WRITERS, EACH = 4, 25

APPEND = """
import os, sys
from codeblue.adapters.clock import SystemClock
from codeblue.model.event import Draft
{opening}
for n in range(int(sys.argv[2])):
    record.append(Draft("run.noted", f"writer {{os.getpid()}}", {{"n": n}}))
"""
OPEN_SQLITE = """
from pathlib import Path
from codeblue.adapters.record.sqlite import SqliteRecord
record = SqliteRecord(Path(sys.argv[1]), "api", SystemClock())
"""
OPEN_POSTGRES = """
from codeblue.adapters.record.postgres import PostgresRecord
from codeblue.model.secret import Secret
record = PostgresRecord(Secret(os.environ["DATABASE"]), "api", SystemClock())
"""


def append_from_processes(opening: str, place: str, environment: dict[str, str]) -> None:
    """Several processes, all at the same time, the opening of a store that is not there yet included."""
    argv = [sys.executable, "-c", APPEND.format(opening=opening), place, str(EACH)]
    writers = [
        subprocess.Popen(argv, env=os.environ | environment, stderr=subprocess.PIPE, text=True) for _ in range(WRITERS)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors


def assert_no_gaps(record: RecordStore) -> None:
    events = record.read()
    assert [e.seq for e in events] == list(range(1, WRITERS * EACH + 1))
    assert broken_at(events) is None
    by_writer: dict[str, list[int]] = {}
    for event in events:
        by_writer.setdefault(event.actor, []).append(event.data["n"])
    assert sorted(by_writer.values()) == [list(range(EACH))] * WRITERS


class TestMemoryRecord(RecordContract):
    @pytest.fixture
    def opened(self) -> Callable[..., RecordStore]:
        stores: dict[str, MemoryRecord] = {}
        return lambda service="api": stores.setdefault(service, MemoryRecord(SystemClock(), service))


class TestSqliteRecord(RecordContract):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "state" / "record.db"

    @pytest.fixture
    def opened(self, path: Path) -> Iterator[Callable[..., SqliteRecord]]:
        stores: list[SqliteRecord] = []

        def opened(service: str = "api") -> SqliteRecord:
            stores.append(SqliteRecord(path, service, SystemClock()))
            return stores[-1]

        yield opened
        for store in stores:
            store.close()

    @pytest.mark.req("B3")
    def test_several_processes_append_without_gaps(self, opened, path: Path) -> None:
        append_from_processes(OPEN_SQLITE, str(path), {})
        assert_no_gaps(opened())

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE events SET actor = 'somebody' WHERE seq = 1",
            "DELETE FROM events WHERE seq = 2",
            "DELETE FROM events",
            "INSERT OR REPLACE INTO events SELECT service, seq, at, kind, 'eve', run, incident, data, previous, hash"
            " FROM events WHERE seq = 1",
            "REPLACE INTO events SELECT service, 5, at, kind, actor, run, incident, data, previous, hash FROM events",
            "INSERT INTO events SELECT service, 0, at, kind, actor, run, incident, data, previous, hash FROM events",
        ],
    )
    def test_the_database_itself_takes_events_only_at_the_end(self, record, path: Path, statement: str) -> None:
        for n in range(3):
            record.append(draft(n=n))
        before = list(record.read())
        with sqlite3.connect(path) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
        db.close()
        assert list(record.read()) == before

    def test_nobody_else_may_read_the_file(self, record, path: Path) -> None:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700

    def test_a_place_that_cannot_be_used_is_unreachable_with_its_remedy(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "file" / "record.db", tmp_path):
            with pytest.raises(Unreachable, match="could not be opened") as caught:
                SqliteRecord(path, "api", SystemClock())
            assert "state.directory" in caught.value.remedy
            assert caught.value.exit_code is ExitCode.UNREACHABLE

    def test_a_file_that_is_no_database_is_unreachable(self, tmp_path: Path) -> None:
        (tmp_path / "record.db").write_bytes(b"nothing of ours " * 99)
        with pytest.raises(Unreachable):
            SqliteRecord(tmp_path / "record.db", "api", SystemClock())

    @pytest.mark.req("R1")
    def test_a_file_that_was_removed_or_replaced_takes_no_event_that_would_be_lost(self, tmp_path: Path) -> None:
        path = tmp_path / "record.db"
        store = SqliteRecord(path, "api", SystemClock())
        event = Draft("test.happened", "test", {})
        store.append(event)
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(Unreachable, match="could not be written"):
            store.append(event)
        SqliteRecord(path, "api", SystemClock()).close()
        with pytest.raises(RecordUnusable, match="another file"):
            store.append(event)
        with pytest.raises(RecordUnusable, match="another file"):
            store.probe()
        store.close()

    def test_a_full_disk_is_unreachable_and_later_it_goes_on_without_a_gap(self, tmp_path: Path) -> None:
        private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        answer = subprocess.run(
            [*private, sys.executable, "-c", FULL_DISK, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.stdout == "goes on\n", answer


FULL_DISK = """
import subprocess, sys
from pathlib import Path
from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.model.errors import RecordUnusable
from codeblue.record.chain import broken_at
from codeblue.testing.contracts.record import draft

directory = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True)
record = SqliteRecord(directory / "record.db", "api", SystemClock())
for n in range(20):
    record.append(draft(n=n))
ballast = (directory / "ballast").open("wb", buffering=0)
try:
    while True:
        ballast.write(b"x" * 4096)
except OSError:
    pass
for n in range(50):
    try:
        record.probe()
    except RecordUnusable:
        break
else:
    raise AssertionError("the disk is full, and the probe did not find out")
refused = 0
for n in range(20, 200):
    try:
        record.append(draft(n=n, text="x" * 5000))
    except RecordUnusable as error:
        assert "could not be written" in error.message, error.message
        refused += 1
assert refused >= 100, refused
assert len(record.read()) == 200 - refused
ballast.truncate(0)
kept = len(record.read())
event = record.append(draft(n=-1))
assert event.seq == kept + 1
events = SqliteRecord(directory / "record.db", "api", SystemClock()).read()
assert broken_at(events) is None and len(events) == kept + 1
assert kept >= 20
print("goes on")
"""


class TestPostgresRecord(RecordContract):
    @pytest.fixture
    def url(self, postgres: Postgres) -> str:
        return postgres.database()

    @pytest.fixture
    def opened(self, url: str) -> Iterator[Callable[..., PostgresRecord]]:
        stores: list[PostgresRecord] = []

        def opened(service: str = "api") -> PostgresRecord:
            stores.append(PostgresRecord(Secret(url), service, SystemClock()))
            return stores[-1]

        yield opened
        for store in stores:
            store.close()

    @pytest.mark.req("B3")
    def test_several_processes_append_without_gaps(self, opened, url: str) -> None:
        append_from_processes(OPEN_POSTGRES, "-", {"DATABASE": url})
        assert_no_gaps(opened())

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE codeblue.events SET actor = 'somebody' WHERE seq = 1",
            "DELETE FROM codeblue.events WHERE seq = 2",
            "TRUNCATE codeblue.events",
            "INSERT INTO codeblue.events SELECT * FROM codeblue.events ON CONFLICT (service, seq)"
            " DO UPDATE SET run = 'x'",
            "INSERT INTO codeblue.events SELECT service, 9, at, kind, actor, run, incident, data, previous, hash"
            " FROM codeblue.events WHERE seq = 1",
        ],
    )
    def test_the_database_itself_takes_events_only_at_the_end(
        self, record, postgres: Postgres, url: str, statement: str
    ) -> None:
        for n in range(3):
            record.append(draft(n=n))
        before = list(record.read())
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            postgres.execute(statement, url)
        assert list(record.read()) == before

    @pytest.mark.req("R1")
    def test_a_killed_connection_is_unreachable_and_the_next_call_connects_anew(
        self, record, postgres: Postgres, url: str
    ) -> None:
        record.append(draft(n=1))
        for call in (lambda: record.append(draft(n=2)), record.read):
            ended = postgres.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                url,
            )
            assert ended == [(True,)]
            with pytest.raises(Unreachable, match="Nothing goes on without a record") as caught:
                call()
            assert "state.database" in caught.value.remedy
            assert record.append(draft(n=3)).seq == len(record.read())
        assert [e.data["n"] for e in record.read()] == [1, 3, 3]
        assert broken_at(record.read()) is None

    @pytest.mark.defect("D11")
    def test_a_silent_server_is_given_up_on(self, opened, postgres: Postgres, url: str, monkeypatch) -> None:
        monkeypatch.setattr(postgres_module, "SILENT_S", 0.5)
        record = opened()
        record.append(draft(n=1))
        [(pid,)] = postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()", url
        )
        os.kill(int(str(pid)), signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable):
                record.append(draft(n=2))
            assert record.append(draft(n=3)).seq == 2
        finally:
            os.kill(int(str(pid)), signal.SIGCONT)
        assert broken_at(record.read()) is None

    def test_a_writer_that_holds_the_place_is_waited_for_only_so_long(self, opened, url: str, monkeypatch) -> None:
        monkeypatch.setattr(postgres_module, "STATEMENT_S", 0.3)
        record = opened()
        with psycopg.connect(url) as db:
            db.execute("SELECT pg_advisory_xact_lock(hashtext('codeblue record'), hashtext('api'))")
            with pytest.raises(Unreachable):
                record.append(draft())
        assert record.append(draft()).seq == 1

    def test_a_role_that_may_only_read_and_insert_is_enough(self, opened, postgres: Postgres, url: str) -> None:
        opened().append(draft(n=1))
        name = url.rpartition("/")[2]
        password = f"limited-{postgres.password}"
        postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        postgres.execute(f"GRANT USAGE ON SCHEMA codeblue TO {name}", url)
        postgres.execute(f"GRANT SELECT, INSERT ON codeblue.events TO {name}", url)
        limited_url = postgres.url(name, user=name, password=password)
        limited = PostgresRecord(Secret(limited_url), "api", SystemClock())
        try:
            limited.probe()
            assert limited.append(draft(n=2)).seq == 2
            postgres.execute(f"REVOKE INSERT ON codeblue.events FROM {name}", url)
            with pytest.raises(RecordUnusable):
                limited.probe()
            postgres.execute(f"GRANT INSERT ON codeblue.events TO {name}", url)
            postgres.execute(f"ALTER ROLE {name} SET default_transaction_read_only = on", url)
            with pytest.raises(RecordUnusable):
                limited.probe()  # a connection of its own, as after a failover to a server that only reads
            postgres.execute(f"ALTER ROLE {name} RESET default_transaction_read_only", url)
        finally:
            limited.close()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            postgres.execute("DROP TRIGGER events_stay ON codeblue.events", limited_url)

    @pytest.mark.req("R1")
    @pytest.mark.done(9)
    @pytest.mark.parametrize("broken", ["password", "port", "database", "url"])
    def test_no_error_shows_the_password_or_the_url(self, postgres: Postgres, url: str, broken: str) -> None:
        canary = "c4n4ry-p4ssw0rd"
        wrong = {
            "password": url.replace(postgres.password, canary),
            "port": f"postgresql://postgres:{canary}@127.0.0.1:1/x",
            "database": postgres.url(f"no_{canary}"),
            "url": f"postgresql://postgres:{canary}@[127.0.0.1/x?bad={canary}",
        }[broken]
        with pytest.raises(Unreachable) as caught:
            PostgresRecord(Secret(wrong), "api", SystemClock())
        shown = "".join(traceback.format_exception(caught.value)) + caught.value.message + caught.value.remedy
        assert canary not in shown
        assert postgres.password not in shown
