"""The state directory has one owner, and the kernel knows when it died. Named crash points."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from codeblue.engine.state import Owner, StateDirectory
from codeblue.model.errors import Unreachable

OWN = """
import os, sys
from pathlib import Path
from codeblue.engine.state import Owner, StateDirectory
state = StateDirectory(Path(sys.argv[1]))
try:
    former = state.own(Owner("child", "serve", os.getpid()))
except BlockingIOError:
    print("held by", state.owner().holder)
    sys.exit()
print("owned, former", former and former.holder, flush=True)
sys.stdin.read()
"""


def child(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


ME = Owner("me", "command", os.getpid())


@pytest.mark.req("B3")
@pytest.mark.defect("D7")
def test_two_processes_cannot_own_it_and_a_killed_owner_frees_it_at_once(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    with child(tmp_path / "state") as process:
        assert first_line(process) == "owned, former None"
        with pytest.raises(BlockingIOError):
            state.own(ME)
        assert state.owner() == Owner("child", "serve", process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert state.owner() is None
        assert state.own(ME) == Owner("child", "serve", process.pid), "the former owner, dead for sure"
    with child(tmp_path / "state") as second:
        assert first_line(second) == "held by me"
    state.disown()
    assert state.owner() is None
    state.disown()


def test_who_asks_for_the_owner_keeps_no_owner_from_starting(tmp_path: Path) -> None:
    """Asking holds the lock for a moment; here somebody asks all the time."""
    state, over = StateDirectory(tmp_path / "state"), threading.Event()
    state.own(ME)
    state.disown()

    def ask() -> None:
        other = StateDirectory(tmp_path / "state")
        while not over.is_set():
            other.owner()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(200):
            state.own(ME)
            state.disown()
    finally:
        over.set()
        asking.join()


def test_an_owner_has_a_name_at_every_moment(tmp_path: Path) -> None:
    """Whoever finds the directory owned by nobody acts by itself."""
    state, over = StateDirectory(tmp_path / "state"), threading.Event()
    state.own(ME)
    seen: set[Owner | None] = set()

    def ask() -> None:
        other = StateDirectory(tmp_path / "state")
        while not over.is_set():
            seen.add(other.owner())

    asking = threading.Thread(target=ask)
    asking.start()
    kinds = [Owner("a rather longer name", "standby", 1), ME]
    try:
        for n in range(400):
            state.become(kinds[n % 2])
    finally:
        over.set()
        asking.join()
        state.disown()
    assert None not in seen


def test_a_first_owner_has_no_predecessor_and_the_directory_is_private(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "a" / "state")
    assert state.owner() is None
    assert state.own(ME) is None
    assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700
    assert state.record.parent == state.engine.parent == state.path
    state.disown()
    assert state.own(ME) == ME
    state.disown()


@pytest.mark.parametrize("content", ["", "null", "{", "[]", '{"holder": "x"}', '{"holder": 1, "kind": 2, "pid": "x"}'])
def test_a_note_that_was_cut_off_hinders_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "owner").write_text(content)
    state = StateDirectory(tmp_path)
    assert state.own(ME) is None
    assert StateDirectory(tmp_path).owner() == ME
    state.disown()


def test_a_directory_that_cannot_be_used_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "state", Path("/proc/state")):
        with pytest.raises(Unreachable, match="Nothing was changed") as caught:
            StateDirectory(path).own(ME)
        assert "state.directory" in caught.value.remedy


def at_point(name: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    code = f"from codeblue.engine.crashpoint import crashpoint; crashpoint('{name}'); print('alive', flush=True)"
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.req("B3")
def test_a_process_dies_at_the_named_point_and_only_there() -> None:
    for name, code in (("template.applied", -signal.SIGKILL), ("template.intended", 0)):
        with at_point(name, {"CODEBLUE_KILL_AT": "template.applied"}) as process:
            assert process.wait(30) == code
    with at_point("template.applied", {}) as process:
        assert first_line(process) == "alive"


@pytest.mark.req("B3")
def test_a_process_freezes_at_the_named_point_and_goes_on_where_it_was() -> None:
    with at_point("template.applied", {"CODEBLUE_FREEZE_AT": "template.applied"}) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert first_line(process) == "alive"
        assert process.wait(30) == 0
