"""The daemon in memory, on virtual time: what it does without a record, and without an engine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path

import pytest
from tests.unit.cli.test_paging import CONTACTS
from tests.unit.world import Lab

from codeblue import daemon as module
from codeblue.daemon import Daemon
from codeblue.engine.runs import Runs, make_plan
from codeblue.engine.state import StateDirectory
from codeblue.model.errors import CodeBlueError, Damaged, EngineUnusable, ExitCode
from codeblue.model.event import Event
from codeblue.record.runs import RunState
from codeblue.runbooks.quick_rollback import Request
from codeblue.testing.memory_channel import MemoryChannel, MemoryProvider
from codeblue.testing.memory_record import MemoryRecord
from codeblue.watch.pulse import Heart
from codeblue.wiring import App

PROFILE = f"""\
health: {{interval: 10s, timeout: 5s}}
watchdog: {{every: 10s, silent_after: 30s}}
lease: {{duration: 15s}}
pages: {{inbox: ./pages}}
{CONTACTS}"""


class Switch:
    """In place of the engine: it can be used or not."""

    usable = True
    launches = 0

    def __init__(self, runs: Runs, *_: object) -> None:
        self.runs = runs

    def launch(self) -> None:
        Switch.launches += 1
        if not Switch.usable:
            raise EngineUnusable("The engine's database cannot be used (DatabaseError). Nothing was changed.")

    async def take_up(self) -> None:
        pass

    def void(self) -> list[str]:
        return self.runs.end_void()


class Pings:
    """A dead man in memory: when he got signs of life."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.at = lab, list[float]()

    async def ping(self) -> None:
        self.at.append(self.lab.clock.monotonic())

    async def close(self) -> None:
        pass


class Unreadable(MemoryRecord):
    """A record one of whose events was altered."""

    damaged = False

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        if self.damaged:
            raise Damaged("event 1 (run.requested) was changed after it was written")
        return super().read(after=after, run=run, incident=incident, kinds=kinds, limit=limit)


class Serving:
    """One daemon, until the test is over."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, *, channels: bool = True) -> None:
        self.lab = Lab(PROFILE)
        self.record = self.lab.record = self.lab.runs.record = Unreadable(self.lab.clock)  # type: ignore[misc]
        object.__setattr__(self.lab.world, "record", self.record)
        self.provider = MemoryProvider()
        self.said: list[str] = []
        self.ends: list[tuple[float, CodeBlueError]] = []
        self.heart, self.pings, self.stop = Heart(self.lab.clock), Pings(self.lab), asyncio.Event()
        Switch.usable, Switch.launches = True, 0
        monkeypatch.setattr(module, "Engine", Switch)
        found = (MemoryChannel(self.provider, self.lab.clock, name="inbox"),) if channels else ()
        monkeypatch.setattr(module, "open_channels", lambda *_: found)
        lab = self.lab
        app = App(lab.profile, lab.world, lab.lease, self.record, StateDirectory(home), lab.clock)
        self.daemon = Daemon(app, self.said.append, self._ended, heart=self.heart, dead_man=self.pings)
        self.task = asyncio.create_task(self.daemon.run(self.stop))

    def _ended(self, error: CodeBlueError) -> None:
        """Where the process would end."""
        self.ends.append((self.lab.clock.monotonic(), error))
        self.stop.set()

    async def for_s(self, seconds: float) -> None:
        await self.lab.clock.sleep(seconds)

    async def close(self) -> None:
        self.stop.set()
        await self.task

    @property
    def age_s(self) -> float:
        return self.heart.pulse().age_s

    @property
    def end(self) -> tuple[float, CodeBlueError]:
        [end] = self.ends
        return end


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Serving]]:
    begun: list[Serving] = []

    def serve(**how: bool) -> Serving:
        begun.append(Serving(tmp_path, monkeypatch, **how))
        return begun[-1]

    yield serve
    for serving in begun:
        await serving.close()


async def test_with_a_record_the_heart_beats_and_signs_of_life_go_out(serve: Callable[..., Serving]) -> None:
    s = serve()
    await s.for_s(100)
    assert s.age_s <= 10
    assert len(s.pings.at) >= 10
    assert s.ends == []
    assert s.provider.pages == []
    assert s.record.events == [], "that the record can be written is found out without an event"


@pytest.mark.parametrize("what", ["nothing can be written", "an idle record cannot be written", "damaged"])
async def test_a_daemon_without_a_record_looks_dead_says_so_and_ends_itself(
    serve: Callable[..., Serving], what: str
) -> None:
    s = serve()
    await s.for_s(100)
    lost = s.lab.clock.monotonic()
    if what == "damaged":
        s.record.damaged = True
    else:
        s.record.refuses = {"" if what.startswith("nothing") else "record.probe"}
    await s.for_s(28)
    assert s.ends == [], "a database that starts anew is waited for"
    assert s.age_s > 17, "no cycle without a record is a sign of life"
    await s.for_s(22)
    at, error = s.end
    assert 30 <= at - lost <= 50
    assert error.exit_code is (ExitCode.FAILED if what == "damaged" else ExitCode.UNREACHABLE)
    assert error.message.startswith("No record for 30 s, so nobody watches, changes or pages here any more: The record")
    assert s.pings.at[-1] <= lost + 30
    [page] = s.provider.pages
    assert (page.role, page.level) == ("on_call", "notice")
    assert page.summary.startswith("ai-diagnostics-api: Code Blue stands down, its record cannot be used")
    assert "told without a record: on_call over inbox" in s.said


async def test_a_record_that_comes_back_in_time_is_gone_on_with(serve: Callable[..., Serving]) -> None:
    s = serve()
    await s.for_s(50)
    for _ in range(3):
        s.record.refuses = {""}
        await s.for_s(25)
        s.record.refuses = set()
        await s.for_s(25)
    assert s.ends == []
    assert s.age_s <= 10
    assert s.provider.pages == []


async def test_who_has_no_record_never_becomes_the_holder_and_gives_no_sign_of_life(
    serve: Callable[..., Serving],
) -> None:
    s = serve()
    s.record.refuses = {""}
    await s.for_s(40)
    assert s.end[1].exit_code is ExitCode.UNREACHABLE
    assert await s.lab.lease.view() is None
    assert s.pings.at == []
    assert s.provider.pages == [], "whoever starts it anew and anew must not page people each time"
    assert s.said[0].startswith("NOT standing by: The record")


async def test_without_an_engine_people_are_paged_and_told_that_nothing_can_be_changed(
    serve: Callable[..., Serving],
) -> None:
    s = serve()
    Switch.usable = False
    s.lab.good("1.0")
    await s.lab.deploy("2.0", settle_s=20.0)
    plan = await make_plan("quick_rollback", Request(), s.lab.world)
    run = s.lab.runs.request(plan, actor="watch", reason="a test")
    await s.for_s(70)
    assert [(p.role, p.level) for p in s.provider.pages] == [("on_call", "notice")]
    assert "Code Blue can change nothing" in s.provider.pages[0].summary
    assert any(line.startswith("NOTHING CAN BE CHANGED: The engine's database") for line in s.said)
    assert len([line for line in s.said if line.startswith("NOTHING")]) == 1
    assert s.lab.runs.get(run.id).state is RunState.EXPIRED
    assert s.ends == []
    assert s.age_s <= 10
    launches, Switch.usable = Switch.launches, True
    await s.for_s(10)
    assert Switch.launches > launches
    assert "commands are taken up again" in s.said
    assert len(s.provider.pages) == 1


async def test_without_an_engine_and_a_channel_the_one_outside_has_to_call(
    serve: Callable[..., Serving],
) -> None:
    s = serve(channels=False)
    await s.for_s(20)
    Switch.usable = False
    await s.for_s(100)
    assert s.age_s > 50
    assert s.pings.at[-1] <= 100
