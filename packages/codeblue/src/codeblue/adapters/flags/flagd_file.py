"""Flag definitions of OpenFeature's flagd in a file on this machine: keeps `ports.flags.FlagStore`.

flagd, and the SDKs that read the file themselves, look at it again and again and may do so at any moment: it is written
beside and renamed, so that they find the old file or the new one. What a rename would lose (a link, the owner, the
permissions that let others read it) is kept, or nothing is written.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from codeblue.adapters.flag_change import Seen, missing, planned, wanted_of
from codeblue.adapters.flag_document import LIMIT, Form, edited, stored
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import CodeBlueError, Conflict, Forbidden, NotFound, Refused, Unreachable
from codeblue.model.flag import FlagValue, Stored
from codeblue.ports.clock import Clock

_ACL: Final = "system.posix_acl_access"
#: What a time in seconds as a float can tell apart, with a wide margin.
_TICK_NS: Final = 1_000_000
_Answer = TypeVar("_Answer")


class FlagdFile:
    """One file.

    Args:
        path: the file itself, no link to it.
        timeout_s: limit of one call; the disk can be somebody's network.
    """

    def __init__(self, path: Path, clock: Clock, *, timeout_s: float = 5.0) -> None:
        self._path, self._clock, self._timeout_s = path.absolute(), clock, timeout_s

    @property
    def place(self) -> str:
        """See `FlagStore.place`."""
        return f"flagd file {self._path}"

    async def read(self, names: tuple[str, ...]) -> Mapping[str, Stored]:
        """See `FlagStore.read`. Raises NotFound where there is no such file."""
        raw, _ = await self._within(self._read)
        return Seen(stored(raw, names, Form.FLAGD, self.place), _digest(raw))

    def change(self, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
        """See `FlagStore.change`."""
        return planned(self.place, seen, wanted)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `FlagStore.apply`. Raises NotFound where there is no such file."""
        digest = await self._within(lambda: self._apply(change))
        return Receipt(change.summary, f"sha256 {digest[:12]}", self._clock.now())

    async def close(self) -> None:
        """See `FlagStore.close`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path})"

    async def _within(self, work: Callable[[], _Answer]) -> _Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.to_thread(work)
        except TimeoutError:
            raise Unreachable(
                f"The {self.place} did not answer within {self._timeout_s:g} s.",
                remedy="Check the disk that it is on: is it mounted, does `ls` answer there?",
            ) from None
        except OSError as error:
            self._refuse(error)

    def _apply(self, change: Change) -> str:
        wanted = wanted_of(change)
        with self._alone():
            raw, was = self._read()
            if not missing(stored(raw, wanted, Form.FLAGD, self.place), wanted):
                return _digest(raw)
            if change.precondition and _digest(raw) != change.precondition:
                raise self._moved()
            if not was.st_mode & 0o222:
                raise Forbidden(
                    f"The {self.place} is read-only; nothing was written.",
                    remedy=f"`chmod u+w {self._path}` if Code Blue may write it.",
                )
            new = edited(raw, wanted, Form.FLAGD, self.place)
            self._replace(new, was)
        return _digest(new)

    def _read(self) -> tuple[bytes, os.stat_result]:
        """The file, and what it is. Raises OSError, and what `_refuse` and the port say."""
        # a pipe in its place must not hold us until somebody writes into it
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            what = os.fstat(descriptor)
            if not stat.S_ISREG(what.st_mode):
                raise Refused(f"The {self.place} is no file.", remedy="Give the path of the file itself.")
            if what.st_nlink > 1:
                raise Refused(
                    f"The {self.place} has {what.st_nlink} names (hard links): replaced, the others would keep the old "
                    "flags.",
                    remedy="Remove the other names, or make them files of their own.",
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(LIMIT + 1), what
        finally:
            os.close(descriptor)

    def _replace(self, new: bytes, was: os.stat_result) -> None:
        """Write beside and rename; leaves no rest. Raises OSError, Conflict, Forbidden."""
        descriptor, beside = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                self._keep(descriptor, was)
                file.write(new)
                file.flush()
                _date(descriptor, after=was)
                os.fsync(descriptor)
            if _version(os.lstat(self._path)) != _version(was):
                raise self._moved()
            Path(beside).replace(self._path)
        except (OSError, CodeBlueError):
            with suppress(FileNotFoundError):
                Path(beside).unlink()
            raise
        _sync(self._path.parent)

    def _keep(self, descriptor: int, was: os.stat_result) -> None:
        """Give the new file the old one's owner and permissions: who reads the flags must still be able to."""
        try:
            now = os.fstat(descriptor)
            if (now.st_uid, now.st_gid) != (was.st_uid, was.st_gid):
                os.fchown(descriptor, was.st_uid, was.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(was.st_mode))
            if _ACL in os.listxattr(self._path):
                os.setxattr(descriptor, _ACL, os.getxattr(self._path, _ACL))
        except PermissionError:
            raise Forbidden(
                f"The {self.place} belongs to user {was.st_uid}, group {was.st_gid}, and we can write none that does; "
                "nothing was written.",
                remedy="Run Code Blue as the user that owns the file.",
            ) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder's lock, which every Code Blue takes: between the last look and the rename nobody else writes."""
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Conflict(f"Somebody else writes flags into {self._path.parent} at this moment.") from None
        finally:
            os.close(descriptor)

    def _moved(self) -> Conflict:
        return Conflict(f"The {self.place} was changed by somebody else since it was read; nothing was written.")

    def _refuse(self, error: OSError) -> NoReturn:
        """What the operating system says, in our words."""
        why, path = error.strerror or type(error).__name__, self._path
        match error.errno:
            case errno.ENOENT if path.parent.exists():
                raise NotFound(
                    f"There is no {self.place}.", remedy="Check the path in the profile; flagd's own --uri names it."
                ) from None
            case errno.ELOOP if path.is_symlink():
                raise Refused(
                    f"The {self.place} is a link: it would be replaced, and not what it points to.",
                    remedy="Give the path of the file itself. A file that Kubernetes mounts is written as a ConfigMap.",
                ) from None
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise Forbidden(
                    f"The {self.place} may not be read or written by this user: {why}.",
                    remedy=f"Run as a user who may write {path.parent} and the file.",
                ) from None
            case errno.EBUSY:
                raise Refused(
                    f"The {self.place} is mounted by itself and cannot be replaced.", remedy="Mount its folder instead."
                ) from None
        raise Unreachable(
            f"The {self.place} could not be read or written: {why}.",
            remedy=f"Check the disk of {path.parent}: is it mounted, is there space?",
        ) from None


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _version(what: os.stat_result) -> tuple[int, ...]:
    return what.st_dev, what.st_ino, what.st_size, what.st_mtime_ns


def _date(descriptor: int, *, after: os.stat_result) -> None:
    """Make the new file's time later than the old one's, also where both came in one tick or the clock went back: SDKs
    read a file again when its time has grown (openfeature-provider-flagd, `file_watcher.py`).
    """
    now = os.fstat(descriptor)
    if now.st_mtime_ns < after.st_mtime_ns + _TICK_NS:
        os.utime(descriptor, ns=(now.st_atime_ns, after.st_mtime_ns + _TICK_NS))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
