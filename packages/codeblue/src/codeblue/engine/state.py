"""The directory where one Code Blue keeps its state, and the lock that says who owns it."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from codeblue.model.errors import Unreachable

#: How often the lock is tried, 20 ms apart.
LOCK_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a state directory: the process that may launch the engine on it.

    Attributes:
        holder: its name in the lease.
        kind: "serve" takes up requested runs of others; "standby" does once it holds the lease; "command" does only its
            own.
    """

    holder: str
    kind: str
    pid: int


class StateDirectory:
    """One owner at a time, by a lock that the kernel frees when its process dies, however it dies.

    So whoever gets the lock knows that the former owner is dead, and may take over its lease without waiting.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    @property
    def record(self) -> Path:
        return self.path / "record.db"

    @property
    def engine(self) -> Path:
        return self.path / "engine.db"

    def own(self, me: Owner) -> Owner | None:
        """Become the owner.

        Returns:
            the former owner, dead by now, or None if there was none.

        Raises:
            BlockingIOError: somebody else owns it; see `owner`.
            Unreachable: the directory cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            opened = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            file = os.fdopen(opened, "r+", encoding="utf-8")
        except OSError as error:
            raise Unreachable(
                f"The state directory {self.path} cannot be used: {error.strerror}. Nothing was changed.",
                remedy="Repair it, or set state.directory to another place.",
            ) from error
        try:
            _lock(file)
        except BlockingIOError:
            file.close()
            raise
        former = _parse(file)
        try:
            _note(file, me)
        except OSError as error:
            file.close()
            raise self._full(error) from error
        self._file = file
        return former

    def become(self, me: Owner) -> None:
        """Note another kind of the owner that we are. Raises Unreachable: it cannot be written."""
        if self._file is None:
            raise RuntimeError("we do not own it")
        try:
            _note(self._file, me)
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> Unreachable:
        return Unreachable(
            f"The state directory {self.path} cannot be written: {error.strerror}. Nothing was changed.",
            remedy="Free the disk, or set state.directory to another place.",
        )

    def owner(self) -> Owner | None:
        """Who owns it now, None if nobody does."""
        try:
            with (self.path / "owner").open("r", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return _parse(file)
                return None
        except OSError:
            return None

    def disown(self) -> None:
        """Give it up; the kernel does the same when we die."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _note(file: IO[str], me: Owner) -> None:
    """In one write, over what was there: who reads it meanwhile never finds an owner that has no name."""
    file.seek(0)
    file.write(json.dumps({"holder": me.holder, "kind": me.kind, "pid": me.pid}).ljust(512))
    file.flush()
    file.truncate()
    os.fsync(file.fileno())


def _lock(file: IO[str]) -> None:
    """Lock it for good. Who only asks for the owner holds it for a moment, and must not keep an owner from starting.

    Raises:
        BlockingIOError: somebody owns it.
    """
    for attempt in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt == LOCK_ATTEMPTS - 1:
                raise
            time.sleep(0.02)


def _parse(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        data = json.loads(file.read() or "null")
        return Owner(str(data["holder"]), str(data["kind"]), int(data["pid"])) if data else None
    except (ValueError, KeyError, TypeError):
        return None
