"""The real service as a process with two workers, and a client of it."""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.process import Process, until

Check = Callable[[httpx2.Response, str], Any]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the authorities for each client costs 25 ms
SECRET = "a-secret-of-the-tests-that-is-long-enough"
PYTHON = [sys.executable, "-m", "ai_diagnostics"]


@dataclass
class Service:
    """A running service and a client of it."""

    process: Process
    env: dict[str, str]
    url: str
    http: httpx2.Client
    check: Check
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

    def each_worker(self, count: int = 2, limit_s: float = 30.0) -> dict[int, httpx2.Client]:
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


def started(data: Path, check: Check, prefix: Sequence[str], env: Mapping[str, str]) -> Service:
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
    return Service(process, full, url, http, check)
