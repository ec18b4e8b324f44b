"""LocalPlatform with real processes: the shared contract, and what is particular to a plain machine."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, is_settled, machine

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.local import deploy
from codeblue.adapters.local.files import Layout
from codeblue.adapters.local.lease import LocalLease
from codeblue.adapters.local.platform import LocalPlatform
from codeblue.adapters.local.proc import marked
from codeblue.adapters.local.supervisor import Supervisor
from codeblue.model.change import Fence
from codeblue.model.errors import NotFound, Refused, Unreachable, UsageError
from codeblue.testing.contracts.platform import PlatformContract
from codeblue.testing.contracts.platform_base import good


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("local")) as made:
        made.start()
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Machine]:
    """A workload for one test, which may break it."""
    with machine(tmp_path) as made:
        yield made


class TestLocalPlatform(PlatformContract):
    @pytest.fixture
    def platform(self, shared: Machine) -> LocalPlatform:
        return shared.client()

    @pytest.fixture
    def other(self, shared: Machine) -> LocalPlatform:
        return shared.client()

    @pytest.fixture
    def deploy(self, shared: Machine):
        async def deploy(version: str, *, reference: str = "token-a") -> None:
            await asyncio.to_thread(shared.deploy, version, reference=reference)

        return deploy

    @pytest.fixture
    def deploy_broken(self, shared: Machine):
        async def deploy(version: str, *, reference: str = "token-a") -> None:
            await asyncio.to_thread(shared.deploy, version, reference=reference, STATUS="503")

        return deploy

    @pytest.fixture
    def settled(self, shared: Machine):
        return shared.settled

    @pytest.fixture
    def fence(self, shared: Machine):
        async def fence() -> Fence:
            lease = LocalLease(shared.directory, SystemClock())
            held = await lease.view()
            return await lease.acquire(f"test-{held.epoch if held else 0}", predecessor=held.holder if held else "")

        return fence


async def test_the_forwarder_spreads_connections_over_the_ready_replicas(shared: Machine) -> None:
    seen = await shared.settled()
    answers = [await asyncio.to_thread(shared.get) for _ in range(6)]
    assert {status for status, _ in answers} == {200}
    assert {body["pod"] for _, body in answers} == {p.name for p in seen.pods}


async def test_no_request_is_lost_while_replicas_are_replaced(shared: Machine) -> None:
    before = await shared.settled()
    done = asyncio.Event()
    answers: list[tuple[int, str]] = []

    async def ask() -> None:
        while not done.is_set():
            status, body = await asyncio.to_thread(shared.get)
            answers.append((status, body["version"]))

    clients = [asyncio.create_task(ask()) for _ in range(2)]
    shared.deploy("traffic")
    await shared.settled()
    done.set()
    await asyncio.gather(*clients)
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {before.template.version, "traffic"}


@pytest.mark.req("R11")
async def test_secrets_are_read_at_start_and_stored_nowhere(shared: Machine) -> None:
    shared.deploy("secretive", reference="token-b")
    await shared.settled()
    _, body = await asyncio.to_thread(shared.get)
    assert body["token"] == "value of token-b"
    assert body["version"] == "secretive"
    assert {"PORT", "HOST", "POD_NAME"} <= set(body["environment"])
    assert not [name for name in body["environment"] if name.startswith(("SUPERVISOR", "PYTEST"))]
    for path in shared.directory.rglob("*"):
        if path.is_file():
            assert b"value of token" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0, path


async def test_a_replica_that_dies_is_started_again_and_counted(shared: Machine) -> None:
    before = await shared.settled()
    victim = before.pods[0]
    (pid,) = marked(shared.directory, pod=victim.name)
    os.kill(pid, signal.SIGKILL)
    after = await shared.until(
        lambda w: is_settled(w) and next(p for p in w.pods if p.name == victim.name).restarts == victim.restarts + 1
    )
    again = next(p for p in after.pods if p.name == victim.name)
    assert again.uid == victim.uid
    assert again.running_since and victim.running_since
    assert again.running_since > victim.running_since


async def test_history_keeps_ten_former_templates_and_the_newest_known_good_one(shared: Machine) -> None:
    platform = shared.client()
    kept = await shared.settled()
    lease = LocalLease(shared.directory, SystemClock())
    held = await lease.view()
    right = await lease.acquire("history", predecessor=held.holder if held else "")
    change = platform.mark(await platform.observe(), {kept.template.release: good()})
    if change is not None:
        await platform.apply(change, right)
    for number in range(13):
        shared.deploy(f"many-{number}")
    history = await platform.history()
    assert len(history) == 11
    assert kept.template in [r.template for r in history]
    assert all(r.runnable for r in history)
    await shared.settled()


async def test_a_crash_loop_backs_off_is_named_and_leaves_the_service_up(own: Machine) -> None:
    own.start()
    await own.settled()
    own.deploy("2.0", CRASH="1")
    seen = await own.until(lambda w: any(p.trouble for p in w.pods))
    (looping,) = [p for p in seen.pods if p.trouble]
    assert looping.trouble == "CrashLoopBackOff"
    assert looping.restarts >= 2
    assert not looping.ready
    assert seen.available == 2
    assert (await asyncio.to_thread(own.get))[1]["version"] == "1.0"
    own.deploy("3.0", reference="token-c")
    seen = await own.until(lambda w: any(p.trouble == "SecretMissing" for p in w.pods))
    assert (await asyncio.to_thread(own.get))[1]["version"] == "1.0"


async def test_workers_end_with_their_replica_even_when_they_ignore_it(own: Machine) -> None:
    own.start(replicas=1, WORKER="1")
    before = await own.settled()
    (pod,) = before.pods
    parent = Supervisor(Layout(own.directory)).programs()[pod.name].pid
    assert len(marked(own.directory, pod=pod.name)) == 2
    usage = await own.client().usage()
    assert usage
    assert usage[0].memory_bytes > 0
    os.kill(parent, signal.SIGKILL)
    await own.until(lambda w: is_settled(w) and w.pods[0].restarts == 1)
    assert len(marked(own.directory, pod=pod.name)) == 2
    own.deploy("2.0")
    await own.settled()
    assert marked(own.directory, pod=pod.name) == []


async def test_the_service_says_503_when_no_replica_is_ready(own: Machine) -> None:
    own.start(STATUS="500")
    seen = await own.until(lambda w: w.total == 2)
    assert seen.available == 0
    status, body = await asyncio.to_thread(own.get)
    assert (status, body["status"]) == (503, "failed")
    routing = await own.client().routing()
    assert routing.backends == ()
    assert len(routing.pods) == 2


@pytest.mark.req("B3")
async def test_a_killed_operator_leaves_the_replicas_serving_and_the_rollout_going(own: Machine) -> None:
    """The process that started it and asked for a rollout is killed at once; both go on without it."""
    code = (
        "import os, signal; from pathlib import Path; from tests.contract.local_machine import Machine;"
        f"m = Machine(Path({str(own.directory)!r}), Path({str(own.secrets)!r}), {own.port});"
        "m.start(); m.deploy('2.0'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = str(Path(__file__).parents[2])
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=root)
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGKILL
    after = await own.settled()
    assert after.template.version == "2.0"
    assert (await asyncio.to_thread(own.get))[1]["version"] == "2.0"


async def test_a_dead_supervisor_is_no_observation_and_start_repairs_it(own: Machine) -> None:
    own.start()
    before = await own.settled()
    platform = own.client()
    os.kill(int(Layout(own.directory).pidfile.read_text()), signal.SIGKILL)
    # within the two seconds that a report counts it may still be an observation; then never again
    with pytest.raises(Unreachable, match="supervisord") as refused:
        await own.until(lambda _: False, deadline_s=10)
    assert refused.value.remedy
    assert (await asyncio.to_thread(own.get))[0] == 200, "what served goes on serving"
    with pytest.raises(Unreachable):
        await platform.routing()
    assert own.start() is True
    after = await own.settled()
    assert after.uid == before.uid
    assert after.template == before.template
    assert not {p.uid for p in after.pods} & {p.uid for p in before.pods}
    assert own.start() is False
    assert (await asyncio.to_thread(own.get))[0] == 200


async def test_a_frozen_controller_is_no_observation(own: Machine) -> None:
    own.start()
    await own.settled()
    controller = Supervisor(Layout(own.directory)).programs()["controller"].pid
    os.kill(controller, signal.SIGSTOP)
    try:
        impatient = own.client(report_s=0.5)
        with pytest.raises(Unreachable, match="controller") as refused:
            for _ in range(200):
                await impatient.observe()
                await asyncio.sleep(0.05)
        assert "controller.log" in refused.value.remedy
    finally:
        os.kill(controller, signal.SIGKILL)
    await own.settled()


async def test_a_restart_of_everything_keeps_the_template_in_force(own: Machine) -> None:
    own.start("1.0")
    own.deploy("2.0")
    await own.settled()
    deploy.stop(own.directory)
    deploy.stop(own.directory)
    assert marked(own.directory) == []
    with pytest.raises(Unreachable):
        await own.client().observe()
    own.start("1.0")
    assert (await own.settled()).template.version == "2.0"


async def test_a_stranger_on_the_port_is_named(own: Machine) -> None:
    own.start()
    await own.settled()
    layout = Layout(own.directory)
    Supervisor(layout).stop("forwarder")
    for _ in range(200):
        if Supervisor(layout).programs()["forwarder"].state == "STOPPED":
            break
        await asyncio.sleep(0.05)
    assert (await own.client().routing()).backends == ()
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", own.port)
    routing = await own.client().routing()
    assert routing.strangers == routing.backends == (f"127.0.0.1:{own.port}",)
    server.close()


async def test_a_program_that_is_gone_makes_its_revision_not_runnable(own: Machine, tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text(Path(__file__).with_name("service.py").read_text())
    template = own.template("old")
    template["command"][-1] = str(script)
    own.start()
    deploy.deploy(own.directory, template)
    deploy.deploy(own.directory, own.template("new"))
    script.unlink()
    found = {r.template.version: (r.runnable, r.why_not) for r in await own.client().history()}
    assert found["new"] == (True, "")
    assert found["old"][0] is False
    assert str(script) in found["old"][1]


async def test_a_long_path_gets_a_short_socket_that_goes_with_it(tmp_path: Path) -> None:
    with machine(tmp_path / ("long-" * 20)) as made:
        made.start()
        await made.settled()
        socket = Layout(made.directory).socket
        assert len(str(socket)) < 60
        assert socket.stat().st_mode & 0o777 == 0o600
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()


async def test_what_cannot_be_started_is_refused_with_its_reason(own: Machine) -> None:
    with pytest.raises(NotFound):
        await own.client().observe()
    with pytest.raises(NotFound):
        own.deploy("1.0")
    with pytest.raises(UsageError, match=r"command.*secrets\.A: not an absolute path"):
        deploy.deploy(own.directory, {"command": "x", "secrets": {"A": "relative"}})
    with pytest.raises(UsageError, match="unknown field 'comand'"):
        deploy.deploy(own.directory, {"comand": ["x"]})
    with pytest.raises(UsageError, match="replicas 0"):
        own.start(replicas=0)
    taken = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", own.port)
    with pytest.raises(Refused, match=f"Port {own.port}"):
        own.start()
    taken.close()
    await taken.wait_closed()
    own.start()
    with pytest.raises(Refused, match="'api'"):
        deploy.start(own.directory, "web", own.template("1.0"), replicas=1, health_path="/", service_port=own.port)
