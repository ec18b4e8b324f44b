"""The daemon: stand by, become the one that acts, watch, and take up what people ask for, until told to stop."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

from codeblue.engine.crashpoint import hangpoint
from codeblue.engine.engine import Engine
from codeblue.engine.keeper import Keeper
from codeblue.engine.runs import Runs
from codeblue.engine.state import Owner
from codeblue.model.errors import (
    CodeBlueError,
    EngineUnusable,
    LeaseHeld,
    LeaseLost,
    RecordUnusable,
    Temporary,
    Unreachable,
)
from codeblue.model.event import Draft
from codeblue.model.ids import new_id
from codeblue.model.incident import Level
from codeblue.ports.dead_man import DeadMan
from codeblue.record.pages import NOTICE, REQUESTED, anchor_data
from codeblue.rules.escalation import ladder_of, people
from codeblue.watch.announcer import Announcer
from codeblue.watch.guard import GOOD_FOR_S, GRACE_S, RecordGuard, call_without_record
from codeblue.watch.loop import Watch
from codeblue.watch.pager import TICK_S, Pager
from codeblue.watch.pause import pause
from codeblue.watch.pulse import Heart
from codeblue.watch.watchdog import Watchdog
from codeblue.wiring import App, engine_database, holder_name, open_channels, open_status_page

#: How often stored commands (a requested run, an approval) are looked for.
COMMANDS_EVERY_S = 0.3
#: How often an engine that could not be launched is tried again.
ENGINE_AGAIN_S = 5.0
#: How long a standby waits after it saw a living holder.
STANDBY_EVERY_S = 2.0


class Daemon:
    """One process of `codeblue serve`.

    Args:
        say: gets every sentence: of a cycle of the loop, or of a change of role.
        stand_down: called when the lease was lost, or the record is; must end the process.
        heart: beaten in every cycle that had a record, also while standing by; others in this process read it.
        dead_man: who outside gets our signs of life.
    """

    def __init__(
        self,
        app: App,
        say: Callable[[str], None],
        stand_down: Callable[[CodeBlueError], None],
        *,
        heart: Heart | None = None,
        dead_man: DeadMan | None = None,
    ) -> None:
        self._app, self._say, self._die = app, say, stand_down
        self._heart, self._dead_man = heart or Heart(app.clock), dead_man
        self._guard, self._begun, self._unable, self._ending = RecordGuard(app.record, app.clock), False, False, False
        self._keeper = Keeper(app.lease, app.profile.lease.duration, app.clock, self._stand_down)
        self._runs = Runs(app.record, app.world, self._keeper.fence)
        self._channels = open_channels(app.profile, app.record)  # a missing secret is said now, not in an emergency
        self._status_page = open_status_page(app.profile)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then the lease is free at once, and the last sentence says so.

        Raises:
            Refused: another process owns this state directory. Forbidden, NotFound: the platform refuses us for good.
        """
        me = Owner(holder_name(), "standby", os.getpid())
        try:
            former = self._app.state.own(me)
        except BlockingIOError:
            owner = self._app.state.owner()
            raise LeaseHeld(
                f"Another process owns {self._app.state.path} ({owner.holder if owner else 'unknown'}).",
                remedy="Let it end, or give this daemon a state.directory of its own.",
            ) from None
        watchdog = asyncio.create_task(self._signs_of_life(stop))
        try:
            await self._read_history()
            acted = await self._become_holder(me.holder, former.holder if former else "", stop)
            if acted:
                self._app.state.become(replace(me, kind="serve"))
                await self._serve(stop)
        finally:
            watchdog.cancel()
        await self._keeper.release()
        self._app.state.disown()
        self._say("stopped: the lease is free" if acted else "stopped while standing by")

    async def _read_history(self) -> None:
        """Read what was before, beside the event loop: of years it takes seconds, and the lease is not ours yet."""
        try:
            await asyncio.to_thread(self._runs.unfinished)
        except CodeBlueError as error:
            self._guard.failed("record", error)  # what follows meets it as well, and says so

    async def _signs_of_life(self, stop: asyncio.Event) -> None:
        while not self._begun and not stop.is_set():  # one that ends before its first cycle gives no sign of life
            await pause(stop, self._app.clock, COMMANDS_EVERY_S)
        if self._dead_man is None:
            return
        every_s, silent_after_s = self._app.profile.watchdog.every, self._app.profile.watchdog.silent_after
        watchdog = Watchdog(
            self._dead_man, self._heart, self._app.clock, every_s=every_s, silent_after_s=silent_after_s, say=self._say
        )
        await watchdog.run(stop)

    async def _become_holder(self, holder: str, predecessor: str, stop: asyncio.Event) -> bool:
        said = ""
        while not stop.is_set():
            begun = self._app.clock.monotonic()
            try:
                self._guard.probe()  # who has no record must not become the one who acts
                self._guard.worked("record")
                fence = await self._keeper.acquire(holder, predecessor=predecessor)
            except RecordUnusable as error:
                sentence = f"NOT standing by: {error.message}"
                await self._without_record("record", error)
            except LeaseHeld:
                view = await self._app.lease.view()
                sentence = f"standing by: {view.holder if view else 'somebody'} acts on {self._app.profile.service}"
            except Temporary as error:
                sentence = f"standing by: {error.message}"
            else:
                self._say(f"acting on {self._app.profile.service} as {fence.holder}, epoch {fence.epoch}")
                self._beat(f"acting as {fence.holder}", begun, acting=True)
                return True
            self._beat(sentence, begun, acting=False)
            if sentence != said:
                self._say(sentence)
                said = sentence
            await pause(stop, self._app.clock, STANDBY_EVERY_S)
        return False

    async def _serve(self, stop: asyncio.Event) -> None:
        engine = Engine(self._runs, self._keeper, engine_database(self._app.profile), self._stand_down)
        await asyncio.gather(self._commands(engine, stop), self._watch(stop), self._people(stop), self._public(stop))

    async def _commands(self, engine: Engine, stop: asyncio.Event) -> None:
        """Take up stored commands. Without an engine nothing can be changed; people are paged all the same."""
        said, since = "", None
        while not stop.is_set():
            pace_s, sentence = COMMANDS_EVERY_S, ""
            try:
                engine.launch()
                await engine.take_up()
                self._guard.worked("engine")
                self._unable, since = False, None
            except CodeBlueError as error:
                await self._without_record("engine", error)
                sentence, pace_s = f"no commands can be taken up: {error.message}", ENGINE_AGAIN_S
                if isinstance(error, EngineUnusable):
                    sentence = f"NOTHING CAN BE CHANGED: {error.message} Watching and paging go on."
                    since = await self._without_engine(engine, since)
            if sentence != said:
                self._say(sentence or "commands are taken up again")
                said = sentence
            await pause(stop, self._app.clock, pace_s)

    async def _without_engine(self, engine: Engine, since: float | None) -> float:
        """End what is requested in vain, and have people told, once, when that lasts. Returns since when it does."""
        now = self._app.clock.monotonic()
        since = now if since is None else since
        try:
            engine.void()
            if not self._unable and now - since >= GRACE_S:
                self._unable = True
                self._request_notice()
        except CodeBlueError as error:
            await self._without_record("engine", error)
        return since

    def _request_notice(self) -> None:
        app = self._app
        id_ = new_id("page", app.clock.now())
        for role in people(ladder_of(app.profile.escalation), Level.L1):
            data = {
                "level": NOTICE,
                "role": role.value,
                "summary": f"{app.profile.service}: Code Blue can change nothing: its engine's database cannot be used",
                "next_step": "see what `codeblue serve` says and mend it; until then roll back by hand",
                "anchor": anchor_data(app.clock.anchor()),
            }
            app.record.append(Draft(REQUESTED, "engine", data, incident=id_))

    async def _watch(self, stop: asyncio.Event) -> None:
        watch = Watch(self._runs, self._keeper, self._heart.judged)
        interval_s = self._app.profile.health.interval
        while not stop.is_set():
            begun = self._app.clock.monotonic()
            pace_s = interval_s
            await hangpoint("watch.cycle")
            try:
                self._guard.probe()
                sentence = await watch.cycle()
                self._say(sentence)
                pace_s = min(1.0, interval_s) if self._runs.unfinished() else interval_s
                self._guard.worked("watch")
            except LeaseLost as error:
                sentence = f"the lease is lost: {error.message}"
                await self._stand_down(error)
            except CodeBlueError as error:
                # nothing was decided and nothing recorded in this cycle; the next one looks again
                sentence = f"unknown: {error.message}; nothing follows from that"
                self._say(sentence)
                await self._without_record("watch", error)
            self._beat(sentence, begun, acting=True)
            await pause(stop, self._app.clock, pace_s - (self._app.clock.monotonic() - begun))

    async def _people(self, stop: asyncio.Event) -> None:
        """Page people, whatever else goes on: what a channel or the platform does must not hold it up."""
        if not self._channels:
            return
        app = self._app
        pager = Pager(app.record, self._channels, app.profile, app.clock, self._keeper.fence)
        await self._ticking("pager", pager.cycle, "nobody can be paged in this cycle", stop)
        await pager.close()

    async def _public(self, stop: asyncio.Event) -> None:
        """Keep the status page true."""
        if self._status_page is None:
            return
        app = self._app
        announcer = Announcer(app.record, self._status_page, app.profile, app.clock, self._keeper.fence)
        await self._ticking("status page", announcer.cycle, "the public cannot be told anything in this cycle", stop)
        await announcer.close()

    async def _ticking(self, name: str, cycle: Callable[[], Awaitable[str]], failing: str, stop: asyncio.Event) -> None:
        """Cycles of a loop until `stop` is set; its sentence is said when it is another one than before."""
        said = ""
        while not stop.is_set():
            begun = self._app.clock.monotonic()
            try:
                sentence = await cycle()
                self._guard.worked(name)
            except LeaseLost as error:
                await self._stand_down(error)
                return
            except CodeBlueError as error:
                sentence = f"{failing}: {error.message}"
                await self._without_record(name, error)
            if sentence != said:
                self._say(f"{name}: {sentence}")
                said = sentence
            await pause(stop, self._app.clock, TICK_S - (self._app.clock.monotonic() - begun))

    def _beat(self, sentence: str, begun: float, *, acting: bool) -> None:
        """Not without a record; nor where nothing can be changed and nobody can be paged about it."""
        if self._guard.failing or (self._unable and not self._channels):
            return
        self._begun = True
        self._heart.beat(sentence, took_s=self._app.clock.monotonic() - begun, acting=acting)

    async def _without_record(self, loop: str, error: CodeBlueError) -> None:
        """A loop ended its cycle with an error: where that is for want of a record for too long, stand down."""
        if not self._guard.failed(loop, error) or self._ending:
            return
        self._ending = True
        if self._channels and self._guard.good_s >= GOOD_FOR_S:
            self._say(await call_without_record(self._channels, self._app.profile, self._app.clock))
        what = f"No record for {GRACE_S:g} s, so nobody watches, changes or pages here any more: {error.message}"
        ended = Unreachable(what, remedy=error.remedy)
        ended.exit_code = error.exit_code
        await self._stand_down(ended)

    async def _stand_down(self, error: CodeBlueError) -> None:
        self._die(error)
