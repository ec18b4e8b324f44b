"""A person's command from plan to exit code: here and now, or through the daemon that owns the state."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from codeblue.cli.actor import actor_name
from codeblue.cli.frame import Common, flush, report, say, show, told, untouched
from codeblue.cli.holder import Holder, warm_up
from codeblue.cli.progress import Progress, as_document, as_text
from codeblue.cli.words import sentence
from codeblue.engine.runs import Plan, Runs, make_plan
from codeblue.engine.state import Owner
from codeblue.model.change import Fence
from codeblue.model.errors import (
    CodeBlueError,
    ExitCode,
    Failed,
    Interrupted,
    LeaseHeld,
    LeaseLost,
    Refused,
    Unreachable,
    UsageError,
)
from codeblue.record.incidents import INCIDENT_KINDS, IncidentView, fold_incidents, freeze_of, open_incidents
from codeblue.record.runs import RunState, RunView
from codeblue.runbooks.registry import runbook
from codeblue.runbooks.step import Runbook
from codeblue.wiring import App, open_app

#: How long a daemon that has just started may take to become the one that acts.
BECOMES_S = 3.0
#: How long a command waits for another one to give way; a step that watches looks every few seconds.
GIVE_WAY_S = 20.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a command is to be carried out.

    Attributes:
        plan: show what would be done, and stop.
        yes: do not ask.
        incident: what it is done for; "" for the newest that is open, if any is.
    """

    plan: bool = False
    yes: bool = False
    incident: str = ""


def execute(common: Common, name: str, request: Any, reason: str, options: Options) -> int:
    """Plan, ask, do and prove one runbook. Returns the exit code; raises CodeBlueError before anything was done."""
    reason = sentence(reason, "--reason")
    command = _Command(common)

    def work(runner: asyncio.Runner) -> None:
        incident = command.incident(runbook(name), options.incident)
        plan = runner.run(command.plan(name, request, options))
        if options.plan:
            _show_plan(common, plan, command.target)
            return
        lines = [*plan.lines, *command.about(plan, incident)]
        say("\n".join([f"{plan.runbook.title} on {command.target}:", *(f"  {line}" for line in lines)]))
        if plan.runbook.changes and not options.yes:
            _ask()  # between two turns of the loop, so that Ctrl-C ends the question and not only what follows it
        runner.run(command.do(plan, reason, incident.id if incident else ""))

    return command.ended(work)


def resume(common: Common, run_id: str) -> int:
    """Go on with an unfinished run of this state. Returns the exit code."""
    command = _Command(common)
    return command.ended(lambda runner: runner.run(command.resume(run_id)))


async def actor(app: App) -> str:
    """Who acts: whom the platform authenticates, and the login of this machine."""
    return actor_name(await app.world.platform.identity())


class _Command:
    """One command of a person, on one service.

    Attributes:
        run: the run that was begun, as it was last seen.
        daemon: the holder's name where a daemon executes it, else "".
    """

    def __init__(self, common: Common) -> None:
        self.common, self.run, self.daemon = common, None, ""  # type: tuple[Common, RunView | None, str]
        profile = common.load()
        with _nothing_changed():
            self.app = open_app(profile)

    @property
    def target(self) -> str:
        return self.app.world.platform.target

    def ended(self, work: Callable[[asyncio.Runner], None]) -> int:
        """Do it, show how the run ended if one was begun, and return the exit code.

        The result is shown at the very end, so that there is one, however late a signal comes.

        Raises:
            Interrupted: Ctrl-C, SIGTERM or SIGHUP; names the run that goes on or can be resumed.
        """
        try:
            with asyncio.Runner() as runner:
                work(runner)
        except (KeyboardInterrupt, asyncio.CancelledError):
            if self.run is None or not self.run.state.ended:
                raise self._interrupted() from None
        return int(ExitCode.DONE) if self.run is None else _result(self.common, self.run)

    async def plan(self, name: str, request: Any, options: Options) -> Plan:
        """What would be done; reads only."""
        changes = runbook(name).changes and not options.plan
        if changes:
            warm_up()
        with _nothing_changed():
            if changes:
                self._runs.refuse_second(runbook(name))
            return await make_plan(name, request, self.app.world)

    def incident(self, book: Runbook[Any], named: str) -> IncidentView | None:
        """What it is done for. Raises UsageError where something is to be changed for one that is not open."""
        with _nothing_changed():
            events = self.app.record.read(kinds=INCIDENT_KINDS)
            if not book.changes:
                return fold_incidents(events).get(named)
            found = open_incidents(events)
        if not named:
            return found[0] if found else None
        chosen = next((i for i in found if i.id == named), None)
        if chosen is None:
            ids = ", ".join(i.id for i in found)
            raise UsageError(
                f"There is no open incident {named!r}. Nothing was changed.",
                remedy=f"Open are {ids}." if ids else "No incident is open: leave --incident out.",
            )
        return chosen

    def about(self, plan: Plan, incident: IncidentView | None) -> list[str]:
        """What it is done for, and that an incident freezes the service where one does."""
        if not plan.runbook.changes:
            return []
        with _nothing_changed():
            frozen = freeze_of(self.app.record.read(kinds=INCIDENT_KINDS))
        lines = [f"for incident {incident.id} ({incident.trigger})"] if incident else []
        if frozen is not None:
            lines.append(f"{frozen.id} freezes the service: this command is a person's approval")
        return lines

    async def do(self, plan: Plan, reason: str, incident: str) -> None:
        """Have the plan executed, by the daemon that owns the state or else here."""
        app = self.app
        with _nothing_changed():
            who = await actor(app)
        if not plan.runbook.changes:
            with _nothing_changed():
                self.run = self._runs.request(plan, actor=who, reason=reason, incident=incident)
            await self._watch_here(self.run)
            return
        owner = await self._owner()
        if owner is not None and owner.kind != "command":
            with _nothing_changed():
                self.run = self._runs.request(plan, actor=who, reason=reason, incident=incident)
            say(f"The daemon ({owner.holder}) takes it up.")
            await self._follow(self.run, owner)
            return
        async with AsyncExitStack() as stack:
            with _nothing_changed():
                if owner is not None:
                    await self._make_way(plan, who)
                holder = await stack.enter_async_context(Holder(app, self._stood_down))
                self.run = holder.runs.request(plan, actor=who, reason=reason, incident=incident)
            await self._perform(holder, self.run)

    async def resume(self, run_id: str) -> None:
        """Go on with a run, or follow the daemon that does. Raises Refused for one that is over."""
        run = self._runs.get(run_id)
        if run.state.ended:
            raise Refused(f"Run {run_id} is over: {run.state}. {run.why}", remedy="Start a new one.")
        self.run = run
        owner = await self._owner()
        if owner is not None and owner.kind != "command":
            await self._follow(run, owner)
            return
        if not runbook(run.runbook).changes:
            await self._watch_here(run)
            return
        warm_up()
        async with Holder(self.app, self._stood_down) as holder:
            await self._perform(holder, run)

    def seen(self, progress: Progress) -> Callable[[RunView], None]:
        """What takes note of the run's state and shows it."""

        def note(run: RunView) -> None:
            self.run = run
            progress.update(run)

        return note

    @property
    def _runs(self) -> Runs:
        return Runs(self.app.record, self.app.world, no_fence)

    async def _owner(self) -> Owner | None:
        """Who owns the state, and will execute what is requested: a daemon, or the one that it stands by for.

        Raises:
            LeaseHeld: a daemon that stands by, and whose record the one that acts does not read.
        """
        state, clock = self.app.state, self.app.clock
        until = clock.monotonic() + BECOMES_S
        while (owner := state.owner()) is not None and owner.kind == "standby":
            if self.app.profile.state.database is not None:
                return owner  # the record is shared: whoever acts takes it up
            if clock.monotonic() > until:
                lease = await self.app.lease.view()
                acts = lease.holder if lease else "another"
                raise LeaseHeld(
                    f"The daemon with this state ({owner.holder}) stands by, and {acts} acts on "
                    f"{self.app.profile.service}. Nothing was changed.",
                    remedy="Run the command where that one runs, or stop it first.",
                )
            await clock.sleep(0.1)
        return owner

    async def _make_way(self, plan: Plan, who: str) -> None:
        """Another command acts with this state: if what it does gives way to ours, wait until it has."""
        if not self._runs.make_way(plan.runbook, who):
            return
        say("A run that gives way to this one is asked to stop.")
        clock = self.app.clock
        until = clock.monotonic() + GIVE_WAY_S
        while self.app.state.owner() is not None and clock.monotonic() < until:
            await clock.sleep(0.1)

    async def _perform(self, holder: Holder, run: RunView) -> None:
        """Execute it in this process."""
        with Progress(run, quiet=self.common.json) as progress, _begun(run):
            await holder.perform(run, self.seen(progress))

    async def _watch_here(self, run: RunView) -> None:
        """Execute a run that changes nothing: no lease, and nothing to take up after a crash."""

        async def once(_: str, work: Any) -> Any:
            return await work()

        runs = self._runs
        task = asyncio.create_task(runs.execute(run.id, once))
        with Progress(run, quiet=self.common.json) as progress:
            note = self.seen(progress)
            while not task.done():
                note(runs.get(run.id))
                await asyncio.wait({task}, timeout=0.2)
            await task
            note(runs.get(run.id))
        await self.app.close()

    async def _follow(self, run: RunView, owner: Owner) -> None:
        """Watch a run that the daemon executes."""
        self.daemon = owner.holder
        with Progress(run, quiet=self.common.json) as progress, _begun(run):
            await self._runs.wait(run.id, self.seen(progress))
        await self.app.close()

    def _stood_down(self, error: CodeBlueError) -> int:
        """Say that the lease was lost. Returns the exit code."""
        if self.run is not None:
            error.exit_code, error.run = ExitCode.FAILED, self.run.id
            error.remedy = f"{error.remedy} What was begun is recorded: {_to_resume(self.run)}".strip()
        code = report(error, self.common.json)
        flush()
        return code

    def _interrupted(self) -> Interrupted:
        run = self.run
        if run is None:
            return Interrupted("Interrupted before anything was begun. Nothing was changed.")
        if self.daemon:
            return Interrupted(
                f"Interrupted; the daemon ({self.daemon}) goes on with run {run.id}.",
                remedy=f"`codeblue run resume {run.id}` follows it again, `codeblue run abort {run.id}` stops it.",
                run=run.id,
            )
        reads = "" if self._runs.changes(run) else " It only looks; nothing was changed."
        return Interrupted(
            f"Interrupted; run {run.id} is recorded and stands still, in the middle of its steps.{reads}",
            remedy=_to_resume(run),
            run=run.id,
        )


def _to_resume(run: RunView) -> str:
    id_ = run.id
    return f"`codeblue run resume {id_}` goes on with it; `codeblue run abort {id_}` and then resume ends it in order."


@contextmanager
def _nothing_changed() -> Iterator[None]:
    """Errors of this block say what they mean for production; before a run is requested, nothing has been touched."""
    try:
        with untouched():
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
    except (Unreachable, OSError) as error:
        if isinstance(error, Unreachable) and run.state is RunState.REQUESTED and "withdrawn" in error.message:
            raise
        what = error.message if isinstance(error, Unreachable) else f"{told(error)[0]}."
        raise Failed(
            f"The run can no longer be followed: {what}",
            remedy=f"Look at the workload itself; `codeblue run resume {run.id}` goes on with the run.",
            run=run.id,
        ) from error


async def no_fence() -> Fence:
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


def _line() -> str:
    """A line of standard input, "" at its end; a signal ends the waiting at any moment.

    `input()` has an instant between looking for signals and beginning to read; a Ctrl-C that comes just then, as the
    question appears, would count only after Enter. A file descriptor that each signal writes to has no such instant.
    """
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    former = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        while True:
            ready, _, _ = select.select([sys.stdin, woken], [], [])
            if sys.stdin in ready:
                return sys.stdin.readline()
            os.read(woken, 512)  # its handler has run by now; one that raised has ended this
    finally:
        signal.set_wakeup_fd(former)
        os.close(woken)
        os.close(waker)


def _ask() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise Refused(
            "This changes production, and there is nobody to ask. Nothing was changed.",
            remedy="Add --yes, or look at it first with --plan.",
        )
    say("Type yes to do it:")
    try:
        answer = _line()
    except UnicodeDecodeError:
        answer = ""
    if answer.strip() != "yes":
        raise Refused(
            "Not confirmed. Nothing was changed.",
            remedy="Run it again and type yes, or add --yes; --plan shows what would be done.",
        )
