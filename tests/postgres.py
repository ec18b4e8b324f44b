"""A real PostgreSQL for tests: its own data directory and port, gone when the tests are, even when they are killed.

Import the fixture `postgres` where it is needed. The server runs as the user `postgres` where the tests run as root.
"""

import itertools
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
    "autovacuum": "off",
}


@dataclass
class Postgres:
    """A running server.

    Attributes:
        password: of the superuser `postgres`; random, so that tests can look for it where it must not be.
    """

    port: int
    password: str = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """The URL of a database."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def execute(self, statement: str, url: str = "") -> list[tuple[object, ...]]:
        """Execute one statement as the superuser. Raises psycopg.Error."""
        with psycopg.connect(url or self.url(), autocommit=True) as db:
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def programs() -> Path:
    """Where the newest installed PostgreSQL has its programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    assert on_path, "PostgreSQL is not installed: apt-get install postgresql"
    return Path(on_path).parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server."""
    directory = Path(tempfile.mkdtemp(prefix="codeblue-postgres-"))
    server = Postgres(_free_port(), secrets.token_hex(16))
    try:
        with _running(directory, server):
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _running(directory: Path, server: Postgres) -> "_Server":
    """The server process, accepting connections; leaving the context waits for its end."""
    password, data = directory / "password", directory / "data"
    password.write_text(server.password)
    as_other: list[str] = []
    if os.geteuid() == 0:
        for path in (directory, password):
            shutil.chown(path, "postgres", "postgres")
        as_other = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    initdb = [str(programs() / "initdb"), "--no-sync", "-A", "scram-sha-256", "-U", "postgres", "-E", "UTF8"]
    # the kernel interrupts the server when we die, however we die: SIGINT is PostgreSQL's fast shutdown
    run_as = ["setpriv", *as_other, "--pdeathsig", "INT", "--"]
    subprocess.run([*run_as, *initdb, "-D", data, f"--pwfile={password}"], check=True, capture_output=True, timeout=120)
    settings = [f"--{name}={value}" for name, value in QUICK.items()]
    with (directory / "log").open("wb") as log:
        process = _Server([*run_as, programs() / "postgres", "-D", data, "-p", str(server.port), *settings], stderr=log)
    process.wait_until_ready(server, directory / "log")
    return process


class _Server(subprocess.Popen[bytes]):
    def wait_until_ready(self, server: Postgres, log: Path) -> None:
        for _ in range(300):
            try:
                server.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if self.poll() is not None:
                    break
                try:
                    self.wait(0.1)  # a pause that ends at once when the server does
                except subprocess.TimeoutExpired:
                    continue
        self.kill()
        raise AssertionError(f"PostgreSQL did not start: {log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self.send_signal(2)
        try:
            self.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
