"""What a killed service leaves in the temporary directory is taken away by the next one, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ai_diagnostics.metrics_directory import PREFIX, claim, sweep


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of this process, empty."""
    found = tmp_path / "temporary"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    return found


@pytest.fixture
def dead_pid() -> int:
    """The pid of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait(20)
    return done.pid


def test_a_service_takes_away_what_a_killed_one_left_and_not_what_a_living_one_has(launch, until, tmp_path) -> None:
    place = tmp_path / "shared"
    place.mkdir()

    def directories() -> set[str]:
        return {path.name for path in place.iterdir() if path.name.startswith(PREFIX)}

    killed = launch(TMPDIR=str(place))
    workers = list(killed.each_worker())
    [left] = directories()
    assert left.startswith(f"{PREFIX}{killed.process.popen.pid}-")
    killed.process.popen.kill()
    killed.process.wait()
    until("the orphans to end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert directories() == {left}
    living = launch(TMPDIR=str(place))
    [own] = directories() - {left}
    assert directories() == {own}
    assert '"metrics_swept"' in living.process.output
    living.get("/api/version")
    third = launch(TMPDIR=str(place))
    assert len(directories()) == 2
    assert living.metric("http_requests_total") > 0, "its metrics are still there"
    assert third.process.stop() == 0
    assert living.process.stop() == 0
    assert directories() == set()


def test_only_what_is_left_is_swept(temporary: Path, dead_pid: int) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    left = temporary / f"{PREFIX}{dead_pid}-left"
    left.mkdir()
    (left / "counter_1.db").touch()
    (left / "link").symlink_to(elsewhere)
    kept = [temporary / f"{PREFIX}{os.getppid()}-living", temporary / f"{PREFIX}nobody", temporary / f"{PREFIX}1x-y"]
    for path in kept:
        path.mkdir()
    link = temporary / f"{PREFIX}{dead_pid}-link"
    link.symlink_to(elsewhere)
    file = temporary / f"{PREFIX}{dead_pid}-file"
    file.touch()
    assert sweep() == 1
    assert sorted(temporary.iterdir()) == sorted([elsewhere, *kept, link, file])
    assert (elsewhere / "precious").exists()


def test_what_is_locked_is_in_use_whatever_its_pid_says(temporary: Path, dead_pid: int) -> None:
    """As another container sees it, whose pids are others; and a predecessor that had our own pid."""
    used = claim().rename(temporary / f"{PREFIX}{dead_pid}-used")
    assert sweep() == 0
    assert used.exists()
    (temporary / f"{PREFIX}{os.getpid()}-before").mkdir()
    assert sweep() == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make what is somebody else's")
def test_what_is_another_users_is_left_alone(temporary: Path, dead_pid: int) -> None:
    foreign = temporary / f"{PREFIX}{dead_pid}-foreign"
    foreign.mkdir()
    os.chown(foreign, 1000, 1000)
    assert sweep() == 0
    assert foreign.exists()
