"""Runs one step: observe, change, prove, within its limit, every event recorded. Knows nothing of DBOS."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from opentelemetry import trace

from codeblue.engine.crashpoint import crashpoint
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import CodeBlueError, Conflict, ExitCode, LeaseLost, Refused, Temporary, Unreachable
from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.ports.clock import Clock
from codeblue.ports.record import RecordStore
from codeblue.record.chain import plain
from codeblue.record.runs import RunView
from codeblue.runbooks.step import Check, Ensure, Make, Step

#: Does nothing unless whoever starts the process sets up an exporter; names and ids only, no text of the service (B9).
_TRACER: Final = trace.get_tracer("codeblue")


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended.

    Attributes:
        ok: its state is proven.
        why: what was seen, or what went wrong.
        exit_code: the kind of failure (DONE when ok).
        changed: something was accepted by the target during this step, as far as this process knows.
    """

    ok: bool
    why: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.DONE
    changed: bool = False

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "exit_code": int(self.exit_code)}

    @staticmethod
    def load(data: dict[str, Any]) -> "StepResult":
        return StepResult(**{**data, "exit_code": ExitCode(data["exit_code"])})


class Aborted(CodeBlueError):
    """A person asked to stop."""


class NoRecord(CodeBlueError):
    """The record cannot be written or read: nothing goes on without one, and no step waits for it."""

    exit_code = ExitCode.UNREACHABLE


class Executor:
    """Executes steps of one run.

    Args:
        fence: gives the right to act, or raises (see `Keeper.fence`).
        aborted: who asked to abort the run, or "".
        deadline: of the whole run; None for a run without one.
    """

    def __init__(
        self,
        *,
        run: str,
        incident: str,
        record: RecordStore,
        clock: Clock,
        fence: Callable[[], Awaitable[Fence]],
        aborted: Callable[[], str],
        deadline: datetime | None,
    ) -> None:
        self._run, self._incident, self._record, self._clock = run, incident, record, clock
        self._fence, self._aborted = fence, aborted
        # from here on the monotonic clock counts: a time of day that is set right must not end a run, nor prolong it
        left_s = None if deadline is None else (deadline - clock.now()).total_seconds()
        self._deadline = None if left_s is None else clock.monotonic() + left_s

    async def run(self, step: Step) -> StepResult:
        """Run the step to its end.

        Raises:
            LeaseLost: somebody else acts on the service now; nothing more may be recorded as ours.
            NoRecord: what was done may be unrecorded; whoever takes the run up observes the target anew.
        """
        named = {"codeblue.run": self._run, "codeblue.incident": self._incident, "codeblue.step": step.id}
        with _span(f"step {step.id}", named) as span:
            result = await self._execute(step)
            span.set_attribute("codeblue.changed", result.changed)
            span.set_status(trace.StatusCode.OK if result.ok else trace.StatusCode.ERROR)
        return result

    async def _execute(self, step: Step) -> StepResult:
        self._event("step.started", step, limit_s=step.limit_s)
        crashpoint(f"{step.id}.started")
        limit = self._until(step)
        try:
            match step:
                case Ensure():
                    result = await self._ensure(step, limit)
                case Check():
                    result = await self._check(step, limit)
                case Make():
                    result = await self._make(step, limit)
                case _:
                    raise TypeError(f"{type(step).__name__} is no kind of step")
        except (LeaseLost, NoRecord):
            raise
        except CodeBlueError as error:
            result = StepResult(False, error.message, error.remedy, error.exit_code)
        except Exception as error:  # noqa: BLE001  # the step fails, and the steps that clean up still run
            result = StepResult(False, *_defect(error), exit_code=ExitCode.FAILED)
        state = "done" if result.ok else "failed"
        self._event("step.ended", step, state=state, why=result.why, remedy=result.remedy)
        crashpoint(f"{step.id}.ended")
        return result

    async def _ensure(self, step: Ensure[Any], until: float) -> StepResult:
        accepted, trouble = 0, ""
        while True:
            changed = accepted > 0
            self._stop_if_aborted(step)
            try:
                seen = await step.observe()
                change = step.change(seen)
                if change is None:
                    return StepResult(True, step.holds(seen), changed=self._found(step) or changed)
                if self._clock.monotonic() >= until:
                    why = trouble or f"still to be done: {change.summary}"
                    return self._late(step, why, changed)
                fence = await self._fence()
                self._event("step.intended", step, change=_shown(change), epoch=fence.epoch)
                crashpoint(f"{step.id}.intended")
                receipt = await self._apply(step, change, fence)
            except Conflict as error:
                trouble = error.message
                await self._pause(error.delay_s / 5, until)
                continue
            except Temporary as error:
                trouble = error.message
                self._progress(step, f"waiting: {error.message}")
                if self._clock.monotonic() >= until:
                    return self._late(step, trouble, changed, error.exit_code)
                await self._pause(error.delay_s, until)
                continue
            accepted += 1
            crashpoint(f"{step.id}.applied")
            self._event("step.applied", step, change=_shown(change), accepted=receipt.accepted)
            crashpoint(f"{step.id}.recorded")
            if accepted > 1:  # somebody puts it back: we do not race them
                await self._pause(1.0, until)

    async def _make(self, step: Make, until: float) -> StepResult:
        while True:
            self._stop_if_aborted(step)
            try:
                reference = await step.find()
                if reference is None:
                    self._event("step.intended", step, key=step.key)
                    crashpoint(f"{step.id}.intended")
                    reference = await step.make()
                    crashpoint(f"{step.id}.applied")
                digests = step.digests()
                named = {"digests": digests} if digests else {}
                self._event("step.made", step, key=step.key, reference=reference, **named)
                crashpoint(f"{step.id}.recorded")
                verdict = await step.prove(reference)
            except Temporary as error:
                self._progress(step, f"waiting: {error.message}")
                if self._clock.monotonic() >= until:
                    return self._late(step, error.message, False, error.exit_code)
                await self._pause(error.delay_s, until)
                continue
            code = ExitCode.DONE if verdict.ok else ExitCode.FAILED
            return StepResult(verdict.ok, verdict.why, exit_code=code, changed=True)

    async def _apply(self, step: Ensure[Any], change: Change, fence: Fence) -> Receipt:
        """Send it, and note where the target itself refused it: then nothing was touched. Errors as `Ensure.apply`."""
        try:
            return await step.apply(change, fence)
        except LeaseLost:
            raise
        except (Conflict, Refused) as error:
            self._event("step.refused", step, why=error.message)
            raise

    def _found(self, step: Ensure[Any]) -> bool:
        """Record a change whose acceptance we never saw (a crash, a lost answer) and that is now seen in force."""
        kinds = ("step.intended", "step.applied", "step.refused")
        try:
            events = self._record.read(run=self._run, kinds=kinds)
        except Unreachable as error:
            raise NoRecord(error.message, remedy=error.remedy) from error
        sent = [e for e in events if e.data["step"] == step.id]
        if not sent or sent[-1].kind != "step.intended":
            return False
        self._event("step.applied", step, change=sent[-1].data["change"], accepted="seen in force afterwards")
        return True

    async def _check(self, step: Check, until: float) -> StepResult:
        attempt, last = 0, ""
        while True:
            self._stop_if_aborted(step)
            attempt += 1
            code = ExitCode.FAILED
            try:
                verdict = await step.probe()
            except Temporary as error:
                verdict, code = Verdict(step.id, Outcome.UNKNOWN, error.message), error.exit_code
            if verdict.ok:
                return StepResult(True, verdict.why)
            if verdict.final:
                return StepResult(False, verdict.why, exit_code=ExitCode.FAILED)
            if verdict.why != last:
                self._progress(step, verdict.why)
                last = verdict.why
            if step.attempts and attempt >= step.attempts:
                return StepResult(False, f"{verdict.why}; asked {attempt} times", exit_code=code)
            if self._clock.monotonic() + step.every_s > until:
                return self._late(step, f"{verdict.outcome}: {verdict.why}", False, code)
            await self._clock.sleep(step.every_s)

    def _until(self, step: Step) -> float:
        """The step's end on the monotonic clock: its own limit, or the run's deadline if that is earlier."""
        now = self._clock.monotonic()
        if self._deadline is None or step.cleanup:
            return now + step.limit_s
        return min(now + step.limit_s, self._deadline)

    def _late(self, step: Step, why: str, changed: bool, code: ExitCode = ExitCode.FAILED) -> StepResult:
        over = self._deadline is not None and self._clock.monotonic() >= self._deadline
        what = "the run's deadline passed" if over else f"{step.limit_s:g} s passed"
        return StepResult(False, f"{what}; {why}", exit_code=code, changed=changed)

    async def _pause(self, seconds: float, until: float) -> None:
        await self._clock.sleep(max(0.0, min(seconds, until - self._clock.monotonic())))

    def _stop_if_aborted(self, step: Step) -> None:
        if step.cleanup:
            return
        try:
            who = self._aborted()
        except Unreachable as error:
            raise NoRecord(error.message, remedy=error.remedy) from error
        if who:
            raise Aborted(f"aborted by {who}")

    def _progress(self, step: Step, text: str) -> None:
        self._event("step.progress", step, text=text)

    def _event(self, kind: str, step: Step, **data: Any) -> None:
        draft = Draft(kind, "engine", {"step": step.id, **data}, run=self._run, incident=self._incident)
        try:
            self._record.append(draft)
        except Unreachable as error:
            raise NoRecord(error.message, remedy=error.remedy) from error


@contextmanager
def run_span(run: RunView) -> Iterator[trace.Span]:
    """The span of a run; those of its steps are within it."""
    named = {"codeblue.run": run.id, "codeblue.incident": run.incident, "codeblue.runbook": run.runbook}
    with _span(f"run {run.runbook}", named) as span:
        yield span


@contextmanager
def _span(name: str, attributes: dict[str, str]) -> Iterator[trace.Span]:
    """A span; what goes wrong in it is marked by its type alone, because an error's text can hold anything."""
    with _TRACER.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def _defect(error: Exception) -> tuple[str, str]:
    """What is said of an error that nobody foresaw: its type alone, because its text can hold anything."""
    return f"internal error {type(error).__name__}", "Look at the workload itself; report the defect."


def _shown(change: Any) -> dict[str, Any]:
    """A change without its body: a template can hold plain values that are nobody's business in the record (B9)."""
    shown: dict[str, Any] = plain(change)
    del shown["body"]
    return shown
