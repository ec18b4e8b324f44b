"""The real program as a subprocess."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.record.events import Story

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.model.event import Draft

CODEBLUE = Path(sys.executable).with_name("codeblue")
#: Longer than any verb takes here on the busiest machine; a program that hangs is killed then.
LIMIT_S = 120.0
PROFILE = """\
version: 1
service: api
platform: {kind: local, directory: ./local}
state: {directory: ./state}
report: {directory: ./incidents}
"""


@dataclass(frozen=True)
class Answer:
    """How the program ended.

    Attributes:
        cpu_s, wall_s: seconds of user and system time, and by the clock.
    """

    code: int
    out: str
    err: str
    cpu_s: float
    wall_s: float

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


def environment(home: Path) -> dict[str, str]:
    """That of a user whose home is there, without settings of ours."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("CODEBLUE")}
    return plain | {"XDG_CACHE_HOME": str(home / ".cache"), "HOME": str(home)}


def run(*argv: str, cwd: Path, env: dict[str, str] | None = None, stdin: str = "") -> Answer:
    """Run `codeblue` without a terminal, to its end."""
    out, err = cwd / f".out-{time.monotonic_ns()}", cwd / f".err-{time.monotonic_ns()}"
    begun = time.monotonic()
    with out.open("wb") as o, err.open("wb") as e:
        process = subprocess.Popen(
            [CODEBLUE, *argv], cwd=cwd, env=environment(cwd) | (env or {}), stdin=subprocess.PIPE, stdout=o, stderr=e
        )
        assert process.stdin is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        late = threading.Timer(LIMIT_S, process.kill)
        late.start()
        _, status, usage = os.wait4(process.pid, 0)
        late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    answer = Answer(
        process.returncode,
        out.read_text("utf-8"),
        err.read_text("utf-8"),
        usage.ru_utime + usage.ru_stime,
        time.monotonic() - begun,
    )
    out.unlink()
    err.unlink()
    return answer


class Home:
    """A directory with a profile and, once `tell` was called, a record."""

    def __init__(self, path: Path, profile: str = PROFILE) -> None:
        self.path = path
        (path / "codeblue.yaml").write_text(profile)

    def run(self, *argv: str, env: dict[str, str] | None = None) -> Answer:
        return run(*argv, cwd=self.path, env=env)

    @property
    def file(self) -> Path:
        return self.path / "state" / "record.db"

    def record(self) -> SqliteRecord:
        return SqliteRecord(self.file, "api", SystemClock())

    def tell(self, story: Story) -> None:
        """Append the events of a story to the record."""
        record = self.record()
        for e in story.events:
            record.append(Draft(e.kind, e.actor, e.data, e.run, e.incident))
        record.close()
