"""How long `codeblue --help` and `codeblue status` take, against the bare interpreter (`python -c pass`).

The three alternate within one run, so that a busy moment of the machine hits all. Compared are the medians; the raw
numbers stand beside them, wall-clock and CPU (user + system) apart. The status is that of a record with two hundred
runs in it.

Usage: benchmarks/startup.py [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.model.event import Draft
from codeblue.model.ids import new_id

TARGETS = {"--help": 6.0, "status": 15.0}
PROFILE = (
    "version: 1\nservice: ai-diagnostics-api\nplatform: {kind: local, directory: ./local}\n"
    "state: {directory: ./state}\n"
)


def timed(argv: list[str], folder: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one process."""
    begun = time.monotonic()
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, env=os.environ | {"HOME": str(folder)})
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, argv
    return wall, usage.ru_utime + usage.ru_stime


def fill(folder: Path) -> None:
    """A profile that was checked, and a record as some months leave it."""
    (folder / "codeblue.yaml").write_text(PROFILE)
    record = SqliteRecord(folder / "state" / "record.db", "ai-diagnostics-api", SystemClock())
    steps = [{"id": f"step{n}", "title": "Step", "limit_s": 10} for n in range(5)]
    for _ in range(200):
        run = new_id("run", datetime.now(UTC))
        data = {"runbook": "recovery", "reason": "r", "inputs": {}, "steps": steps, "digest": "d", "deadline_s": 300}
        record.append(Draft("run.requested", "watch", data, run=run))
        for step in steps:
            record.append(Draft("step.started", "engine", {"step": step["id"]}, run=run))
            record.append(Draft("step.ended", "engine", {"step": step["id"], "state": "done", "why": "w"}, run=run))
        ended = {"state": "done", "why": "every step is proven", "remedy": "", "exit_code": 0}
        record.append(Draft("run.ended", "engine", ended, run=run))
    record.close()


def main() -> int:
    """Measure and print; exit 1 when a ratio is over its target."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    codeblue = str(Path(sys.executable).with_name("codeblue"))
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    commands |= {f"codeblue {verb}": [codeblue, verb] for verb in TARGETS}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        timed([codeblue, "check"], folder)
        for number in range(rounds + 1):
            for command, argv in commands.items():
                measured = timed(argv, folder)
                if number:  # the first round fills the page cache
                    taken[command].append(measured)
    over = False
    for kind, title in enumerate(("wall-clock", "CPU")):
        medians = {name: statistics.median(m[kind] for m in values) for name, values in taken.items()}
        peer = medians["python -c pass"]
        for command, values in taken.items():
            raw = " ".join(f"{m[kind] * 1000:.0f}" for m in values)
            print(f"{title:<10} {command:<16} median {medians[command] * 1000:6.1f} ms   raw ms: {raw}")
        for verb, target in TARGETS.items():
            ratio = medians[f"codeblue {verb}"] / peer
            over = over or ratio > target
            print(f"{title:<10} codeblue {verb} is {ratio:.1f} × python -c pass (target ≤ {target:g})")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
