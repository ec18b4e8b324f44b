"""The real service as a process with two workers, the real emulators, a real Redis; every wait has a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

T = TypeVar("T")
Env = Mapping[str, str]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the authorities for each client costs 25 ms
SECRET = "a-secret-of-the-tests-that-is-long-enough"
PYTHON = [sys.executable, "-m", "ai_diagnostics"]
CLEAN = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}


def until(what: str, look: Callable[[], T], limit_s: float = 10.0) -> T:
    """Ask until the answer is true; fail with its name when the limit is over."""
    deadline = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {limit_s:g} s: {what}; last answer {found!r}")
        time.sleep(0.05)


class Process:
    """A subprocess whose output lines are collected; it never outlives its test."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], **options: Any) -> None:
        self.popen = subprocess.Popen(
            arguments,
            env={**CLEAN, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )
        self.lines: list[str] = []
        self._listening: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)
            if '"event": "listening"' in line:
                self._listening.put(json.loads(line))
        self._listening.put(None)

    def listening(self, limit_s: float = 15.0) -> dict[str, Any]:
        """The line that says on which port it listens."""
        found = self._listening.get(timeout=limit_s)
        assert found is not None, f"ended without listening: {''.join(self.lines)}"
        return found

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait(self, limit_s: float = 10.0) -> int:
        """The exit code."""
        code = self.popen.wait(timeout=limit_s)
        self._reader.join(timeout=5)
        return code

    def stop(self, limit_s: float = 15.0) -> int:
        """SIGTERM, then the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.wait(limit_s)

    def close(self) -> None:
        """End it and its children, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=10)
        self._reader.join(timeout=5)
        assert self.popen.stdout is not None
        self.popen.stdout.close()


@dataclass
class Service:
    """A running service and a client of it."""

    process: Process
    env: dict[str, str]
    url: str
    http: httpx2.Client
    check: Callable[[httpx2.Response, str], Any]
    extra: list[httpx2.Client] = field(default_factory=list)

    def get(self, path: str, route: str | None = None, **options: Any) -> httpx2.Response:
        """GET, checked against the contract."""
        answer = self.http.get(path, **options)
        self.check(answer, route or path)
        return answer

    def post(self, body: Any, **options: Any) -> httpx2.Response:
        """POST a diagnostic request, checked against the contract."""
        answer = self.http.post("/api/diagnostics", json=body, **{"headers": self.auth(), **options})
        self.check(answer, "/api/diagnostics")
        return answer

    def auth(self, *scopes: str, env: Mapping[str, str] | None = None, lifetime_s: int = 600) -> dict[str, str]:
        """A header with a token of the service's own key."""
        from ai_diagnostics import auth, settings

        keys = settings.read({**(env or self.env)}).jwt_keys
        token = auth.mint(keys, "tester", list(scopes or auth.SCOPES), lifetime_s)
        return {"Authorization": f"Bearer {token}"}

    def processes(self) -> dict[str, Any]:
        """The report of all processes."""
        return self.get("/api/operator/processes", headers=self.auth("operator")).json()

    def set(self, name: str, value: bool | int) -> None:
        """Set a flag or mode, and wait until every process applies it."""
        body = {"value": value, "reason": "test"}
        answer = self.http.put(f"/api/operator/control/{name}", json=body, headers=self.auth("operator"))
        self.check(answer, "/api/operator/control/{name}")
        assert answer.status_code == 200, answer.text
        until(f"{name}={value} everywhere", lambda: self.processes()["agreed"])

    def each_worker(self, count: int = 2, limit_s: float = 10.0) -> dict[int, httpx2.Client]:
        """One client per worker process, each with a connection of its own that stays at that worker."""
        found: dict[int, httpx2.Client] = {}
        deadline = time.monotonic() + limit_s
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {list(found)} answered"
            clients = [httpx2.Client(base_url=self.url, timeout=20, trust_env=False, verify=NO_TLS) for _ in range(6)]
            for client in clients:
                pid = int(client.get("/api/health").headers["x-pid"])
                if pid in found:
                    client.close()
                else:
                    found[pid] = client
                    self.extra.append(client)
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 without one."""
        return sum(value for found, value in self.samples(name) if labels.items() <= found.items())

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """All samples of a metric."""
        from prometheus_client.parser import text_string_to_metric_families

        text = self.get("/metrics").text
        families = text_string_to_metric_families(text)
        return [(dict(s.labels), s.value) for family in families for s in family.samples if s.name == name]

    def close(self) -> None:
        """Close the clients, end the process."""
        for client in (self.http, *self.extra):
            client.close()
        self.process.close()


@dataclass
class Emulators:
    """The running emulators."""

    process: Process
    url: str
    env: dict[str, str]
    log: Path
    http: httpx2.Client

    def set(self, name: str, mode: str = "ok", **more: Any) -> None:
        """Throw a switch."""
        answer = self.http.post("/_control", json={"name": name, "mode": mode, **more})
        assert answer.status_code == 200, answer.text

    def seen(self, name: str) -> int:
        """How many requests an emulator has had."""
        return int(self.http.get("/_control").json()["seen"][name])


@pytest.fixture(scope="session")
def contract() -> Callable[[httpx2.Response, str], Any]:
    """Checks an answer against contract/openapi.yaml: route, status, headers, body."""
    text = (Path(__file__).parents[2] / "contract" / "openapi.yaml").read_text(encoding="utf-8")
    document = YAML(typ="safe", pure=True).load(text)

    def resolved(node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def check(answer: httpx2.Response, route: str) -> Any:
        responses = document["paths"][route][answer.request.method.lower()]["responses"]
        assert str(answer.status_code) in responses, f"{route} may not answer {answer.status_code}: {answer.text}"
        response = resolved(responses[str(answer.status_code)])
        for name, header in response.get("headers", {}).items():
            assert name in answer.headers, f"{route} {answer.status_code} has no {name}"
            schema = {**resolved(header)["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(answer.headers[name])
        ((kind, content),) = response["content"].items()
        assert answer.headers["content-type"].startswith(kind)
        body = answer.json() if kind == "application/json" else answer.text
        schema = {**content["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(body)
        return body

    return check


@pytest.fixture(scope="session")
def _emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    log = tmp_path_factory.mktemp("emulators") / "requests.jsonl"
    process = Process([*PYTHON, "emulators", "--port", "0", "--log", str(log)], {})
    try:
        said = process.listening()
        with httpx2.Client(base_url=said["url"], timeout=10, trust_env=False, verify=NO_TLS) as http:
            yield Emulators(process, said["url"], said["env"], log, http)
        assert process.stop() == 0
    finally:
        process.close()


@pytest.fixture
def emulators(_emulators: Emulators) -> Iterator[Emulators]:
    """The emulators, without faults before and after."""
    _emulators.set("all")
    yield _emulators
    _emulators.set("all")


Launch = Callable[..., Service]


def started(data: Path, contract: Callable[[httpx2.Response, str], Any], prefix: Sequence[str], env: Env) -> Service:
    """Start a service with its data in a directory, and wait until both workers are ready."""
    full = {"DATA_DIR": str(data), "JWT_SECRET": SECRET, "POD_NAME": "pod-a", "GRACE_S": "5", **env}
    process = Process([*prefix, *PYTHON, "serve", "--host", "127.0.0.1", "--port", "0", "--workers", "2"], full)
    try:
        url = f"http://127.0.0.1:{process.listening()['port']}"
        until("both workers ready", lambda: process.output.count('"event": "ready"') >= 2)
    except BaseException:
        process.close()
        raise
    http = httpx2.Client(base_url=url, timeout=20, trust_env=False, verify=NO_TLS)
    return Service(process, full, url, http, contract)


@pytest.fixture
def launch(tmp_path: Path, contract: Callable[[httpx2.Response, str], Any]) -> Iterator[Launch]:
    """Starts services; `launch(NAME=value, …)` waits until it answers. Data is in a directory of the test."""
    running: list[Service] = []

    def start(*, prefix: Sequence[str] = (), **env: str) -> Service:
        running.append(started(tmp_path / "data", contract, prefix, env))
        return running[-1]

    try:
        yield start
    finally:
        for service in running:
            service.close()


@pytest.fixture(scope="session")
def _steady(
    tmp_path_factory: pytest.TempPathFactory, contract: Callable[[httpx2.Response, str], Any], _emulators: Emulators
) -> Iterator[Service]:
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


@dataclass
class Cli:
    """Runs operator commands in this process, with an environment of their own."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    env: dict[str, str]

    def __call__(self, line: str, **env: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the JSON answer ({} where none was printed)."""
        from ai_diagnostics.cli import main

        with self.monkeypatch.context() as patch:
            for name in set(os.environ) - set(CLEAN):
                patch.delenv(name)
            for name, value in {**self.env, **env}.items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            try:
                code = main([*line.split(), "--json"])
            except SystemExit as stop:
                code = int(stop.code or 0)
        printed = self.capsys.readouterr().out
        answer: dict[str, Any] = json.loads(printed) if printed else {}
        if answer:
            assert set(answer) == {"command", "verdict", "exit_code", "at", "problems", "data"}
            assert answer["exit_code"] == code
            assert (answer["verdict"] == "ok") == (not answer["problems"]) == (code == 0)
        return code, answer


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Operator commands on the data of this test's `launch`."""
    return Cli(monkeypatch, capsys, {"DATA_DIR": str(tmp_path / "data"), "JWT_SECRET": SECRET})


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is missing: apt-get install -y --no-install-recommends redis-server")
    path = tmp_path_factory.mktemp("redis") / "redis.sock"
    process = Process(
        ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(path.parent)], {}
    )
    try:
        until("redis-server's socket", path.exists)
        yield process, f"unix://{path}"
    finally:
        process.close()


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
