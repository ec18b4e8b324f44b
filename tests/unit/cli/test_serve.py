"""`codeblue serve`, the real program: what it says when it is told to stop, and whom it outlives."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.process import until
from tests.unit.cli.program import LIMIT_S, Home
from tests.unit.cli.terminal import Started, started

pytestmark = pytest.mark.slow

PROFILE = """\
version: 1
service: api
platform: {{kind: local, directory: {directory}}}
health: {{interval: 500ms, timeout: 500ms}}
verify: {{every: 500ms, checks: 20, stable_for: 30s, latency_samples: 3}}
state: {{directory: ./state}}
report: {{directory: ./incidents}}
"""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("serve") / "machine") as running:
        running.start("1.0")
        yield running


@pytest.fixture
def home(local: Machine, tmp_path: Path) -> Home:
    return Home(tmp_path, PROFILE.format(directory=local.directory))


def heard(program: Started, words: str) -> None:
    """Wait until it says this."""
    late = threading.Timer(LIMIT_S, program.process.kill)
    late.start()
    assert program.process.stdout is not None
    try:
        for line in iter(program.process.stdout.readline, ""):
            if words in line:
                return
    finally:
        late.cancel()
    pytest.fail(f"ended without saying {words!r}")


def last(out: str) -> str:
    return str(json.loads(out.splitlines()[-1])["sentence"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_daemon_that_is_told_to_stop_says_what_it_leaves(
    home: Home, local: Machine, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other", PROFILE.format(directory=local.directory))
    with started("serve", "--json", cwd=home.path) as daemon:
        heard(daemon, "acting on")
        with started("serve", "--json", cwd=other.path) as standby:
            heard(standby, "standing by")
            code, out, _ = standby.signalled(number)
            assert (code, last(out)) == (0, "stopped while standing by")
        code, out, _ = daemon.signalled(number)
        assert (code, last(out)) == (0, "stopped: the lease is free")


def test_a_daemon_ends_the_verification_whose_command_was_killed(home: Home) -> None:
    """It only read, and nobody waits for it any more; the daemon does not wait for its deadline."""
    with started("verify", cwd=home.path) as command:
        run = until(
            "a step of it",
            lambda: home.file.exists() and [e.run for e in home.record().read() if e.kind == "step.started"],
        )[0]
        with started("serve", "--json", cwd=home.path) as daemon:
            heard(daemon, "consecutive failures")
            assert home.run("run", "show", run, "--json").document["state"] == "running"
            command.process.kill()
            command.process.wait()
            until("its end", lambda: any(e.kind == "run.ended" for e in home.record().read(run=run)))
    document = home.run("run", "show", run, "--json").document
    assert (document["state"], document["why"]) == (
        "aborted",
        "the command that executed it is gone. Nothing was changed.",
    )
