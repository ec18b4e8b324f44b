"""The real program serving, as a process of a test: started, asked, killed, started again."""

import json
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.local_machine import free_port
from tests.process import stopped, until
from tests.unit.cli.program import CODEBLUE, environment
from tests.unit.web.desk import STATUS_TOKEN, TOKEN

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.model.event import Event

PROFILE = """\
version: 1
service: api
platform: {{kind: local, directory: {local}}}
health: {{interval: 500ms, timeout: 500ms}}
state: {{directory: ./state}}
report: {{directory: ./incidents}}
api:
  listen: "127.0.0.1:{port}"
  alerts_token: {{env: ALERTS_TOKEN}}
  status_token: {{env: STATUS_TOKEN}}
"""


@dataclass
class Answer:
    """What came back: 0 stands for no answer at all."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Served:
    """`codeblue serve` in a directory of its own."""

    def __init__(self, home: Path, local: Path, more: str = "") -> None:
        self.home, self.port = home, free_port()
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []
        self.profile = PROFILE.format(local=local, port=self.port) + more
        (home / "codeblue.yaml").write_text(self.profile)

    def write(self, more: str) -> None:
        """Add to the profile."""
        (self.home / "codeblue.yaml").write_text(self.profile + more)

    def start(self, *argv: str, acting: bool = True, **env: str) -> None:
        """Start it, and wait until it answers (and, unless told otherwise, acts)."""
        self.close()
        tokens = {"ALERTS_TOKEN": TOKEN, "STATUS_TOKEN": STATUS_TOKEN}
        self.lines = []
        self.err = (self.home / "stderr").open("a")
        self.process = subprocess.Popen(
            [CODEBLUE, "serve", "--json", *argv],
            cwd=self.home,
            env=environment(self.home) | tokens | env,
            stdout=subprocess.PIPE,
            stderr=self.err,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        until("an answer", lambda: self._ended() or self.get("/healthz").status == 200)
        if acting:
            until("the lease", lambda: self._ended() or self.get("/healthz").json.get("acting"))
        assert self.process.poll() is None, f"{''.join(self.lines)}{(self.home / 'stderr').read_text()}"

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def is_stopped(self) -> bool:
        """Whether it stands still by SIGSTOP."""
        assert self.process is not None
        return stopped(self.process.pid)

    def wait(self, limit_s: float = 30.0) -> int:
        assert self.process is not None
        code = self.process.wait(limit_s)
        self._reader.join(5)
        return code

    def close(self) -> None:
        """End it, in order where it can: then its lease is free for the next one."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self._reader.join(5)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.err.close()
            self.process = None

    def get(self, path: str, token: str = "") -> Answer:
        return self.send("GET", path, token=token)

    def alert(self, message: Any, token: str = TOKEN) -> Answer:
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.send("POST", "/v1/alerts", content, token=token, headers={"Content-Type": "application/json"})

    def send(
        self, method: str, path: str, content: bytes | None = None, *, token: str = "", headers: Any = None
    ) -> Answer:
        """One request on a connection of its own."""
        headers = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), dict(error.headers))
        except OSError:
            return Answer(0, "")

    def connect(self) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, content: bytes) -> bytes:
        """Send these bytes and read until the connection is closed."""
        with closing(self.connect()) as line:
            with suppress(OSError):
                line.sendall(content)
            return drain(line)

    def events(self, *kinds: str) -> list[Event]:
        record = SqliteRecord(self.home / "state" / "record.db", "api", SystemClock())
        try:
            return list(record.read(kinds=kinds))
        finally:
            record.close()

    def memory_mb(self) -> tuple[float, float]:
        """What it has in memory now, and the most that it ever had."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        now, most = (re.search(rf"{name}:\s+(\d+) kB", text) for name in ("VmRSS", "VmHWM"))
        assert now and most
        return int(now[1]) / 1024, int(most[1]) / 1024

    def descriptors(self) -> int:
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def drain(line: socket.socket) -> bytes:
    """What comes until the connection is closed."""
    got = b""
    try:
        while part := line.recv(65536):
            got += part
    except OSError:
        pass
    return got
