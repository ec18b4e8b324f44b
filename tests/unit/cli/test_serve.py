"""`codeblue serve`, the real program: what it says when it is told to stop, and whom it outlives."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.process import until
from tests.unit.cli.program import Home
from tests.unit.cli.terminal import started

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


def acting(home: Home) -> None:
    until("the daemon to own the state", lambda: "daemon: none" not in home.run("status").out)


def last(out: str) -> str:
    return str(json.loads(out.splitlines()[-1])["sentence"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_daemon_that_is_told_to_stop_says_what_it_leaves(
    home: Home, local: Machine, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other", PROFILE.format(directory=local.directory))
    with started("serve", "--json", cwd=home.path) as daemon:
        acting(home)
        with started("serve", "--json", cwd=other.path) as standby:
            acting(other)
            code, out, _ = standby.signalled(number)
            assert (code, last(out)) == (0, "stopped while standing by")
        code, out, _ = daemon.signalled(number)
        assert (code, last(out)) == (0, "stopped: the lease is free")
