"""What the machine refuses (files, disks, streams, accounts) is told in words: what, where, what to do next."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from cyclopts import App
from tests.unit.cli.program import CODEBLUE, PROFILE, Answer, Home, environment

from codeblue.cli.frame import run_app

LONG = "x" * 300
START = ("local", "start", "template.yaml")


def located(path: Path, *, platform: str = "./local", state: str = "./state") -> Home:
    (path / "template.yaml").write_text('command: [python3]\nversion: "1"\n')
    (path / "file").write_text("")
    (path / "loop").symlink_to("loop")
    return Home(path, PROFILE.replace("./local", platform).replace("./state", state))


def assert_told(answer: Answer, code: int, *words: str) -> None:
    assert answer.code == code, answer
    assert "Traceback" not in answer.err
    assert answer.err.count("Next: ") == 1
    for word in words:
        assert word in answer.err


def test_a_state_directory_that_cannot_be_is_a_dependency_that_cannot_be_had(tmp_path: Path) -> None:
    home = located(tmp_path, state=LONG)
    for argv in (("status",), ("run", "list"), ("rollback", "--yes", "--reason", "r"), ("serve",)):
        assert_told(home.run(*argv), 4, "File name too long", LONG)
    assert "Nothing was changed." in home.run("status").err
    assert home.run("status", "--json").document["exit_code"] == 4


@pytest.mark.parametrize(
    ("directory", "code", "words"),
    [("./loop", 2, "Too many levels of symbolic links"), ("./file", 4, "File exists"), (LONG, 2, "File name too long")],
)
def test_a_place_where_no_workload_can_be(tmp_path: Path, directory: str, code: int, words: str) -> None:
    home = located(tmp_path, platform=directory)
    assert_told(home.run(*START), code, words, "platform.directory")
    if code == 2:
        for argv in (("local", "deploy", "template.yaml"), ("local", "stop"), ("verify",)):
            assert_told(home.run(*argv), 2, words)


def test_a_profile_that_is_a_directory_is_a_usage_error(home: Home) -> None:
    for argv in (("check",), ("status",), ("run", "list"), ("serve",)):
        answer = home.run(*argv, "--profile", ".")
        assert (answer.code, "is a directory" in answer.err) == (2, True), answer


def into(home: Home, *argv: str, out: IO[str] | int = subprocess.PIPE, redirect: str = "") -> Answer:
    """Run with this as standard output, or through the shell with a redirection."""
    command = ["sh", "-c", f'"$0" "$@" {redirect}', CODEBLUE, *argv] if redirect else [CODEBLUE, *argv]
    done = subprocess.run(
        command,
        cwd=home.path,
        env=environment(home.path),
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, done.stdout or "", done.stderr, 0, 0)


def test_a_result_that_cannot_be_written_is_no_success(home: Home) -> None:
    with Path("/dev/full").open("w") as full:
        for argv in (("status",), ("run", "list", "--json")):
            answer = into(home, *argv, out=full)
            assert_told(answer, 1, "The result could not be written", "No space left on device")
        answer = into(home, "run", "show", "x", "--json", out=full)
        assert_told(answer, 3, "There is no run 'x'")
        for argv in (("--help",), ("run", "--help")):
            answer = into(home, *argv, out=full)
            assert (answer.code, "Traceback" in answer.err) == (1, False)
            assert "No space left on device" in answer.err


def test_closed_streams_are_no_error(home: Home) -> None:
    for argv in (("status",), ("--help",), ("run", "--help")):
        assert into(home, *argv, redirect=">&-").code == 0
        assert into(home, *argv, redirect="2>&-").code == 0


def test_signs_that_a_terminal_does_not_know_are_no_error(home: Home) -> None:
    home.run("check")
    answer = home.run("rollback", "--help", env={"PYTHONIOENCODING": "ascii"})
    assert (answer.code, answer.err) == (0, "")


def test_a_machine_without_home_and_without_a_name_for_this_account(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    from codeblue.cli.actor import login
    from codeblue.profile import pointer

    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert login() == f"uid {os.getuid()}"
    pointer.write_pointer(home.path / "codeblue.yaml", pointer.Pointer("api", "", "local", "p", "api"))
    assert pointer.read_pointer(home.path / "codeblue.yaml") is None


def test_a_profile_whose_name_is_no_text_is_read(tmp_path: Path) -> None:
    home = located(tmp_path)
    odd = os.fsencode(tmp_path) + b"/\xff.yaml"
    Path(os.fsdecode(odd)).write_text(PROFILE)
    assert home.run("check", "--profile", os.fsdecode(odd)).code == 0


@pytest.fixture
def signals() -> Iterator[None]:
    """What a command does to signals is undone."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = [signal.getsignal(n) for n in numbers]
    yield
    for number, handler in zip(numbers, former, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/var/x"), "Free the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "/var/x"), "Give this user the right"),
        (OSError(errno.EROFS, "Read-only file system", "/var/x"), "Give this user the right"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/var/x"), "Look at that place"),
    ],
)
@pytest.mark.usefixtures("signals")
def test_no_error_of_the_system_leaves_as_a_traceback(
    error: OSError, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a failure, because nobody knows here what was done before it."""
    app = App(name="codeblue")

    @app.command
    def verb(*, json: bool = False) -> None:
        raise error

    assert run_app(app, ["verb"]) == 1
    said = capsys.readouterr().err
    assert f"{error.strerror} (/var/x)" in said
    assert f"Next: {remedy}" in said
    assert run_app(app, ["verb", "--json"]) == 1
    captured = capsys.readouterr()
    assert '"exit_code": 1' in captured.out
    assert captured.err == ""
