"""Programs as processes of a test, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from testbed.cluster import wait_until

T = TypeVar("T")
CLEAN = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}


def stopped(pid: int) -> bool:
    """Whether every thread of a process stands still (SIGSTOP)."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(") ")[2][0] == "T" for stat in threads)


def until(what: str, look: Callable[[], T], limit_s: float = 30.0) -> T:
    """Ask until the answer is true, and give it. Raises TimeoutError with `what` and the last answer."""
    return wait_until(what, look, timeout_s=limit_s)


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

    def listening(self, limit_s: float = 30.0) -> dict[str, Any]:
        """The line that says on which port it listens."""
        found = self._listening.get(timeout=limit_s)
        assert found is not None, f"ended without listening: {''.join(self.lines)}"
        return found

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait(self, limit_s: float = 30.0) -> int:
        """The exit code."""
        code = self.popen.wait(timeout=limit_s)
        self._reader.join(timeout=5)
        return code

    def stop(self, limit_s: float = 30.0) -> int:
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
