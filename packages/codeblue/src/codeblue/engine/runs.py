"""What a run is to the engine: requested, approved, executed step by step, ended once. Knows nothing of DBOS."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from codeblue.engine.crashpoint import crashpoint
from codeblue.engine.executor import Executor, StepResult, run_span
from codeblue.engine.process import is_gone, this_process
from codeblue.model.anchor import Moment
from codeblue.model.change import Fence
from codeblue.model.errors import ExitCode, Failed, Refused, Unreachable
from codeblue.model.event import Draft
from codeblue.model.ids import new_id
from codeblue.ports.clock import moment_of
from codeblue.ports.record import RecordStore
from codeblue.record.chain import digest_of, plain
from codeblue.record.following import Following
from codeblue.record.incidents import frozen_by
from codeblue.record.pages import anchor_data
from codeblue.record.runs import RunState, RunView, fold_runs
from codeblue.runbooks.registry import RUNBOOKS, runbook
from codeblue.runbooks.step import Check, Runbook, Step, World

#: How long a run waits for an approval before it is refused.
APPROVAL_S = 1800.0

#: Cleanup steps may follow a passed deadline; after so long the engine itself is in trouble.
GRACE_S = 150.0

#: How long a request may wait for the daemon that owns the state; one that does not take it up hangs.
TAKE_UP_S = 30.0

#: A request older than this is not begun any more: whoever asked is gone, and what they saw may be as well.
EXPIRES_S = 60.0


def too_late(run: RunView, now: Moment) -> str:
    """Why an approval of a run that waits comes too late, "" where it does not."""
    limit_s = APPROVAL_S if run.state is RunState.WAITING else EXPIRES_S
    waited_s = run.begins["requested"].until_s(now)
    if waited_s < limit_s:
        return ""
    return f"it was asked for {waited_s:.0f} s ago, and may be begun only within {limit_s:g} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """A resolved runbook: what would be done, and the digest that an approval binds to (R1a)."""

    runbook: Runbook[Any]
    inputs: Any
    steps: tuple[Step, ...]
    lines: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over inputs and steps."""
        steps = [[s.id, s.title, s.limit_s] for s in self.steps]
        return digest_of({"runbook": self.runbook.name, "inputs": plain(self.inputs), "steps": steps})


async def make_plan(name: str, request: Any, world: World) -> Plan:
    """Resolve a runbook; reads only. Raises as `Runbook.resolve`."""
    book = runbook(name)
    inputs = await book.resolve(world, request)
    return Plan(book, inputs, tuple(book.steps(inputs, world, "")), tuple(book.plan(inputs)))


#: Runs a named piece of work once, and remembers its result across a crash.
Durably = Callable[[str, Callable[[], Awaitable[StepResult]]], Awaitable[StepResult]]


class Runs:
    """The runs of one service, in its record.

    Attributes:
        following: what is asked of the record in every cycle; rollbacks are kept, because their budget is counted.
    """

    def __init__(self, record: RecordStore, world: World, fence: Callable[[], Awaitable[Fence]]) -> None:
        self.record, self.world, self._fence = record, world, fence
        self.following = Following(record, keeps=frozenset({"quick_rollback"}))

    def request(self, plan: Plan, *, actor: str, reason: str, incident: str = "", ask: bool = False) -> RunView:
        """Record the wish to execute a plan. The engine that owns the state takes it up.

        Args:
            ask: it waits for an approval of this very plan (R1a). While an incident freezes the service, every change
                does that no person asks for (R9): a person's own command acts, and is the approval.

        Raises:
            Refused: another run that changes something is under way; one at a time (D7).
        """
        if plan.runbook.changes:
            self.refuse_second(plan.runbook)
            self.make_way(plan.runbook, actor)
            by_person = actor.startswith("person:")
            ask = ask or (not by_person and frozen_by(self.following.incidents()) is not None)
        id_ = new_id("run", self.world.clock.now())
        data = {
            "runbook": plan.runbook.name,
            "reason": reason,
            "inputs": plain(plan.inputs),
            "steps": [{"id": s.id, "title": s.title, "limit_s": s.limit_s} for s in plan.steps],
            "digest": plan.digest,
            "deadline_s": plan.runbook.deadline_s(self.world.profile),
            "ask": ask,
            "anchor": anchor_data(self.world.clock.anchor()),
        }
        self.record.append(Draft("run.requested", actor, data, run=id_, incident=incident))
        return self.get(id_)

    def refuse_second(self, book: Runbook[Any]) -> None:
        """One run that changes something at a time (D7). Raises Refused, with what to do about the one under way."""
        for other in self.unfinished():
            if not self.changes(other) or self._gives_way(other, book):
                continue
            if other.state is RunState.WAITING:
                raise Refused(
                    f"Run {other.id} ({other.runbook}) waits for an approval. Nothing was changed.",
                    remedy=f"`codeblue run approve {other.id}` starts it, `codeblue run abort {other.id}` ends it.",
                )
            raise Refused(
                f"Run {other.id} ({other.runbook}) is not over yet. Nothing was changed.",
                remedy=f"`codeblue run resume {other.id}` goes on with it; `codeblue run abort {other.id}` and then "
                "resume ends it.",
            )

    def make_way(self, book: Runbook[Any], actor: str) -> list[str]:
        """Ask the unfinished runs that give way to this procedure to stop. Returns their ids."""
        yielding = [r for r in self.unfinished() if self._gives_way(r, book)]
        for run in yielding:
            if not run.aborted_by:
                why = f"gives way to {book.name}"
                self.record.append(Draft("run.abort_requested", actor, {"why": why}, run=run.id, incident=run.incident))
        return [r.id for r in yielding]

    def _gives_way(self, run: RunView, book: Runbook[Any]) -> bool:
        other = RUNBOOKS.get(run.runbook)
        return book.changes and not book.yields and other is not None and other.yields

    def get(self, id_: str) -> RunView:
        """One run. Raises Refused for an id that the record does not have."""
        found = fold_runs(self.record.read(run=id_)).get(id_)
        if found is None:
            raise Refused(f"There is no run {id_!r}.", remedy="`codeblue run list` shows them.")
        return found

    def unfinished(self) -> list[RunView]:
        """Runs that were requested and have not ended, oldest first; without what their steps did (see `get`)."""
        return self.following.unfinished()

    async def wait(
        self, id_: str, seen: Callable[[RunView], None] | None = None, nudge: asyncio.Event | None = None
    ) -> RunView:
        """Wait until a run has ended, whoever executes it.

        Args:
            seen: gets the run's state about five times a second, for live progress.
            nudge: ends a pause early.

        Raises:
            Unreachable: nobody took it up; the request was withdrawn.
            Failed: it did not end long after its deadline.
        """
        clock = self.world.clock
        begun = clock.monotonic()
        while True:
            run = self.get(id_)
            if seen is not None:
                seen(run)
            if run.state.ended:
                return run
            if run.state is RunState.REQUESTED and clock.monotonic() - begun > TAKE_UP_S:
                self._event(run, "run.abort_requested")
                raise Unreachable(
                    f"Nobody took up run {id_} within {TAKE_UP_S:g} s: the daemon that owns this state hangs. The "
                    "request is withdrawn. Nothing was changed.",
                    remedy="Restart the daemon; or use another state.directory, its lease runs out by itself.",
                )
            overdue = run.deadline is not None and self._since_s(run, "started") > run.deadline_s + GRACE_S
            if overdue and clock.monotonic() - begun > GRACE_S:  # a run that is resumed late gets its time to end
                raise Failed(
                    f"Run {id_} did not end {GRACE_S:g} s after its deadline; where it stands is unknown.",
                    remedy=f"Look at the workload itself, then `codeblue run resume {id_}`.",
                )
            if nudge is None:
                await clock.sleep(0.2)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(nudge.wait(), timeout=0.2)
            nudge.clear()

    def changes(self, run: RunView) -> bool:
        """Whether the run changes anything; one of an unknown procedure is taken to."""
        book = RUNBOOKS.get(run.runbook)
        return book is None or book.changes

    def left_to_engine(self, run: RunView) -> bool:
        """Whether the engine executes the run: a person's run that only reads is the command's own, while it lives."""
        return not self._commands_own(run) or self._since_s(run, "requested") > run.deadline_s

    def end_forsaken(self) -> list[str]:
        """End the runs whose command is certainly dead, those that only read: nobody waits for what they would see.

        A command on another machine or in another container is not known to be dead; `left_to_engine` ends its run
        after the deadline.

        Returns:
            their ids.
        """
        gone = [r.id for r in self.unfinished() if self._commands_own(r) and self._command_is_gone(r)]
        # read again, now that nobody can write to it any more: it may have ended as the last thing that its command did
        forsaken = [r for r in map(self.get, gone) if not r.state.ended]
        for run in forsaken:
            why = "the command that executed it is gone. Nothing was changed."
            self._ended(run, RunState.ABORTED, why, "Start a new one.", ExitCode.FAILED)
        return [r.id for r in forsaken]

    def end_void(self, besides: Collection[str] = ()) -> list[str]:
        """End the requests that are too old to be begun. Returns their ids.

        Args:
            besides: runs that are about to begin.
        """
        void = [r for r in self.unfinished() if r.state is RunState.REQUESTED and self._expired(r)]
        ended = [r for r in void if r.id not in besides and self.left_to_engine(r)]
        for run in ended:
            self._end_void(run)
        return [r.id for r in ended]

    def _commands_own(self, run: RunView) -> bool:
        return run.actor.startswith("person:") and not self.changes(run)

    def _command_is_gone(self, run: RunView) -> bool:
        executed = self.record.read(run=run.id, kinds=("run.started", "run.resumed"))
        name = executed[-1].data.get("process", "") if executed else ""
        return isinstance(name, str) and is_gone(name)

    def broke(self, id_: str, error: Exception) -> None:
        """End a run that a defect of ours stopped. The error's text can hold anything, so only its type is recorded."""
        run = self.get(id_)
        if run.state.ended:
            return
        why = f"internal error {type(error).__name__}; where the workload stands is unknown"
        self._ended(run, RunState.FAILED, why, "Look at the workload itself; report the defect.", ExitCode.FAILED)

    async def execute(self, id_: str, durably: Durably) -> None:
        """Execute a run to its end, from wherever it is.

        Args:
            durably: runs a named function once, and remembers its result across a crash (the engine's business).

        Raises:
            LeaseLost: somebody else acts now. Unreachable: the record cannot be written.
        """
        run = self.get(id_)
        if run.state.ended:
            return
        with run_span(run) as span:
            await self._execute(run, durably)
            span.set_attribute("codeblue.state", self.get(id_).state.value)

    async def _execute(self, run: RunView, durably: Durably) -> None:
        id_ = run.id
        try:
            book = runbook(run.runbook)
        except Refused as error:
            self._ended(run, RunState.REFUSED, error.message, error.remedy, ExitCode.REFUSED)
            return
        if run.state is RunState.REQUESTED and run.aborted_by:
            why = f"withdrawn by {run.aborted_by} before it began. Nothing was changed."
            self._ended(run, RunState.ABORTED, why, "", ExitCode.REFUSED)
            return
        if run.state is RunState.REQUESTED and self._expired(run):
            self._end_void(run)
            return
        if run.state in (RunState.REQUESTED, RunState.WAITING):
            if not await self._approved(run):
                return
            self._start(run)
        else:
            self._event(run, "run.resumed", process=this_process())
        crashpoint("run.started")
        run = self.get(id_)
        steps = book.steps(book.load(dict(run.inputs)), self.world, run.id)
        executor = self._executor(run)
        failed: StepResult | None = None
        proven = "nothing had to be done"
        for step in steps:
            if failed is None and not step.cleanup:
                failed = self._stopped(run.id, steps)
            if failed is not None and not step.cleanup:
                if not isinstance(step, Check):  # its number is its own on every path, or those behind it are mistaken
                    await durably(step.id, _skipped)
                continue
            if isinstance(step, Check):
                result = await executor.run(step)  # what was seen before a crash is no proof of now: look again
            else:
                result = await durably(step.id, lambda step=step: executor.run(step))  # type: ignore[misc]
            if not result.ok and failed is None:
                failed = result
            proven = result.why if not step.cleanup else proven
        self._end(self.get(id_), book, failed, proven)
        crashpoint("run.ended")

    def _stopped(self, id_: str, steps: Sequence[Step]) -> StepResult | None:
        """What stops the run between two steps: an abort. It names the first step that is not proven.

        A check that had passed before a crash is not repeated only to find the abort: it did not fail.
        """
        run = self.get(id_)
        if not run.aborted_by:
            return None
        tidying = {s.id for s in steps if s.cleanup}
        step = next((s for s in run.steps if s.state != "done" and s.id not in tidying), None)
        where = (
            "its end" if step is None else f"step “{step.title}” {'began' if step.state == 'waiting' else 'went on'}"
        )
        return StepResult(False, f"aborted by {run.aborted_by} before {where}", exit_code=ExitCode.FAILED)

    async def _approved(self, run: RunView) -> bool:
        """Wait until a person approves this very plan; True at once for a run that needs no approval."""
        if not self.record.read(run=run.id, limit=1)[0].data.get("ask"):
            return True
        if run.state is RunState.REQUESTED:
            self._event(run, "run.waiting", digest=run.digest, until=APPROVAL_S)
        while True:
            run = self.get(run.id)
            void, state, code = "", RunState.REFUSED, ExitCode.REFUSED
            if run.approved_by:
                void, state, code = self._void_approval(run), RunState.EXPIRED, ExitCode.UNREACHABLE
                if not void:
                    return True
            elif run.aborted_by:
                void, state = f"aborted by {run.aborted_by}", RunState.ABORTED
            elif self._since_s(run, "requested") >= APPROVAL_S:
                void = f"not approved within {APPROVAL_S:g} s"
            if void:
                self._ended(run, state, f"{void}. Nothing was changed.", "", code)
                return False
            await self.world.clock.sleep(0.5)

    def _void_approval(self, run: RunView) -> str:
        """Why an approval does not count any more, "" where it does: whoever gave it saw the service as it was then."""
        if run.begins["requested"].until_s(run.begins["approved"]) >= APPROVAL_S:
            return f"approved more than {APPROVAL_S:g} s after it was asked for"
        if self._since_s(run, "approved", backwards=math.inf) > EXPIRES_S:
            return f"not begun within {EXPIRES_S:g} s of the approval"
        return ""

    def _since_s(self, run: RunView, state: str, *, backwards: float = 0.0) -> float:
        """How long ago the run entered a state; no correction of the time of day moves that within a boot."""
        return run.begins[state].until_s(moment_of(self.world.clock), backwards=backwards)

    def _expired(self, run: RunView) -> bool:
        return self.changes(run) and self._since_s(run, "requested", backwards=math.inf) > EXPIRES_S

    def _end_void(self, run: RunView) -> None:
        why = f"not begun within {EXPIRES_S:g} s of the request. Nothing was changed."
        remedy = "Look at the service as it is now, then ask anew."
        self._ended(run, RunState.EXPIRED, why, remedy, ExitCode.UNREACHABLE)

    def _start(self, run: RunView) -> None:
        deadline: datetime = self.world.clock.now() + timedelta(seconds=run.deadline_s)
        self._event(run, "run.started", deadline=deadline, process=this_process())

    def _executor(self, run: RunView) -> Executor:
        return Executor(
            run=run.id,
            incident=run.incident,
            record=self.record,
            clock=self.world.clock,
            fence=self._fence,
            aborted=lambda: self.get(run.id).aborted_by,
            deadline=self.world.clock.now() + timedelta(seconds=run.deadline_s - self._since_s(run, "started")),
        )

    def _end(self, run: RunView, book: Runbook[Any], failed: StepResult | None, proven: str) -> None:
        if run.state.ended:  # we crashed after this was recorded
            return
        if failed is None:
            self._ended(run, RunState.DONE, f"every step is proven; {proven}", "", ExitCode.DONE)
            return
        touched = self._touched(run)
        if run.aborted_by:
            state, code = RunState.ABORTED, ExitCode.FAILED
        elif failed.exit_code is ExitCode.REFUSED and not touched:
            state, code = RunState.REFUSED, ExitCode.REFUSED
        elif failed.exit_code is ExitCode.UNREACHABLE and not touched:
            state, code = RunState.FAILED, ExitCode.UNREACHABLE
        else:
            state, code = RunState.FAILED, ExitCode.FAILED
        safe = book.safe_state if touched else "Nothing was changed."
        why = failed.why if safe in failed.why else f"{failed.why.rstrip('.')}. {safe}"
        self._ended(run, state, why, failed.remedy, code)

    def _touched(self, run: RunView) -> bool:
        """Whether the target may have accepted something: a change that was sent and not refused (B3)."""
        kinds = [e.kind for e in self.record.read(run=run.id, kinds=("step.intended", "step.refused"))]
        return kinds.count("step.intended") > kinds.count("step.refused")

    def _ended(self, run: RunView, state: RunState, why: str, remedy: str, code: ExitCode) -> None:
        self._event(run, "run.ended", state=state.value, why=why, remedy=remedy, exit_code=int(code))

    def _event(self, run: RunView, kind: str, **data: Any) -> None:
        data["anchor"] = anchor_data(self.world.clock.anchor())
        self.record.append(Draft(kind, "engine", plain(data), run=run.id, incident=run.incident))


async def _skipped() -> StepResult:
    """In place of a step that is not executed after a failure; one that was executed has its result already."""
    return StepResult(False, "not executed", exit_code=ExitCode.FAILED)
