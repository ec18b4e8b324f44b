"""Where things are, how they are written whole or not at all, and the lock that makes a change one step."""

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from codeblue.model.errors import Forbidden, Unreachable, UsageError

Json = dict[str, Any]

#: A socket's path may have 107 bytes; supervisord first makes a temporary one with its process id appended.
_SOCKET_LIMIT = 95

#: What supervisord's configuration language takes without surprises in a path.
_PLAIN = re.compile(r"[\w/.,@+~ =-]+")


class Layout:
    """The paths below one workload's directory.

    Args:
        directory: may not exist yet.

    Raises:
        UsageError: no directory can have this path, or it has characters that supervisord's configuration would read as
            something else.
        Forbidden: we may not look there.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self.directory = Path(os.path.realpath(directory))
            with suppress(FileNotFoundError, NotADirectoryError):
                self.directory.stat()
        except PermissionError as error:
            raise Forbidden(
                f"{directory} may not be looked at by this user.", remedy="Run as the user who started it."
            ) from error
        except OSError as error:
            raise UsageError(
                f"The directory {str(directory)!r} cannot be had: {error.strerror}.",
                remedy="Correct platform.directory.",
            ) from error
        if not _PLAIN.fullmatch(str(self.directory)):
            raise UsageError(
                f"The directory {str(self.directory)!r} has characters that supervisord cannot have in a path.",
                remedy="Choose one made of letters, digits, spaces and / . , @ + ~ = _ -",
            )
        self.state = self.directory / "state.json"
        self.lock = self.directory / "lock"
        self.lease = self.directory / "lease.json"
        self.status = self.directory / "status.json"
        self.forwarder = self.directory / "forwarder.json"
        self.operator_lock = self.directory / "operator.lock"
        self.config = self.directory / "supervisord.conf"
        self.programs = self.directory / "programs"
        self.pods = self.directory / "pods"
        self.logs = self.directory / "logs"
        self.work = self.directory / "work"
        self.pidfile = self.directory / "supervisord.pid"

    @property
    def socket(self) -> Path:
        """Where supervisord listens: in the directory, or in a short one of our own where that would be too long."""
        inside = self.directory / "supervisor.sock"
        if len(os.fsencode(inside)) <= _SOCKET_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:20]
        # A fixed place, because every client has to find it; who listens there is checked at each connection.
        return Path("/tmp") / f"codeblue-{digest}" / "supervisor.sock"  # noqa: S108

    def make(self) -> None:
        """Create the folders, readable by their owner alone.

        Raises:
            Forbidden: not ours to create, or the socket's folder belongs to somebody else.
            Unreachable: the disk is full or read-only, or something else has that name.
        """
        try:
            for folder in (self.directory, self.programs, self.pods, self.logs, self.work, self.socket.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self.socket.parent.stat()
        except PermissionError as error:
            raise Forbidden(f"{error.filename} cannot be created: {error.strerror}.") from error
        except OSError as error:
            raise Unreachable(
                f"{error.filename} cannot be created: {error.strerror}. Nothing was started.",
                remedy="Free the disk, or remove what is there, or correct platform.directory.",
            ) from error
        if owner.st_uid != os.getuid():
            raise Forbidden(f"{self.socket.parent} belongs to user id {owner.st_uid}, so its socket cannot be trusted.")


def read_json(path: Path) -> Json | None:
    """The object in a file, or None where there is no such file.

    Raises:
        Forbidden: we may not read it. Unreachable: it cannot be read or is damaged.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise Forbidden(f"{path} may not be read by this user.", remedy="Run as the user who started it.") from error
    except (OSError, ValueError) as error:
        raise Unreachable(f"{path} cannot be read: {error}.", remedy="Restore the file, or remove it.") from error
    if not isinstance(data, dict):
        raise Unreachable(f"{path} does not hold a JSON object.", remedy="Restore the file, or remove it.")
    return data


def write_json(path: Path, data: Json, *, durable: bool = True) -> None:
    """Replace a file by the JSON text of an object; as `write_text`."""
    write_text(path, json.dumps(data, sort_keys=True), durable=durable)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file in one step, readable by its owner alone.

    Args:
        durable: it outlives a crash of the machine when the call returns. Off for what a restart writes anew.

    Raises:
        Forbidden, Unreachable: it could not be written (permission, disk full); the former content stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except PermissionError as error:
        raise Forbidden(f"{path} may not be written by this user.", remedy="Run as the user who started it.") from error
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Unreachable(f"{path} cannot be written: {error}.", remedy="Free some space on the disk.") from error


@contextmanager
def locked(path: Path, *, timeout_s: float = 5.0) -> Iterator[None]:
    """Hold the exclusive lock on a file; blocks the calling thread.

    Raises:
        Unreachable: somebody else held it for `timeout_s`. Forbidden: it may not be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise Unreachable(f"{path.parent} is gone.") from error
    except PermissionError as error:
        raise Forbidden(f"{path} may not be opened by this user.", remedy="Run as the user who started it.") from error
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Unreachable(
                        f"Another process held {path} for more than {timeout_s:g} s.",
                        remedy=f"See who holds it with `fuser {path}`.",
                    ) from error
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
