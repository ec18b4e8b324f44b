"""The directory in which the workers of one service keep their metrics, and those that killed services left behind.

A directory is named after the process that made it, and locked by it and its children until the last of them has
ended, however it ends. The pid tells a leftover on this machine; the lock also where another container, with pids of
its own, has the same temporary directory.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "ai-diagnostics-metrics-"
_NAME = re.compile(re.escape(PREFIX) + r"(\d+)-\w+")


def claim() -> Path:
    """Make a directory for the metrics of this process and of the children it forks from now on."""
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # a file system without locks: then the pid alone tells
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return directory


def sweep() -> int:
    """Remove the directories of services that were killed; returns how many. Call it before `claim`.

    Only those of this very user, and never through a symbolic link: anybody may write to the temporary directory.
    """
    removed = 0
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if (match := _NAME.fullmatch(entry.name)) and _is_left(Path(entry.path), int(match[1])):
                shutil.rmtree(entry.path, ignore_errors=True)
                removed += not os.path.lexists(entry.path)
    return removed


def _is_left(directory: Path, pid: int) -> bool:
    # our own pid in a name that we did not give: the pid of a predecessor, as in a container that was restarted
    if pid != os.getpid() and Path(f"/proc/{pid}").exists():
        return False
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # a link, a file, somebody else's, or swept by another service meanwhile
        return False
    try:
        if os.fstat(handle).st_uid != os.getuid():
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by somebody who lives
        return False
    finally:
        os.close(handle)
    return True
