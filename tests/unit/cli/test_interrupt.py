"""Ended before it was done: by Ctrl-C, Ctrl-D, SIGTERM, SIGHUP; in words and as JSON, and what goes on afterwards."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.process import until
from tests.unit.cli.program import CODEBLUE, Home, environment
from tests.unit.cli.terminal import Started, started, terminal

pytestmark = pytest.mark.slow

PROFILE = """\
version: 1
service: api
platform: {{kind: local, directory: {directory}}}
health: {{interval: 500ms, timeout: 500ms}}
verify: {{every: 500ms, checks: 20, stable_for: 3s, latency_samples: 3}}
known_good: {{soak: 1s}}
state: {{directory: ./state}}
report: {{directory: ./incidents}}
"""
ROLLBACK = ("rollback", "--reason", "a test")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A workload whose release 1.0 is known-good."""
    base = tmp_path_factory.mktemp("interrupt")
    with machine(base / "machine") as local:
        local.start("1.0")
        home = Home(base, PROFILE.format(directory=local.directory))
        assert home.run("verify", "--mark-known-good").code == 0
        yield local


@pytest.fixture
def bad(good: Machine, tmp_path: Path) -> Home:
    """The same with release 2.0 in force, which is bad, and a state of its own."""
    good.deploy("2.0", STATUS="503")
    return Home(tmp_path, PROFILE.format(directory=good.directory))


def under_way(home: Home, program: Started) -> str:
    """Wait until the template was changed, and give the run's id."""

    def changed() -> str:
        assert program.process.poll() is None, program.process.communicate()
        applied = [e.run for e in home.record().read(kinds=["step.applied"])] if home.file.exists() else []
        return applied[0] if applied else ""

    return until("a change of the template", changed)


def test_nobody_who_answers_is_a_refusal(bad: Home, good: Machine) -> None:
    """Ctrl-D, and any answer but yes."""
    before = (good.directory / "state.json").read_text()
    for keys in ("\x04", "\n", "y\n", "YES\n"):
        with terminal(*ROLLBACK, cwd=bad.path) as person:
            person.until("Type yes to do it:")
            person.type(keys)
            assert person.ended() == 3, person.text
        assert "Traceback" not in person.text
        assert "Not confirmed. Nothing was changed." in person.text
        assert "add --yes" in person.text
    assert bad.record().read() == []
    assert (good.directory / "state.json").read_text() == before


@pytest.mark.parametrize("redirect", ["</dev/null", "<&-", "<&- 2>&-"])
def test_where_nobody_can_be_asked_it_is_refused(bad: Home, redirect: str) -> None:
    command = ["sh", "-c", f'"$0" "$@" --json {redirect}', CODEBLUE, *ROLLBACK]
    done = subprocess.run(command, cwd=bad.path, env=environment(bad.path), stdout=subprocess.PIPE, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (3, 3)
    assert "there is nobody to ask. Nothing was changed." in document["message"]


def test_ctrl_c_ends_the_question_at_once(bad: Home) -> None:
    with terminal(*ROLLBACK, cwd=bad.path) as person:
        person.until("Type yes to do it:")
        person.type("\x03")
        assert person.ended(10) == 130, person.text
    assert "Traceback" not in person.text
    assert "Interrupted before anything was begun. Nothing was changed." in person.text
    assert bad.record().read() == []


def test_yes_is_yes(bad: Home) -> None:
    with terminal(*ROLLBACK, cwd=bad.path) as person:
        person.until("Type yes to do it:")
        person.type("yes\n")
        assert person.ended() == 0, person.text
    assert "DONE in" in person.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_interrupted_is_named_and_can_be_resumed(bad: Home, number: signal.Signals) -> None:
    with started(*ROLLBACK, "--yes", cwd=bad.path) as program:
        run = under_way(bad, program)
        begun = time.monotonic()
        code, out, err = program.signalled(number)
    assert (code, out) == (130, "")
    assert time.monotonic() - begun < 5
    assert "Traceback" not in err
    assert f"Interrupted; run {run} is recorded and stands still" in err
    assert f"`codeblue run resume {run}` goes on with it" in err
    begun = time.monotonic()
    resumed = bad.run("run", "resume", run)
    assert resumed.code == 0, resumed
    assert time.monotonic() - begun < 15, "the lease was not left to run out"
    kinds = [e.kind for e in bad.record().read(run=run)]
    assert kinds.count("step.applied") == 1
    assert kinds.count("run.resumed") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_answers_with_one_document(bad: Home, number: signal.Signals) -> None:
    with started(*ROLLBACK, "--yes", "--json", cwd=bad.path) as program:
        run = under_way(bad, program)
        code, out, _ = program.signalled(number)
    document = json.loads(out)
    assert (code, document["exit_code"]) == (130, 130)
    assert (document["schema"], document["run"]) == ("codeblue/error/1", run)
    assert f"codeblue run resume {run}" in document["remedy"]
    assert bad.run("run", "resume", run).code == 0


def test_a_command_that_follows_the_daemon_says_that_it_goes_on(bad: Home) -> None:
    with started("serve", "--json", cwd=bad.path) as daemon:
        until("the daemon to own the state", lambda: "daemon: none" not in bad.run("status").out)
        with started(*ROLLBACK, "--yes", "--json", cwd=bad.path) as program:
            run = under_way(bad, program)
            _, out, _ = program.signalled(signal.SIGTERM)
        document = json.loads(out)
        assert (document["exit_code"], document["run"]) == (130, run)
        assert "goes on with run" in document["message"]
        resumed = bad.run("run", "resume", run, "--json")
        assert (resumed.code, resumed.document["state"], resumed.document["resumed"]) == (0, "done", 0)
        assert daemon.signalled(signal.SIGTERM)[0] == 0


def test_what_nohup_ignores_ends_nothing(bad: Home) -> None:
    with started(*ROLLBACK, "--yes", "--json", cwd=bad.path, ignoring=signal.SIGHUP) as program:
        under_way(bad, program)
        program.process.send_signal(signal.SIGHUP)
        out, _ = program.process.communicate(timeout=60)
    assert (program.process.returncode, json.loads(out)["state"]) == (0, "done")


def test_a_terminal_that_is_closed_leaves_the_run_to_be_resumed(bad: Home) -> None:
    with terminal(*ROLLBACK, "--yes", cwd=bad.path) as person:
        person.until("Watch it stay healthy")
        person.hang_up()
        assert person.process.wait(10) == 130
    [run] = bad.run("run", "list", "--json").document["runs"]
    assert run["state"] == "running"
    assert bad.run("run", "resume", run["id"]).code == 0
