"""The demo: the whole story, only in a directory of its own, and nothing of it runs on when it has ended."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.process import until
from tests.unit.cli.program import run
from tests.unit.cli.terminal import started

from codeblue.adapters.local.proc import kill_marked, marked
from codeblue.cli.demo import GOOD, MARKER_FILE, Place

pytestmark = pytest.mark.slow


def everything(path: Path) -> dict[str, bytes | str]:
    """All files below a path, and where its links lead."""
    return {
        str(p.relative_to(path)): str(p.readlink()) if p.is_symlink() else p.read_bytes() if p.is_file() else ""
        for p in path.rglob("*")
    }


def running(directory: Path) -> list[int]:
    return marked(directory) + marked(directory / "platform")


@pytest.mark.parametrize(
    "content", [("codeblue.yaml", "state/record.db", "incidents/inc.md"), ("notes.txt",), (f"{MARKER_FILE}/x",)]
)
def test_a_directory_that_no_demo_made_is_not_touched(tmp_path: Path, content: tuple[str, ...]) -> None:
    directory = tmp_path / "mine"
    for name in content:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"my {name}")
    before = everything(tmp_path)
    for argv in (("--directory", "mine"), ("--directory", "mine", "--json"), ("--directory", f"mine/{content[0]}")):
        answer = run("demo", *argv, cwd=tmp_path)
        assert answer.code == 3, answer
        assert "Nothing was touched." in answer.err or "Nothing was touched." in answer.document["message"]
    assert everything(tmp_path) == before


def test_a_marker_that_is_a_link_marks_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "mine" / MARKER_FILE).symlink_to("../elsewhere")
    before = everything(tmp_path)
    assert run("demo", "--directory", "mine", cwd=tmp_path).code == 3
    assert everything(tmp_path) == before


def test_links_in_a_demos_directory_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("state", "platform"):
        (tmp_path / "mine" / name).mkdir()
        (tmp_path / "mine" / name / "state.json").write_text("mine")
    (tmp_path / "mine" / "profile").write_text("mine")
    before = everything(tmp_path / "mine")
    demo = tmp_path / "codeblue-demo"
    demo.mkdir()
    (demo / MARKER_FILE).write_text("")
    for name, target in (("state", "state"), ("platform", "platform"), ("codeblue.yaml", "profile")):
        (demo / name).symlink_to(f"../mine/{target}")
    with Place(demo).claimed("http://127.0.0.1:1/v1"):
        assert sorted(p.name for p in demo.iterdir()) == [MARKER_FILE, "codeblue.yaml", "data"]
    assert everything(tmp_path / "mine") == before


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name, code in (("loop", 2), ("a#b", 2), ("x" * 300, 2), ("/proc/none", 4)):
        answer = run("demo", "--directory", name, cwd=tmp_path)
        assert answer.code == code, answer
        assert "Traceback" not in answer.err
        assert "--directory" in answer.err.partition("Next: ")[2]
    assert list(everything(tmp_path)) == ["loop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_ends_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    directory = tmp_path / "codeblue-demo"
    with started("demo", "--keep", "--json", cwd=tmp_path) as demo:
        until("the daemon to own its state", (directory / "state" / "owner").exists)
        assert len(running(directory)) > 3
        second = run("demo", cwd=tmp_path)
        assert second.code == 3, second
        assert "Another demo is running" in second.err
        code, out, err = demo.signalled(number)
    assert running(directory) == []
    document = json.loads(out)
    assert (code, document["exit_code"]) == (130, 130)
    assert "everything that the demo had started is ended" in document["message"]
    assert "Traceback" not in err


def test_a_demo_after_one_that_was_killed_tells_the_whole_story(tmp_path: Path) -> None:
    directory = tmp_path / "codeblue-demo"
    with started("demo", cwd=tmp_path) as demo:
        until("the daemon to own its state", (directory / "state" / "owner").exists)
        demo.process.kill()
        demo.process.wait()
        orphans = running(directory)
        assert orphans
    try:
        (directory / "notes.txt").write_text("a person's, and no part of the demo")
        answer = run("demo", "--json", "--keep", cwd=tmp_path)
        assert answer.code == 0, answer
        assert "Ending what an earlier demo left running" in answer.err
        assert not any(Path(f"/proc/{pid}").exists() for pid in orphans)
        document = answer.document
        assert 0 < document["failed_requests"] < document["requests"]
        assert Path(document["report"]).read_text().startswith(f"# Incident {document['incident']}")
        assert (directory / "notes.txt").exists()
        told = " ".join(answer.err.split())
        assert re.search(r"failing, not often enough to act yet: 1\.5\.0 \(\w+\): 3 consecutive failures ≤ 3", told)
        assert "ok: 1.5.0" not in told
        assert "status page says resolved" in Path(document["report"]).read_text()
        errors = next(x for x in Path(document["report"]).read_text().splitlines() if x.startswith("- Error rate: "))
        assert float(re.findall(r"highest ([\d.]+) %", errors)[0]) > 5, "clients' failures are in the curve"
        assert all(len(line) <= 80 for line in answer.err.splitlines() if "/" not in line)
        assert marked(directory) == [], "the daemon ended with the demo"
        stopped = run("local", "stop", "--forget", "--profile", document["profile"], cwd=tmp_path)
        assert stopped.code == 0, stopped
        assert running(directory) == []
    finally:
        for place in (directory, directory / "platform"):
            kill_marked(place)


def test_a_failed_demo_keeps_its_logs_and_ends_what_it_started(tmp_path: Path) -> None:
    directory = tmp_path / "codeblue-demo"
    with started("demo", cwd=tmp_path) as demo:
        until("the daemon to own its state", (directory / "state" / "owner").exists)
        for pid in marked(directory):
            os.kill(pid, signal.SIGKILL)
        try:
            out, err = demo.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            pytest.fail("it waits for a daemon that is dead")
    assert (demo.process.returncode, out) == (1, "")
    assert f"The daemon ended while the demo waited for {GOOD} to be known-good." in err
    assert running(directory) == []
    assert (directory / "platform" / "logs" / "controller.log").exists()
