"""A whole world in memory on virtual time: the protected workload, its record, and runs that are executed in place."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tests.unit.profile.faults import LOCAL

from codeblue.engine.executor import StepResult
from codeblue.engine.runs import Runs, make_plan
from codeblue.model.change import Fence
from codeblue.model.event import Event
from codeblue.model.health import Outcome
from codeblue.model.release import Mark, Standing, Template
from codeblue.ports.commands import CommandResult
from codeblue.profile.load import load_text
from codeblue.record.runs import RunView
from codeblue.runbooks.step import World
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory import MemoryLease, MemoryPlatform
from codeblue.testing.memory_cluster import Behaviour, MemoryCluster, memory_template
from codeblue.testing.memory_flags import MemoryFlagStore
from codeblue.testing.memory_prober import MemoryProber
from codeblue.testing.memory_record import MemoryRecord, MemoryReports
from codeblue.testing.memory_signals import MemorySignals

PERSON = "person:ada (ada@laptop)"


class ScriptedCommands:
    """Operator commands that end as a test says: keeps `ports.commands.Commands`."""

    def __init__(self) -> None:
        self.results: dict[str, tuple[Outcome, str]] = {}
        self.outputs: dict[str, list[bytes]] = {}
        self.ran: list[str] = []

    def offers(self, name: str) -> bool:
        return name in self.results or name in self.outputs

    async def run(self, name: str, *, timeout_s: float, values: Mapping[str, str] | None = None) -> CommandResult:
        self.ran.append(" ".join((name, *(values or {}).values())))
        return CommandResult(name, *self.results[name])

    async def everywhere(self, name: str, *, timeout_s: float) -> Sequence[CommandResult]:
        outcome, detail = self.results.get(name, (Outcome.OK, "exit code 0"))
        return [CommandResult(name, outcome, detail, output) for output in self.outputs.get(name, [])]


class Lab:
    """Release 1.0 was good, 2.0 runs; `good` marks releases known-good.

    Args:
        profile: YAML below the platform.
    """

    def __init__(self, profile: str = "", **cluster: Any) -> None:
        self.clock = VirtualClock()
        self.cluster = MemoryCluster(self.clock, memory_template("1.0"), **cluster)
        self.platform, self.prober = MemoryPlatform(self.cluster), MemoryProber(self.cluster)
        self.signals = MemorySignals(self.clock)
        self.commands, self.reports = ScriptedCommands(), MemoryReports()
        self.record = MemoryRecord(self.clock)
        self.lease = MemoryLease(self.cluster)
        self.profile = load_text(LOCAL + profile)
        self.flags = MemoryFlagStore(self.clock, self.profile.flags)
        ports = (self.platform, self.prober, self.signals, self.commands, self.record, self.reports, self.clock)
        self.world = World(*ports, self.profile, self.flags if self.profile.flags else None)
        self.held: Fence | None = None
        self.runs = Runs(self.record, self.world, self.fence)

    async def fence(self) -> Fence:
        if self.held is None:
            self.held = await self.lease.acquire("lab")
        return self.held

    async def deploy(self, version: str, *, settle_s: float = 60.0, **template: str) -> Template:
        """A pipeline releases a version, and time passes."""
        wanted = memory_template(version, **template)
        self.cluster.deploy(wanted)
        await self.clock.sleep(settle_s)
        return wanted

    def mark(self, standing: Standing, *versions: str) -> None:
        for version in versions:
            mark = Mark(standing, self.clock.now(), "lab", "the lab says so")
            self.cluster.marks[memory_template(version).release] = mark

    def good(self, *versions: str) -> None:
        self.mark(Standing.KNOWN_GOOD, *versions)

    def sick(self, version: str, status: int = 503) -> None:
        """Pods of this version are ready, and answer like this."""
        self.cluster.behave(version, Behaviour(status=status))

    async def perform(self, name: str, request: object, **more: Any) -> RunView:
        """Plan a run, request it, execute it to its end."""
        plan = await make_plan(name, request, self.world)
        run = self.runs.request(plan, **({"actor": PERSON, "reason": "a test"} | more))
        return await self.execute(run.id)

    async def execute(self, run: str) -> RunView:
        await self.runs.execute(run, at_once)
        return self.runs.get(run)

    def events(self, *kinds: str, run: str = "") -> Sequence[Event]:
        return self.record.read(kinds=kinds, run=run)

    def kinds(self, run: str = "") -> list[str]:
        return [e.kind for e in self.record.read(run=run)]

    def later(self, seconds: float, do: Callable[[], object]) -> "asyncio.Task[None]":
        """Do something when so much virtual time has passed."""

        async def wait() -> None:
            await self.clock.sleep(seconds)
            do()

        return asyncio.create_task(wait())


async def at_once(_: str, work: Callable[[], Awaitable[StepResult]]) -> StepResult:
    """Durability of a process that never dies."""
    return await work()
