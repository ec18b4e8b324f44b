"""This process as the one that acts, for the time of one command: what the daemon is for long, without the loop."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from codeblue.engine.keeper import Keeper
from codeblue.engine.runs import Runs
from codeblue.engine.state import Owner
from codeblue.model.errors import CodeBlueError, LeaseHeld
from codeblue.record.runs import RunView
from codeblue.wiring import App, engine_database, holder_name


def warm_up() -> None:
    """Import the engine in the background, while the platform answers: DBOS takes longer than all else."""
    threading.Thread(target=_load_engine, daemon=True).start()


def _load_engine() -> None:
    import codeblue.engine.engine  # noqa: F401


class Holder:
    """Owner of the state, holder of the lease, engine launched: `async with Holder(app) as holder`.

    Entering raises LeaseHeld when another command owns the state or another machine the lease, and whatever the lease
    and the engine raise; nothing was changed then. When the lease is lost within, the process ends.

    Args:
        stood_down: says so, and returns the exit code.
    """

    def __init__(self, app: App, stood_down: Callable[[CodeBlueError], int]) -> None:
        self._app, self._stood_down = app, stood_down
        self._keeper = Keeper(app.lease, app.profile.lease.duration, app.clock, self._stand_down)
        self.runs = Runs(app.record, app.world, self._keeper.fence)
        self._over = False

    async def __aenter__(self) -> "Holder":
        me = Owner(holder_name(), "command", os.getpid())
        try:
            former = self._app.state.own(me)
        except BlockingIOError:
            owner = self._app.state.owner()
            raise LeaseHeld(
                f"Another command acts with this state at this moment ({owner.holder if owner else 'unknown'}). "
                "Nothing was changed.",
                remedy="`codeblue run list` shows its run; let it finish, or abort it.",
            ) from None
        try:
            await self._keeper.acquire(me.holder, predecessor=former.holder if former else "")
            from codeblue.engine.engine import Engine

            self._engine = Engine(self.runs, self._keeper, engine_database(self._app.profile), self._stand_down)
            self._engine.launch()  # before anything is requested: without an engine nothing is begun
        except BaseException:  # an interruption too must not leave the lease to run out
            await self.__aexit__()
            raise
        return self

    async def perform(self, run: RunView, seen: Callable[[RunView], None]) -> RunView:
        """Execute a requested or unfinished run to its end. Raises as `Runs.wait`.

        Args:
            seen: gets the run's state about five times a second, for live progress.
        """
        await self._engine.take_up()
        return await self._engine.wait(run.id, seen)

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        with suppress(CodeBlueError):  # it runs out by itself, and is no part of the result
            await self._keeper.release()
        await self._app.close()
        self._app.state.disown()

    async def _stand_down(self, error: CodeBlueError) -> None:
        if self._over:  # we gave the lease up ourselves; whatever still executes here ends with the process
            await asyncio.get_running_loop().create_future()
        os._exit(self._stood_down(error))
