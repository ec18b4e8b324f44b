"""The real program on a terminal of its own, as a person has it; and without one, with signals."""

import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest
from tests.unit.cli.program import CODEBLUE, LIMIT_S, environment


class Terminal:
    """A pseudoterminal with the program on it.

    Attributes:
        text: what it has shown so far.
    """

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master, self.text = process, master, ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, part: str, limit_s: float = LIMIT_S) -> None:
        """Read until this was shown."""
        end = time.monotonic() + limit_s
        while part not in self.text:
            assert time.monotonic() < end, f"never showed {part!r}: {self.text}"
            assert self._read(), f"ended without showing {part!r}: {self.text}"

    def ended(self, limit_s: float = LIMIT_S) -> int:
        """The exit code; reads what it still shows."""
        end = time.monotonic() + limit_s
        while self._read():
            assert time.monotonic() < end, f"does not end: {self.text}"
        return self.process.wait(limit_s)

    def hang_up(self) -> None:
        """Close it, as a lost connection does: the program gets SIGHUP, and can show nothing any more."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)
        if self._master >= 0:
            os.close(self._master)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the terminal any more
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def terminal(*argv: str, cwd: Path, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """`codeblue …` on a terminal of this size, which Ctrl-C and Ctrl-D reach; killed at the end of the block."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        ["setsid", "--ctty", CODEBLUE, *argv],  # which becomes the program, with this as the terminal that rules it
        cwd=cwd,
        env=environment(cwd) | {"TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = Terminal(process, master)
    try:
        yield shown
    finally:
        shown.close()


class Started:
    """The program without a terminal, while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def signalled(self, number: signal.Signals, limit_s: float = LIMIT_S) -> tuple[int, str, str]:
        """Send a signal, and wait for exit code, standard output and standard error."""
        self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"does not end by {number.name}: {self.process.communicate()}")
        return self.process.returncode, out, err


@contextmanager
def started(*argv: str, cwd: Path, ignoring: signal.Signals | None = None) -> Iterator[Started]:
    """`codeblue …` as a process; killed at the end of the block.

    Args:
        ignoring: a signal that it finds ignored, as `nohup` leaves SIGHUP.
    """
    process = subprocess.Popen(
        [*(["env", f"--ignore-signal={ignoring.name[3:]}"] if ignoring else []), CODEBLUE, *argv],
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Started(process)
    finally:
        process.kill()
        process.wait(LIMIT_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None:  # not read to its end: what the program started may have it as well
                stream.close()
