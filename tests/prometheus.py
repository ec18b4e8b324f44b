"""A real Prometheus for tests: its own data directory and port, gone when the tests are, even when they are killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.process import Process, stopped, until

_LISTENING = re.compile(r'msg="Listening on" address=127\.0\.0\.1:(\d+)')


@dataclass
class Prometheus:
    """A running server.

    Attributes:
        directory: of its configuration, data and log of queries.
    """

    process: Process
    directory: Path
    url: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query, asked with a client of our own choice: not the adapter under test."""
        answer = httpx2.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=10, trust_env=False)
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def until(self, query: str, limit_s: float = 30.0) -> list[dict[str, Any]]:
        """Ask until there is a result."""
        return until(f"a result of {query}", lambda: self.ask(query), limit_s)

    def queries(self) -> list[str]:
        """The expressions that it was asked, as it understood them, oldest first."""
        lines = (self.directory / "queries.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["params"]["query"] for line in lines]

    def freeze(self) -> None:
        """Stop all of its threads; its socket still takes connections."""
        os.kill(self.process.popen.pid, signal.SIGSTOP)
        until("Prometheus stands still", lambda: stopped(self.process.popen.pid))

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.process.popen.pid, signal.SIGCONT)


@contextlib.contextmanager
def running(
    directory: Path,
    jobs: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    interval: str = "250ms",
    more: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """A server that scrapes.

    Args:
        jobs: by name, each a list of `static_configs` (`{"targets": ["127.0.0.1:5000"], "labels": {"pod": "a"}}`).
        interval: of scrapes and of the evaluation of rules.
        more: further keys of the configuration (`rule_files`, `alerting`).
        arguments: of the command line.
    """
    if shutil.which("prometheus") is None:
        pytest.fail("prometheus is missing: apt-get install -y --no-install-recommends prometheus")
    pace = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    config = {
        "global": {**pace, "query_log_file": str(directory / "queries.log")},
        "scrape_configs": [{"job_name": job, "static_configs": list(found)} for job, found in jobs.items()],
        **(more or {}),
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    flags = {
        "config.file": file,
        "storage.tsdb.path": directory / "data",
        "web.listen-address": "127.0.0.1:0",
        "log.level": "info",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in flags.items()), "--web.enable-lifecycle"]
    process = Process([*command, *arguments], {})
    try:
        found = until("Prometheus listens", lambda: _LISTENING.search(process.output))
        server = Prometheus(process, directory, f"http://127.0.0.1:{found[1]}")
        until("Prometheus is ready", lambda: _ready(server.url))
        yield server
    finally:
        process.close()


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/-/ready", timeout=5, trust_env=False).status_code in (200, 401)
    except httpx2.TransportError:
        return False
