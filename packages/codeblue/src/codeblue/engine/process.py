"""Which process executes a run, named so that another one can know that it is dead, and never believes it wrongly."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """A name of this process: place, number, start. "" where the system does not tell (no /proc).

    The place is a digest of what a number is unique in: this boot of this machine, and the namespace of processes
    (two containers on a machine have a process 7 each). The start, because numbers are used again.
    """
    place, start = _place(), _start(os.getpid())
    return f"{place}/{os.getpid()}/{start}" if place and start else ""


def is_gone(name: str) -> bool:
    """Whether the process of this name is certainly dead. False for one elsewhere, and for every doubt."""
    place, _, rest = name.partition("/")
    number, _, start = rest.partition("/")
    if not place or place != _place() or not number.isdecimal() or not start:
        return False
    try:
        os.kill(int(number), 0)  # not by looking for it in /proc, which can hide the processes of other users
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it is another user's, or no number of a process
    now = _start(int(number))
    return now not in ("", start)


def _place() -> str:
    own = _PROC / "self"
    try:
        if str(own.readlink()) != str(os.getpid()):  # what is mounted there tells of another namespace
            return ""
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        spaces = [str((own / "ns" / "pid").readlink())]
    except (OSError, UnicodeDecodeError):
        return ""
    with suppress(OSError):  # before Linux 5.6 there is one for all
        spaces.append(str((own / "ns" / "time").readlink()))  # starts are told in its time
    return hashlib.sha256(" ".join((boot, *spaces)).encode()).hexdigest()[:16]


def _start(number: int) -> str:
    """When it was started, in ticks since the boot; "dead" for one that only waits to be taken note of; "" unknown."""
    try:
        stat = (_PROC / str(number) / "stat").read_bytes()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()  # its name, in brackets, can hold blanks and brackets
    if len(fields) < 20:
        return ""
    return "dead" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii", "replace")
