"""A real server of MongoDB's protocol for tests: mongo-java-server as MongoDB 5.0, in memory (testbed/mongodb).

Import the fixtures `mongodb_server` and `mongodb` where they are needed. No real `mongod` could be had where this was
written: what is proven here is proven on this server.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure
from tests.process import Process, stopped, until

BUILD = Path(__file__).parents[1] / "testbed" / "mongodb" / "build"
START_LIMIT_S, BUILD_LIMIT_S = 30.0, 300.0


@dataclass
class MongoDb:
    """A running server, and the name of a database on it.

    Attributes:
        name: of the data; the flags, modes and reports are in `<name>_control`.
    """

    process: Process
    port: int
    name: str = "test"
    address: str = "127.0.0.1"

    @property
    def uri(self) -> str:
        """Its connection string."""
        return f"mongodb://{self.address}:{self.port}/"

    @property
    def env(self) -> dict[str, str]:
        """The settings of a service that uses this database."""
        return {"MONGODB_URI": self.uri, "MONGODB_DATABASE": self.name, "AUTO_MIGRATE": "true"}

    @contextlib.contextmanager
    def client(self) -> Iterator[MongoClient[dict[str, Any]]]:
        """A client of the test's own, with deadlines."""
        with MongoClient[dict[str, Any]](self.uri, timeoutMS=2000, serverSelectionTimeoutMS=2000) as client:
            yield client

    def answers(self) -> bool:
        """Whether it answers a ping."""
        try:
            with self.client() as client:
                client.admin.command("ping")
        except ConnectionFailure:
            return False
        return True

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keeps its connections and answers nothing."""
        self.process.popen.send_signal(signal.SIGSTOP)
        try:
            # a signal stops thread by thread, and one that still runs answers a last question
            until("every thread of the server stands still", lambda: stopped(self.process.popen.pid))
            yield
        finally:
            self.process.popen.send_signal(signal.SIGCONT)


def jars() -> str:
    """The server's folder, built when it is not there; fails with what to install."""
    done = subprocess.run([BUILD], capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False)
    if done.returncode != 0 or shutil.which("java") is None:
        pytest.fail(f"{BUILD} failed; it needs the Debian packages default-jdk-headless and maven:\n{done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def running(port: int = 0, address: str = "127.0.0.1") -> Iterator[MongoDb]:
    """A server that answers; the kernel ends it when we die, however we die."""
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"]
    java = ["setpriv", "--pdeathsig", "KILL", "--", "java", *quick]
    process = Process([*java, "-cp", f"{jars()}/*", "codeblue.MongoDb", str(port), address], {})
    try:
        server = MongoDb(process, process.listening(START_LIMIT_S)["port"], address=address)
        until("MongoDB answers a ping", server.answers, START_LIMIT_S)
        yield server
    finally:
        process.close()


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[MongoDb]:
    """The server of all tests that leave it running."""
    with running() as server:
        yield server


@pytest.fixture
def mongodb(mongodb_server: MongoDb) -> Iterator[MongoDb]:
    """The server with a new, empty pair of databases, which are dropped afterwards."""
    mine = MongoDb(mongodb_server.process, mongodb_server.port, f"test_{uuid.uuid4().hex[:12]}")
    yield mine
    with mine.client() as client:
        for name in (mine.name, f"{mine.name}_control"):
            client.drop_database(name)
