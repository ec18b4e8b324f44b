"""A real Unleash server for tests (testbed/unleash) on the tests' PostgreSQL, and what its clients get.

Import the fixtures `unleash_server` and `unleash` where they are needed, with `postgres`. Clients' answers come from
Unleash's own engine (yggdrasil), which its Python SDK is made of, fed by what the server sends to clients.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmh3
import pytest
from tests.postgres import Postgres, _free_port
from tests.process import Process, stopped, until
from yggdrasil_engine.engine import UnleashEngine

BUILD = Path(__file__).parents[1] / "testbed" / "unleash" / "build"
START_LIMIT_S, BUILD_LIMIT_S = 60.0, 300.0
ENVIRONMENT, OTHER_ENVIRONMENT = "development", "production"


@dataclass
class UnleashServer:
    """A running server.

    Attributes:
        admin: a token of the Admin API. client: one of the environment's clients. Both are random.
    """

    process: Process
    port: int
    admin: str = field(repr=False)
    client: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """One request to /api; the answer's JSON, None for none. Raises HTTPError."""
        request = urllib.request.Request(f"{self.url}/api{path}", method=method)
        request.add_header("Authorization", token or self.admin)
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    # --- as people work with it

    def flag(self, name: str, *strategies: dict[str, Any], enabled: bool = True) -> None:
        """A new flag with these strategies."""
        self.ask("POST", f"{PROJECT}/features", {"name": name})
        for strategy in strategies:
            self.strategy(name, strategy)
        if enabled:
            self.ask("POST", f"{self.at(name)}/on")

    def strategy(self, name: str, strategy: dict[str, Any]) -> None:
        """One more strategy of a flag."""
        self.ask("POST", f"{self.at(name)}/strategies", strategy)

    def strategies(self, name: str, environment: str = ENVIRONMENT) -> list[dict[str, Any]]:
        """Those that a flag has, as the Admin API shows them."""
        found: list[dict[str, Any]] = self.ask("GET", f"{self.at(name, environment)}/strategies")
        return found

    def archive(self, name: str) -> None:
        self.ask("DELETE", f"{PROJECT}/features/{name}")

    def at(self, name: str, environment: str = ENVIRONMENT) -> str:
        return f"{PROJECT}/features/{name}/environments/{environment}"

    def clear(self) -> None:
        """Remove all flags for good, children before their parents."""
        flags = [f["name"] for f in self.ask("GET", f"{PROJECT}/features")["features"]]
        for name in flags:
            with contextlib.suppress(urllib.error.HTTPError):
                self.ask("DELETE", f"{PROJECT}/features/{name}/dependencies")
        for name in flags:
            self.archive(name)
        for flag in self.ask("GET", "/admin/search/features?archived=IS:true")["features"]:
            self.ask("DELETE", f"/admin/archive/{flag['name']}")

    # --- as its clients see it

    def enabled(self, name: str, context: dict[str, str] | None = None) -> bool | None:
        """What a client gets that has just started; None for its own default."""
        return _told(self._engine(), name, context or {})

    def share(self, name: str) -> int | None:
        """For how many of 100 sessions it is on, one of each bucket that Unleash spreads them into."""
        engine = self._engine()
        found = [_told(engine, name, {"sessionId": session}) for session in _sessions(name)]
        return None if None in found else found.count(True)

    def _engine(self) -> UnleashEngine:
        engine = UnleashEngine()
        engine.take_state(json.dumps(self.ask("GET", "/client/features", token=self.client)))
        return engine

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keeps its connections and answers nothing."""
        self.process.popen.send_signal(signal.SIGSTOP)
        try:
            until("every thread of the server stands still", lambda: stopped(self.process.popen.pid))
            yield
        finally:
            self.process.popen.send_signal(signal.SIGCONT)


PROJECT = "/admin/projects/default"


def rollout(percent: int, **more: Any) -> dict[str, Any]:
    """A gradual rollout; `stickiness` among the rest is a parameter."""
    parameters = {"rollout": str(percent), "stickiness": more.pop("stickiness", "default"), "groupId": "g"}
    return {"name": "flexibleRollout", "parameters": parameters, **more}


def _told(engine: UnleashEngine, name: str, context: dict[str, str]) -> bool | None:
    answer = engine.is_enabled(name, context)
    return bool(answer.is_enabled) if answer.is_found else None


def _sessions(name: str) -> list[str]:
    """One session of each of the 100 buckets, for the group ids that are in use here."""
    groups, found = ("g", name), {}
    for number in range(1_000_000):
        buckets = tuple(mmh3.hash(f"{group}:{number}", signed=False) % 100 for group in groups)
        if buckets[0] == buckets[1]:  # whichever of the groups the flag has, the same share of them is in
            found.setdefault(buckets[0], str(number))
            if len(found) == 100:
                return list(found.values())
    raise AssertionError("no session for some bucket")


@contextlib.contextmanager
def running(database: str) -> Iterator[UnleashServer]:
    """A server that answers; the kernel ends it when we die, however we die."""
    done = subprocess.run([BUILD], capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False)
    if done.returncode != 0:
        pytest.fail(f"{BUILD} failed:\n{done.stderr}")
    port, admin, client = _free_port(), f"*:*.{secrets.token_hex(16)}", f"*:{ENVIRONMENT}.{secrets.token_hex(16)}"
    env = {
        "DATABASE_URL": database,
        "DATABASE_SSL": "false",
        "HTTP_HOST": "127.0.0.1",
        "PORT": str(port),
        "INIT_ADMIN_API_TOKENS": admin,
        "INIT_BACKEND_API_TOKENS": client,
        # what a client is sent is what the database has at that moment
        "CLIENT_FEATURE_CACHING_ENABLED": "false",
        "CHECK_VERSION": "false",
        "SEND_TELEMETRY": "false",
    }
    process = Process(["setpriv", "--pdeathsig", "KILL", "--", *done.stdout.splitlines()], env)
    server = UnleashServer(process, port, admin, client)

    def answers() -> bool:
        assert process.popen.poll() is None, process.output
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        until("Unleash is healthy", answers, START_LIMIT_S)
        yield server
    finally:
        process.close()


@pytest.fixture(scope="session")
def unleash_server(postgres: Postgres) -> Iterator[UnleashServer]:
    """The server of all tests."""
    with running(postgres.database()) as server:
        yield server


@pytest.fixture
def unleash(unleash_server: UnleashServer) -> UnleashServer:
    """The server without any flag."""
    unleash_server.clear()
    return unleash_server
