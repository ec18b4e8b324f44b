"""An incident on virtual time, and the loop that pages people about it, killed and started anew as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.profile.faults import LOCAL

from codeblue.model.event import Draft
from codeblue.model.page import Page
from codeblue.profile.load import load_text
from codeblue.record.incidents import fold_incidents
from codeblue.record.pages import PagingView, fold_pages
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory_channel import MemoryChannel, MemoryProvider
from codeblue.testing.memory_record import MemoryRecord
from codeblue.watch import pager as pager_module
from codeblue.watch.pager import Pager

INCIDENT = "inc-20260105t031500z-0a1b2c"
L1, L2, L3, L4 = {"on_call"}, {"devops_lead", "ai_team"}, {"cto", "clinical_director"}, {"ceo", "cmo"}
ALL = {1: L1, 2: L2, 3: L3, 4: L4}


class Killed(BaseException):
    """The process died here."""


class Ward:
    """Args:
    profile: YAML below the platform.
    providers: by channel's name, the primary one first.
    """

    def __init__(self, profile: str = "", **providers: MemoryProvider) -> None:
        self.clock = VirtualClock()
        self.record = MemoryRecord(self.clock)
        self.profile = load_text(LOCAL + profile)
        self.providers = providers or {"pagerduty": MemoryProvider()}
        self.sentences: list[str] = []
        self.times: dict[str, float] = {}
        self.kill_at = 0
        self.points: list[str] = []
        self.dead = False
        self.began = 0.0
        for provider in self.providers.values():
            self._watched(provider)
        self.pager = self.started()

    def _watched(self, provider: MemoryProvider) -> None:
        """Note when a page came, by the true time."""
        takes = provider.takes

        def noting(page: Page) -> str:
            before = len(provider.pages)
            way = takes(page)
            if len(provider.pages) > before:
                self.times[page.key] = self.clock.monotonic() - self.began
            return way

        provider.takes = noting  # type: ignore[method-assign]

    def started(self) -> Pager:
        """A new process."""
        channels = [MemoryChannel(provider, self.clock, name=name) for name, provider in self.providers.items()]
        return Pager(self.record, channels, self.profile, self.clock)

    def crashpoint(self, name: str) -> None:
        """In the place of the real one: die at the n-th point."""
        if not name.startswith("page."):
            return
        self.points.append(name)
        if self.dead:
            raise Killed
        if self.kill_at and len(self.points) >= self.kill_at:
            self.kill_at, self.dead = 0, True
            raise Killed

    async def kill(self) -> None:
        """kill -9: nothing of the process goes on, and nothing more is recorded by it."""
        tasks = [task for task, _ in self.pager._flying.values()] + list(self.pager._settling.values())
        self.dead = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.dead = False

    async def restart(self) -> None:
        await self.kill()
        self.pager = self.started()

    def open(self, trigger: str = "R4", severity: str = "SEV1", *, anchored: bool = True, actor: str = "watch") -> None:
        self.began = self.clock.monotonic()
        data: dict[str, Any] = {"severity": severity, "trigger": trigger, "why": "4 > 3", "began": self.clock.now()}
        if anchored:
            anchor = self.clock.anchor()
            data["anchor"] = {"boot": anchor.boot, "at_s": anchor.at_s}
        self.event("incident.opened", actor=actor, **data)

    def event(self, kind: str, *, actor: str = "person:ada (ada@laptop)", run: str = "", **data: Any) -> None:
        self.record.append(Draft(kind, actor, data, run=run, incident=INCIDENT))

    async def tick(self) -> str:
        """One cycle, and the second after it."""
        said = await self.pager.cycle()
        self.sentences.append(said)
        await self.clock.sleep(1.0)
        if self.dead:
            await self.restart()
        return said

    async def run(self, seconds: float) -> str:
        """The daemon is up for so long. Returns the last sentence."""
        said = ""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            said = await self.tick()
        return said

    async def down(self, seconds: float) -> None:
        """The daemon is not there for so long."""
        await self.kill()
        self.clock.advance(seconds)
        self.pager = self.started()

    def jump(self, hours: float) -> None:
        self.clock.jump(timedelta(hours=hours))

    def later(self, seconds: float, do: Callable[[], object]) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.clock.sleep(seconds)
            do()

        return asyncio.create_task(wait())

    @property
    def pages(self) -> list[Page]:
        """What people have, counted at the providers."""
        return [page for provider in self.providers.values() for page in provider.pages]

    def paged(self, level: str) -> list[str]:
        """Who was paged at a level, in order."""
        return [page.role.value for page in self.pages if page.level == level]

    def at(self, level: str, cycle: int = 0) -> list[float]:
        """At which elapsed seconds a level's pages came."""
        return [t for key, t in self.times.items() if key.split(":")[2:4] == [level, str(cycle)]]

    @property
    def paging(self) -> PagingView:
        return fold_pages(self.record.events)[INCIDENT]

    @property
    def state(self) -> str:
        return fold_incidents(self.record.events)[INCIDENT].state


@pytest.fixture(autouse=True)
def _no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager_module, "crashpoint", lambda _: None)
