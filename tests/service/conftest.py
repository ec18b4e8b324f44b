"""Fixtures: the service, the emulators, a real Redis, a server of MongoDB's protocol; every wait has a deadline."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.mongodb import mongodb, mongodb_server
from tests.process import Process, until
from tests.service.support import emulators as emulation
from tests.service.support import redis
from tests.service.support.emulators import Emulators
from tests.service.support.openapi import Contract
from tests.service.support.operator import Cli
from tests.service.support.service import PYTHON, SECRET, Check, Service, started

__all__ = ["mongodb", "mongodb_server"]
Launch = Callable[..., Service]


@pytest.fixture(scope="session")
def contract() -> Check:
    """Checks an answer against contract/openapi.yaml."""
    return Contract().check


@pytest.fixture(scope="session")
def _emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    with emulation.running(tmp_path_factory.mktemp("emulators") / "requests.jsonl") as found:
        yield found


@pytest.fixture
def emulators(_emulators: Emulators) -> Iterator[Emulators]:
    """The emulators, without faults before and after."""
    _emulators.set("all")
    yield _emulators
    _emulators.set("all")


@pytest.fixture
def store_env(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where `launch` and `cli` keep their data: files of the test, or MongoDB with `on_every_store`."""
    kind = getattr(request, "param", "sqlite")
    return request.getfixturevalue("mongodb").env if kind == "mongodb" else {}


@pytest.fixture
def launch(tmp_path: Path, contract: Check, store_env: dict[str, str]) -> Iterator[Launch]:
    """Starts services; `launch(NAME=value, …)` waits until it answers. See `store_env` for its data."""
    running: list[Service] = []

    def start(*, prefix: Sequence[str] = (), **env: str) -> Service:
        running.append(started(tmp_path / "data", contract, prefix, {**store_env, **env}))
        return running[-1]

    try:
        yield start
    finally:
        for service in running:
            service.close()


@pytest.fixture(scope="session")
def _steady(tmp_path_factory: pytest.TempPathFactory, contract: Check, _emulators: Emulators) -> Iterator[Service]:
    service = started(tmp_path_factory.mktemp("steady"), contract, (), _emulators.env)
    try:
        yield service
    finally:
        service.close()


@pytest.fixture
def steady(_steady: Service, emulators: Emulators) -> Iterator[Service]:
    """One service for all tests that leave it as it was; flags and modes are put back after each."""
    before = {name: item["value"] for name, item in _steady.processes()["stored"].items()}
    yield _steady
    for name, item in _steady.processes()["stored"].items():
        if item["value"] != before[name]:
            _steady.set(name, before[name])
    for client in _steady.extra:
        client.close()
    _steady.extra.clear()


@pytest.fixture
def service(launch: Launch, emulators: Emulators) -> Service:
    """A service with all external systems emulated."""
    return launch(**emulators.env)


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, store_env: dict[str, str]
) -> Cli:
    """Operator commands on the data of this test's `launch`."""
    return Cli(monkeypatch, capsys, {"DATA_DIR": str(tmp_path / "data"), "JWT_SECRET": SECRET, **store_env})


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    with redis.running(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def redis_server(_redis_server: tuple[Process, str]) -> Iterator[tuple[Process, str]]:
    """A real Redis: its process and its URL; continued again after the test."""
    yield _redis_server
    with contextlib.suppress(ProcessLookupError):
        _redis_server[0].popen.send_signal(signal.SIGCONT)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    """`until(what, look, limit_s=10)`: wait for something, with a deadline."""
    return until


@pytest.fixture(scope="session")
def python() -> list[str]:
    """The start of every command line: this interpreter and the package."""
    return PYTHON
