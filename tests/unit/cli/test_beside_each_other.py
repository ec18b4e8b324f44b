"""Two commands, or two services, that share something: the more urgent goes on, and nobody takes what is another's."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.postgres import Postgres
from tests.process import until
from tests.unit.cli.program import Home
from tests.unit.cli.terminal import started

from codeblue.engine.state import StateDirectory

pytestmark = pytest.mark.slow

PROFILE = """\
version: 1
service: {service}
platform: {{kind: local, directory: {directory}, workload: api}}
health: {{interval: 500ms, timeout: 500ms}}
verify: {{every: 500ms, checks: 20, stable_for: 1s, latency_samples: 3}}
known_good: {{soak: {soak}}}
state: {{directory: ./state{database}}}
report: {{directory: ./incidents}}
"""
ROLLBACK = ("rollback", "--reason", "a test", "--yes", "--json")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Machine]:
    """Release 1.0 is known-good."""
    with machine(tmp_path / "machine") as local:
        local.start("1.0")
        (tmp_path / "marking").mkdir()
        home = Home(tmp_path / "marking", profile(local, soak="1s"))
        answer = home.run("verify", "--mark-known-good", "--json")
        assert answer.code == 0, answer.err
        yield local


def profile(local: Machine, *, service: str = "api", soak: str = "10m", database: str = "") -> str:
    return PROFILE.format(directory=local.directory, service=service, soak=soak, database=database)


@pytest.mark.req("R11")
@pytest.mark.parametrize("killed", [False, True])
async def test_a_rollback_waits_for_no_soak(local: Machine, tmp_path: Path, killed: bool) -> None:
    """Healthy and unproven is what a release with harmful advice looks like."""
    local.deploy("2.0")
    await local.settled()
    home = Home(tmp_path, profile(local))
    with started("verify", "--mark-known-good", "--json", cwd=home.path) as soaking:
        until("it to soak", lambda: home.file.exists() and "stable" in steps(home))
        if killed:
            soaking.process.kill()
            soaking.process.wait()
        answer = home.run(*ROLLBACK)
        assert answer.code == 0, answer.err
        assert soaking.process.wait(30) == (-signal.SIGKILL if killed else 1)
        if not killed:
            assert json.loads(soaking.process.communicate()[0])["state"] == "aborted"
    states = {r["runbook"]: r["state"] for r in home.run("run", "list", "--json").document["runs"]}
    assert states == {"quick_rollback": "done", "known_good": "aborted"}
    assert local.get("/api/health")[1]["version"] == "1.0"


@pytest.mark.req("B3")
@pytest.mark.defect("D7")
def test_services_that_share_a_database_leave_each_others_runs_alone(tmp_path: Path, postgres: Postgres) -> None:
    """What one service's process left in the engine's tables is for that service's next process only."""
    url = postgres.database()
    homes = []
    with machine(tmp_path / "m-one") as one, machine(tmp_path / "m-two") as two:
        for service, local in (("one", one), ("two", two)):
            local.start("1.0")
            (tmp_path / service).mkdir()
            text = profile(local, service=service, soak="1s", database=", database: {env: CODEBLUE_DATABASE}")
            home = Home(tmp_path / service, text)
            homes.append(home)
            answer = home.run("verify", "--mark-known-good", "--json", env={"CODEBLUE_DATABASE": url})
            assert answer.code == 0, answer.err
            local.deploy("2.0", STATUS="503")
        first, second = homes
        env = {"CODEBLUE_DATABASE": url}
        assert first.run(*ROLLBACK, env=env | {"CODEBLUE_KILL_AT": "template.applied"}).code == -signal.SIGKILL
        (run,) = (r["id"] for r in runs(first, env) if r["runbook"] == "quick_rollback")
        answer = second.run(*ROLLBACK, env=env)
        assert answer.code == 0, answer.err
        assert [r["runbook"] for r in runs(second, env)] == ["quick_rollback", "known_good"]
        assert runs(first, env)[0]["state"] == "running"
        assert first.run("run", "resume", run, "--json", env=env).code == 0
        assert runs(first, env)[0]["state"] == "done"


def runs(home: Home, env: dict[str, str]) -> list[dict[str, object]]:
    found = home.run("run", "list", "--json", env=env).document["runs"]
    assert isinstance(found, list)
    return found


def steps(home: Home) -> list[str]:
    return [e.data["step"] for e in home.record().read(kinds=["step.started"])]


@pytest.mark.req("B3")
@pytest.mark.defect("D7")
def test_a_command_beside_a_daemon_that_stands_by_is_told_who_acts(local: Machine, tmp_path: Path) -> None:
    """Its daemon would not take the request up, and is not to blame for that."""
    local.deploy("2.0", STATUS="503")
    for name in ("acting", "waiting"):
        (tmp_path / name).mkdir()
    acting, waiting = (Home(tmp_path / name, profile(local) + OBSERVE) for name in ("acting", "waiting"))
    with started("serve", "--json", cwd=acting.path) as first:
        until("the first to act", lambda: owner(acting) == "serve")
        with started("serve", "--json", cwd=waiting.path) as second:
            until("the second to stand by", lambda: owner(waiting) == "standby")
            answer = waiting.run(*ROLLBACK)
            assert answer.code == 3, answer.out
            assert "stands by" in answer.document["message"]
            assert f"/{first.process.pid}/" in answer.document["message"]
            assert "standing by" in waiting.run("status").out
            first.process.terminate()
            until("the second to act", lambda: owner(waiting) == "serve")
            answer = waiting.run(*ROLLBACK)
            assert answer.code == 0, answer.out
            second.process.terminate()
            assert second.process.wait(30) == 0


OBSERVE = "triggers: {health: {mode: observe}}\n"


def owner(home: Home) -> str:
    found = StateDirectory(home.path / "state").owner()
    return found.kind if found else ""
