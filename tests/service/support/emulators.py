"""The external systems, emulated by a process with switches for faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from tests.process import Process
from tests.service.support.service import NO_TLS, PYTHON


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


@contextlib.contextmanager
def running(log: Path) -> Iterator[Emulators]:
    """The emulators; they end with exit code 0."""
    process = Process([*PYTHON, "emulators", "--port", "0", "--log", str(log)], {})
    try:
        said = process.listening()
        with httpx2.Client(base_url=said["url"], timeout=10, trust_env=False, verify=NO_TLS) as http:
            yield Emulators(process, said["url"], said["env"], log, http)
        assert process.stop() == 0
    finally:
        process.close()
