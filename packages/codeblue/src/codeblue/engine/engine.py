"""The durable engine: DBOS executes what `runs` describes, and takes up after a crash where it was."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos._error import DBOSException
from sqlalchemy import event
from sqlalchemy.engine import Engine as SqlEngine
from sqlalchemy.exc import SQLAlchemyError

from codeblue.engine.executor import StepResult
from codeblue.engine.keeper import Keeper
from codeblue.engine.runs import Runs
from codeblue.model.errors import CodeBlueError, EngineUnusable
from codeblue.record.runs import RunView

#: Pinned: an upgrade must not strand a pending run.
VERSION = "1"

_engine: "Engine | None" = None


class Engine:
    """Executes the runs of one service in this process. Launch it only while holding the lease.

    Args:
        database: SQLAlchemy URL of DBOS's own tables.
        stand_down: called when the lease was lost or the record cannot be written; it must not return control to us,
            because what we would record from then on would be untrue.
    """

    def __init__(
        self, runs: Runs, keeper: Keeper, database: str, stand_down: Callable[[CodeBlueError], Awaitable[None]]
    ) -> None:
        self.runs, self.keeper, self._database, self.stand_down = runs, keeper, database, stand_down
        self._taken: set[str] = set()
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._launched = False

    def launch(self) -> None:
        """Launch DBOS in the running event loop; runs that were under way go on by themselves. Again does nothing.

        Raises:
            EngineUnusable: its database cannot be used; it may be tried again.
        """
        if self._launched:
            return
        global _engine  # noqa: PLW0603  # DBOS knows workflows by name, per process
        _engine = self
        self._loop = asyncio.get_running_loop()
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        config: DBOSConfig = {
            "name": "codeblue",
            "system_database_url": self._database,
            "application_version": VERSION,
            # one for all processes of a service, because only the holder of its lease ever launches: so whoever
            # launches recovers what the former holder left, and nothing of another service in the same database
            "executor_id": f"codeblue-{self.runs.world.profile.service}",
            "log_level": "CRITICAL",
            "notification_listener_polling_interval_sec": 0.5,
        }
        _older_sqlite()
        try:
            DBOS(config=config)
            DBOS.launch()
        except (SQLAlchemyError, DBOSException) as error:
            DBOS.destroy()
            raise _unusable(error) from None
        self._launched = True

    async def take_up(self) -> None:
        """Start the requested runs that nobody has started, one that changes something at a time, in their order.

        The id makes a second start harmless, and what was under way before goes on by itself. A reading run whose
        command died is ended.

        Raises:
            EngineUnusable: the engine's database cannot be used; nothing of what it was to begin has begun.
        """
        self.runs.end_forsaken()
        changing = False
        for run in self.runs.unfinished():
            if not self.runs.left_to_engine(run):
                continue
            if changing and self.runs.changes(run):
                continue  # two were requested in the same moment; the later finds out in its preflight
            stops = run.aborted_by != ""  # it changes nothing any more, and what it puts back hinders nobody
            changing = changing or (self.runs.changes(run) and not stops)
            if run.id not in self._taken:
                try:
                    with SetWorkflowID(run.id):
                        await DBOS.start_workflow_async(_run, run.id)
                except SQLAlchemyError as error:
                    raise _unusable(error) from None
                self._taken.add(run.id)

    def void(self) -> list[str]:
        """End the requests that were not begun in time, where nothing can be begun: nobody waits for them any more.

        Returns:
            their ids.
        """
        return self.runs.end_void(besides=self._taken)

    async def wait(self, run_id: str, seen: Callable[[RunView], None] | None = None) -> RunView:
        """As `Runs.wait`; wakes at once when the run ends in this process."""
        return await self.runs.wait(run_id, seen, self._over)

    async def stop(self) -> None:
        """Release the lease. DBOS's threads are daemons and end with the process."""
        await self.keeper.release()

    async def execute(self, run_id: str) -> None:
        """The body of the workflow."""
        try:
            await self.runs.execute(run_id, _durably)
        except CodeBlueError as error:
            # nothing may be recorded as ours any more, not even by DBOS: the next holder takes the workflow up
            await self.stand_down(error)
            raise
        except SQLAlchemyError as error:
            # what the engine knows of the run's progress can no longer be kept: as without a record
            await self.stand_down(_unusable(error))
            raise
        except Exception as error:
            # a defect of ours: the run must not hang in the record for ever, and DBOS keeps the traceback
            self.runs.broke(run_id, error)
            raise
        finally:
            if self._loop is not None:  # DBOS may run a recovered workflow in a loop of its own
                self._loop.call_soon_threadsafe(self._over.set)


def _unusable(error: Exception) -> EngineUnusable:
    """Without the error's text: it can hold the connection string, statements and what they were about."""
    return EngineUnusable(
        f"The engine's database cannot be used ({type(error).__name__}). Nothing was changed.",
        remedy="Free the disk of state.directory, or check the database that state.database names; a damaged engine.db "
        "may be moved away, what happened is in the record.",
    )


def _older_sqlite() -> None:
    """Give SQLite before 3.42 the milliseconds that DBOS asks it for.

    DBOS concludes from Python 3.12 that SQLite is that new, and cannot make its tables where it is not (Debian 12).
    """
    if sqlite3.sqlite_version_info >= (3, 42):
        return

    @event.listens_for(SqlEngine, "connect")
    def connected(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.create_function("unixepoch", 1, lambda _: time.time())


@DBOS.workflow(name="run")
async def _run(run_id: str) -> None:
    if _engine is None:
        raise RuntimeError("the engine is not launched")
    await _engine.execute(run_id)


async def _durably(name: str, work: Callable[[], Awaitable[StepResult]]) -> StepResult:
    async def step() -> dict[str, Any]:
        try:
            return (await work()).plain()
        except CodeBlueError as error:
            # DBOS would keep the error as the step's result and hand it to whoever takes the run up: end before that
            if _engine is not None:
                await _engine.stand_down(error)
            raise

    return StepResult.load(await DBOS.run_step_async({"name": name}, step))
