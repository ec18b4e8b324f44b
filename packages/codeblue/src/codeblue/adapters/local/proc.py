"""What /proc tells: whose processes live, and what a tree of them uses (man 5 proc)."""

import os
import signal
from contextlib import suppress
from pathlib import Path

#: In the environment of everything that one workload started, directly or not: its directory, and the replica.
MARKER = "CODEBLUE_LOCAL_DIRECTORY"
POD_MARKER = "CODEBLUE_LOCAL_POD"

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def marked(directory: Path, *, pod: str = "") -> list[int]:
    """Process ids of everything that the workload in `directory` started, or that one replica of it did.

    Environments are inherited, so this finds orphans and children of children too; it never finds this process.
    """
    wanted = {f"{MARKER}={directory}".encode()} | ({f"{POD_MARKER}={pod}".encode()} if pod else set())
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if wanted <= set(environment.split(b"\0")):
            found.append(int(entry.name))
    return found


def kill_marked(directory: Path, *, pod: str = "", number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal to everything that `marked` finds; whether there was anything."""
    found = marked(directory, pod=pod)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(found)


def tree(pid: int) -> list[int]:
    """A process and its descendants; empty when it does not exist."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    if not _stat(pid):
        return []
    found, rest = [], [pid]
    while rest:
        found.append(rest.pop())
        rest += children.get(found[-1], [])
    return found


def memory_bytes(pids: list[int]) -> int:
    """Resident memory of some processes. Pages that they share count for each of them."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        total += int(fields[21]) * _PAGE if fields else 0
    return total


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that some processes used since they started, user and system."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        total += int(fields[11]) + int(fields[12]) if fields else 0
    return total / _TICKS


def available_bytes() -> int | None:
    """Memory that could be given to new processes without swapping; None where the kernel does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (index 0), empty when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
