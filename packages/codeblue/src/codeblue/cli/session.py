"""A person's command from plan to exit code: here and now, or through the daemon that owns the state."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from codeblue.cli.actor import actor_name
from codeblue.cli.frame import Common, say, show
from codeblue.cli.progress import Progress, as_document, as_text
from codeblue.cli.words import sentence
from codeblue.engine.keeper import Keeper
from codeblue.engine.runs import Plan, Runs, make_plan
from codeblue.engine.state import Owner
from codeblue.model.change import Fence
from codeblue.model.errors import CodeBlueError, ExitCode, Failed, LeaseHeld, LeaseLost, Refused, Unreachable
from codeblue.record.incidents import INCIDENT_KINDS, open_incident
from codeblue.record.runs import RunState, RunView
from codeblue.runbooks.registry import runbook
from codeblue.wiring import App, engine_database, holder_name, open_app


@dataclass(frozen=True, slots=True)
class Options:
    """How a command is to be carried out.

    Attributes:
        plan: show what would be done, and stop.
        yes: do not ask.
    """

    plan: bool = False
    yes: bool = False


def execute(common: Common, name: str, request: Any, reason: str, options: Options, *, incident: str = "") -> int:
    """Plan, ask, do and prove one runbook. Returns the exit code; raises CodeBlueError before anything was done."""
    reason = sentence(reason, "--reason")
    profile = common.load()
    app = open_app(profile)
    return asyncio.run(_guarded(_execute(app, common, name, request, reason, options, incident)))


def resume(common: Common, run_id: str) -> int:
    """Go on with an unfinished run of this state. Returns the exit code."""
    profile = common.load()
    app = open_app(profile)
    return asyncio.run(_guarded(_resume(app, common, run_id)))


async def actor(app: App) -> str:
    """Who acts: whom the platform authenticates, and the login of this machine."""
    return actor_name(await app.world.platform.identity())


async def _execute(
    app: App, common: Common, name: str, request: Any, reason: str, options: Options, incident: str
) -> int:
    if runbook(name).changes and not options.plan:
        threading.Thread(target=_load_engine, daemon=True).start()  # while the platform answers
    with _nothing_changed():
        if runbook(name).changes and not options.plan:
            Runs(app.record, app.world, _no_fence).refuse_second()
        plan = await make_plan(name, request, app.world)
    if options.plan:
        _show_plan(common, plan, app.world.platform.target)
        return int(ExitCode.DONE)
    say("\n".join([f"{plan.runbook.title} on {app.world.platform.target}:", *(f"  {line}" for line in plan.lines)]))
    if plan.runbook.changes and not options.yes:
        _ask(plan)
    with _nothing_changed():
        who = await actor(app)
    if plan.runbook.changes and not incident:
        ongoing = open_incident(app.record.read(kinds=INCIDENT_KINDS))
        incident = ongoing.id if ongoing else ""
    if not plan.runbook.changes:
        runs = Runs(app.record, app.world, _no_fence)
        run = runs.request(plan, actor=who, reason=reason, incident=incident)
        return await _watch_here(app, common, runs, run)
    owner = app.state.owner()
    if owner is not None and owner.kind == "serve":
        run = Runs(app.record, app.world, _no_fence).request(plan, actor=who, reason=reason, incident=incident)
        say(f"The daemon ({owner.holder}) takes it up.")
        return await _follow(app, common, run)
    async with AsyncExitStack() as stack:
        with _nothing_changed():
            engine = await stack.enter_async_context(_Engine(app))
            run = engine.runs.request(plan, actor=who, reason=reason, incident=incident)
        return await engine.run(common, run)


async def _resume(app: App, common: Common, run_id: str) -> int:
    runs = Runs(app.record, app.world, _no_fence)
    run = runs.get(run_id)
    if run.state.ended:
        raise Refused(f"Run {run_id} is over: {run.state}. {run.why}", remedy="Start a new one.")
    owner = app.state.owner()
    if owner is not None and owner.kind == "serve":
        return await _follow(app, common, run)
    if not runbook(run.runbook).changes:
        return await _watch_here(app, common, runs, run)
    threading.Thread(target=_load_engine, daemon=True).start()
    async with _Engine(app) as engine:
        return await engine.run(common, run)


@contextmanager
def _nothing_changed() -> Iterator[None]:
    """Errors of this block say what they mean for production; before a run is requested, nothing has been touched."""
    try:
        yield
    except CodeBlueError as error:
        if "othing was changed" not in error.message:
            error.message = f"{error.message.rstrip('.')}. Nothing was changed."
        raise


@contextmanager
def _begun(run: RunView) -> Iterator[None]:
    """An error from here on cannot say that nothing was changed: the command failed, and the run may go on."""
    try:
        yield
    except Unreachable as error:
        if run.state is RunState.REQUESTED and "withdrawn" in error.message:
            raise
        raise Failed(
            f"The run can no longer be followed: {error.message}",
            remedy=f"Look at the workload itself; `codeblue run resume {run.id}` goes on with the run.",
        ) from error


def _load_engine() -> None:
    """DBOS takes longer to import than all else."""
    import codeblue.engine.engine  # noqa: F401


class _Engine:
    """This process as the one that acts: owner of the state, holder of the lease, engine launched."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._keeper = Keeper(app.lease, app.profile.lease.duration, app.clock, self._stand_down)
        self.runs = Runs(app.record, app.world, self._keeper.fence)
        self._begun = False

    async def __aenter__(self) -> "_Engine":
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
        await self._keeper.acquire(me.holder, predecessor=former.holder if former else "")
        try:
            from codeblue.engine.engine import Engine

            self._engine = Engine(self.runs, self._keeper, engine_database(self._app.profile), self._stand_down)
            self._engine.launch()  # before anything is requested: without an engine nothing is begun
        except CodeBlueError:
            await self.__aexit__()
            raise
        return self

    async def run(self, common: Common, run: RunView) -> int:
        self._begun = True
        await self._engine.take_up()
        with Progress(run, quiet=common.json) as progress, _begun(run):
            ended = await self._engine.wait(run.id, progress.update)
        return _result(common, ended)

    async def __aexit__(self, *_: object) -> None:
        with suppress(CodeBlueError):  # it runs out by itself, and is no part of the result
            await self._keeper.release()
        await self._app.close()
        self._app.state.disown()

    async def _stand_down(self, error: CodeBlueError) -> None:
        say(f"{error.message}")
        say(f"Next: {error.remedy}" if error.remedy else "This command stands down.")
        say("What was begun is recorded: `codeblue run list`, then resume or abort it.")
        sys.stdout.flush()
        os._exit(int(ExitCode.FAILED if self._begun else error.exit_code))


async def _watch_here(app: App, common: Common, runs: Runs, run: RunView) -> int:
    """Execute a run that changes nothing: no lease, and nothing to take up after a crash."""

    async def once(_: str, work: Any) -> Any:
        return await work()

    task = asyncio.create_task(runs.execute(run.id, once))
    with Progress(run, quiet=common.json) as progress:
        while not task.done():
            progress.update(runs.get(run.id))
            await asyncio.wait({task}, timeout=0.2)
        await task
        ended = runs.get(run.id)
        progress.update(ended)
    await app.close()
    return _result(common, ended)


async def _follow(app: App, common: Common, run: RunView) -> int:
    """Watch a run that the daemon executes."""
    runs = Runs(app.record, app.world, _no_fence)
    with Progress(run, quiet=common.json) as progress, _begun(run):
        run = await runs.wait(run.id, progress.update)
    await app.close()
    return _result(common, run)


async def _guarded(work: Any) -> int:
    try:
        code: int = await work
    except asyncio.CancelledError:
        say("Interrupted. What was begun is recorded: `codeblue run list`, then resume or abort it.")
        return int(ExitCode.INTERRUPTED)
    return code


async def _no_fence() -> Fence:
    raise LeaseLost("This command changes nothing and has no lease.")


def _result(common: Common, run: RunView) -> int:
    show(common, as_document(run), as_text(run))
    return int(run.exit_code if run.exit_code is not None else ExitCode.FAILED)


def _show_plan(common: Common, plan: Plan, target: str) -> None:
    document = {
        "schema": "codeblue/plan/1",
        "runbook": plan.runbook.name,
        "target": target,
        "digest": plan.digest,
        "notes": list(plan.lines),
        "steps": [{"id": s.id, "title": s.title, "limit_s": s.limit_s} for s in plan.steps],
    }
    lines = [f"{plan.runbook.title} on {target}: what would be done. Nothing was changed.", ""]
    lines += [f"  {line}" for line in plan.lines]
    lines += ["", *(f"  {i}. {s.title} (at most {s.limit_s:g} s)" for i, s in enumerate(plan.steps, 1))]
    lines += ["", f"digest {plan.digest}"]
    show(common, document, "\n".join(lines))


def _ask(plan: Plan) -> None:
    if not sys.stdin.isatty():
        raise Refused(
            "This changes production, and there is nobody to ask. Nothing was changed.",
            remedy="Add --yes, or look at it first with --plan.",
        )
    say("Type yes to do it:")
    if input().strip() != "yes":
        raise Refused("Not confirmed. Nothing was changed.")
