"""One step, from its observation to its proof: every way that it can go."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.unit.world import Lab

from codeblue.engine.executor import Executor, NoRecord, StepResult
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import (
    CodeBlueError,
    Conflict,
    ExitCode,
    Failed,
    Forbidden,
    LeaseLost,
    Refused,
    Unreachable,
)
from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.runbooks.step import Check, Ensure, Make, Step

RUN = "run-20260105t031500z-aaaaaa"
FENCE = Fence("me", 7)


@dataclass
class Switch(Ensure[bool]):
    """Brings a switch about. `answers` are what `apply` does, in order: an error, "lost" (done, no answer), or "ok"."""

    answers: list[CodeBlueError | str] = field(default_factory=list)
    blind: list[CodeBlueError] = field(default_factory=list)
    refuses: CodeBlueError | None = None
    on: bool = False
    applied: int = 0
    id: str = "switch"
    title: str = "Switch it on"
    limit_s: float = 10.0
    cleanup: bool = False

    async def observe(self) -> bool:
        if self.blind:
            raise self.blind.pop(0)
        return self.on

    def change(self, seen: bool) -> Change | None:
        if self.refuses is not None:
            raise self.refuses
        return None if seen else Change("switch", "lamp", "off → on", "v1", body="secret body")

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        assert fence == FENCE
        self.applied += 1
        answer = self.answers.pop(0) if self.answers else "ok"
        if isinstance(answer, CodeBlueError):
            raise answer
        if answer == "never":
            return Receipt(change.summary, "v2", Lab().clock.now())
        self.on = True
        if answer == "lost":
            raise Unreachable("no answer")
        return Receipt(change.summary, "v2", Lab().clock.now())

    def holds(self, seen: bool) -> str:
        return "it is on"


class Asked(Check):
    id, title, limit_s = "asked", "Ask", 10.0

    def __init__(self, *answers: Outcome | CodeBlueError | Exception, final: bool = False, **more: float) -> None:
        self.answers, self._final, self.asked = list(answers), final, 0
        self.every_s = more.get("every_s", 1.0)
        self.attempts = int(more.get("attempts", 0))

    async def probe(self) -> Verdict:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Verdict("asked", answer, f"it is {answer}", final=self._final)


@dataclass
class Thing(Make):
    key: str = "thing@1"
    id: str = "thing"
    title: str = "Make it"
    limit_s: float = 10.0
    cleanup: bool = False
    answers: list[CodeBlueError] = field(default_factory=list)
    there: str | None = None
    made: int = 0
    good: bool = True

    async def find(self) -> str | None:
        return self.there

    async def make(self) -> str:
        if self.answers:
            raise self.answers.pop(0)
        self.made += 1
        self.there = "ref-1"
        return self.there

    async def prove(self, reference: str) -> Verdict:
        return Verdict("thing", Outcome.OK if self.good else Outcome.BREACH, f"{reference} looked at")


class Bench:
    """An executor on virtual time."""

    def __init__(self, deadline_s: float | None = 300.0) -> None:
        self.lab = Lab()
        self.clock, self.record = self.lab.clock, self.lab.record
        self.aborted_by: Callable[[], str] = lambda: ""
        self.fence: Callable[[], Fence] = lambda: FENCE
        deadline = None if deadline_s is None else self.clock.now() + timedelta(seconds=deadline_s)
        self.executor = Executor(
            run=RUN,
            incident="",
            record=self.record,
            clock=self.clock,
            fence=self._fence,
            aborted=lambda: self.aborted_by(),  # noqa: PLW0108  # a test gives it another value
            deadline=deadline,
        )

    async def _fence(self) -> Fence:
        return self.fence()

    async def run(self, step: Step) -> StepResult:
        return await self.executor.run(step)

    @property
    def kinds(self) -> list[str]:
        return [e.kind.removeprefix("step.") for e in self.record.events]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.req("R1")
async def test_a_state_is_brought_about_and_seen(bench: Bench) -> None:
    step = Switch()
    result = await bench.run(step)
    assert result == StepResult(True, "it is on", changed=True)
    assert bench.kinds == ["started", "intended", "applied", "ended"]
    assert step.applied == 1
    assert bench.record.events[1].data["epoch"] == 7
    assert bench.record.events[2].data["accepted"] == "v2"
    assert all(e.run == RUN and e.actor == "engine" for e in bench.record.events)


async def test_the_body_of_a_change_is_never_recorded(bench: Bench) -> None:
    await bench.run(Switch())
    assert "secret body" not in str(bench.record.events)


@pytest.mark.req("B3")
async def test_what_holds_already_is_not_done_again(bench: Bench) -> None:
    step = Switch(on=True)
    assert await bench.run(step) == StepResult(True, "it is on")
    assert step.applied == 0
    assert bench.kinds == ["started", "ended"]


@pytest.mark.req("R1")
@pytest.mark.defect("D4")
async def test_an_accepted_change_that_is_not_seen_is_no_success(bench: Bench) -> None:
    step = Switch(answers=["never"] * 999)
    result = await bench.run(step)
    assert (result.ok, result.changed, result.why) == (False, True, "10 s passed; still to be done: off → on")
    assert step.applied <= 12, "whoever puts it back is not raced"


async def test_a_state_that_can_no_longer_be_brought_about_says_why(bench: Bench) -> None:
    step = Switch(answers=[Unreachable("wait")] * 999)
    bench.lab.later(5, lambda: setattr(step, "refuses", Failed("it was put back", remedy="look")))
    result = await bench.run(step)
    assert (result.ok, result.why, result.remedy) == (False, "it was put back", "look")


@pytest.mark.req("B3")
async def test_after_a_conflict_it_is_observed_again(bench: Bench) -> None:
    step = Switch(answers=[Conflict("moved on"), Conflict("moved on")])
    assert (await bench.run(step)).ok
    assert step.applied == 3
    assert bench.kinds == ["started", "intended", "refused", "intended", "refused", "intended", "applied", "ended"]


@pytest.mark.req("B3")
async def test_after_a_lost_answer_the_observation_decides(bench: Bench) -> None:
    step = Switch(answers=["lost"])
    result = await bench.run(step)
    assert result.ok
    assert result.changed
    assert step.applied == 1, "sent twice"
    assert bench.kinds == ["started", "intended", "progress", "applied", "ended"]
    assert bench.record.events[3].data["accepted"] == "seen in force afterwards"


@pytest.mark.req("B3")
async def test_a_change_that_did_not_arrive_is_sent_again(bench: Bench) -> None:
    step = Switch(answers=[Unreachable("no connection")])
    assert (await bench.run(step)).ok
    assert step.applied == 2
    assert bench.kinds.count("applied") == 1


@pytest.mark.req("B3")
async def test_a_change_that_a_dead_process_sent_is_recorded_when_it_is_seen(bench: Bench) -> None:
    change = {"summary": "off → on"}
    draft = Draft("step.intended", "engine", {"step": "switch", "change": change, "epoch": 6}, run=RUN)
    bench.record.append(draft)
    result = await bench.run(Switch(on=True))
    assert result.changed
    assert bench.kinds == ["intended", "started", "applied", "ended"]
    await bench.run(Switch(on=True))
    assert bench.kinds.count("applied") == 1


@pytest.mark.parametrize("error", [Refused("quota"), Forbidden("no right to patch")])
async def test_what_the_target_refuses_for_good_ends_the_step_and_is_recorded_as_refused(bench: Bench, error) -> None:
    result = await bench.run(Switch(answers=[error]))
    assert (result.ok, result.exit_code, result.why) == (False, ExitCode.REFUSED, error.message)
    assert bench.kinds == ["started", "intended", "refused", "ended"]


async def test_what_a_step_itself_refuses_is_not_a_refusal_of_the_target(bench: Bench) -> None:
    result = await bench.run(Switch(refuses=Refused("not ours", remedy="ask")))
    assert (result.exit_code, result.remedy) == (ExitCode.REFUSED, "ask")
    assert bench.kinds == ["started", "ended"]


@pytest.mark.defect("D11")
async def test_a_blind_step_ends_at_its_limit_as_unreachable(bench: Bench) -> None:
    step = Switch(blind=[Unreachable("no API server", delay_s=0.5)] * 999)
    result = await bench.run(step)
    assert (result.ok, result.exit_code) == (False, ExitCode.UNREACHABLE)
    assert result.why == "10 s passed; no API server"
    assert 10 <= bench.clock.monotonic() < 10.6


async def test_a_conflict_that_never_ends_ends_at_the_limit(bench: Bench) -> None:
    result = await bench.run(Switch(answers=[Conflict("moved on")] * 999))
    assert (result.ok, result.exit_code) == (False, ExitCode.FAILED)
    assert result.why == "10 s passed; moved on"
    assert 10 <= bench.clock.monotonic() < 10.6


@pytest.mark.req("R11")
async def test_the_runs_deadline_is_shorter_than_the_steps_limit() -> None:
    bench = Bench(deadline_s=4.0)
    result = await bench.run(Switch(blind=[Unreachable("no API server")] * 999))
    assert result.why == "the run's deadline passed; no API server"
    assert bench.clock.monotonic() <= 4.6
    bench = Bench(deadline_s=4.0)
    result = await bench.run(Asked(Outcome.UNKNOWN))
    assert not result.ok
    assert bench.clock.monotonic() <= 4.0


@pytest.mark.req("R11")
async def test_after_the_deadline_only_cleaning_up_has_time() -> None:
    bench = Bench(deadline_s=-5.0)
    step = Switch()
    assert not (await bench.run(step)).ok
    assert step.applied == 0
    step = Switch(cleanup=True, blind=[Unreachable("wait")])
    assert (await bench.run(step)).ok


async def test_a_run_without_a_deadline_has_the_limits_of_its_steps() -> None:
    bench = Bench(deadline_s=None)
    assert not (await bench.run(Asked(Outcome.BREACH))).ok
    assert bench.clock.monotonic() == 10.0


async def test_a_check_is_asked_until_it_passes(bench: Bench) -> None:
    step = Asked(Outcome.BREACH, Unreachable("no way"), Outcome.UNKNOWN, Outcome.OK)
    assert await bench.run(step) == StepResult(True, "it is ok")
    assert step.asked == 4
    assert bench.clock.monotonic() == 3.0
    assert [e.data["text"] for e in bench.record.events if e.kind == "step.progress"] == [
        "it is breach",
        "no way",
        "it is unknown",
    ]


async def test_the_same_answer_is_recorded_once(bench: Bench) -> None:
    await bench.run(Asked(Outcome.BREACH))
    assert bench.kinds == ["started", "progress", "ended"]


async def test_a_final_verdict_ends_a_check_at_once(bench: Bench) -> None:
    step = Asked(Outcome.BREACH, final=True)
    result = await bench.run(step)
    assert (result.ok, result.why, step.asked) == (False, "it is breach", 1)
    assert bench.clock.monotonic() == 0


@pytest.mark.req("R11")
@pytest.mark.defect("D22")
async def test_a_check_has_only_so_many_attempts(bench: Bench) -> None:
    step = Asked(Outcome.BREACH, attempts=3)
    result = await bench.run(step)
    assert (result.ok, step.asked) == (False, 3)
    assert result.why == "it is breach; asked 3 times"
    assert bench.clock.monotonic() == 2.0


async def test_a_check_that_never_saw_anything_says_unreachable(bench: Bench) -> None:
    result = await bench.run(Asked(Unreachable("no way"), attempts=2))
    assert result.exit_code is ExitCode.UNREACHABLE
    assert (await bench.run(Asked(Outcome.UNKNOWN))).why == "10 s passed; unknown: it is unknown"


async def test_a_check_that_refuses_is_refused(bench: Bench) -> None:
    result = await bench.run(Asked(Refused("paused", remedy="resume it")))
    assert (result.exit_code, result.remedy) == (ExitCode.REFUSED, "resume it")


async def test_a_thing_is_made_once_and_proven(bench: Bench) -> None:
    thing = Thing(answers=[Unreachable("disk full")])
    result = await bench.run(thing)
    assert (result.ok, result.why, thing.made) == (True, "ref-1 looked at", 1)
    assert bench.kinds == ["started", "intended", "progress", "intended", "made", "ended"]
    assert (await bench.run(thing)).ok
    assert thing.made == 1


async def test_a_thing_that_is_not_what_it_should_be_is_a_failure(bench: Bench) -> None:
    result = await bench.run(Thing(good=False))
    assert (result.ok, result.exit_code) == (False, ExitCode.FAILED)
    result = await bench.run(Thing(answers=[Unreachable("disk full")] * 999))
    assert (result.ok, result.exit_code) == (False, ExitCode.UNREACHABLE)


@pytest.mark.parametrize("make", [lambda: Switch(blind=[Unreachable("x")] * 99), lambda: Asked(Outcome.UNKNOWN), Thing])
async def test_an_abort_ends_a_step_at_its_next_safe_place(bench: Bench, make: Callable[[], Step]) -> None:
    bench.aborted_by = lambda: "person:ada" if bench.clock.monotonic() >= 3 else ""
    step = make()
    if isinstance(step, Thing):
        step.answers = [Unreachable("x")] * 99
    result = await bench.run(step)
    assert (result.ok, result.why, result.exit_code) == (False, "aborted by person:ada", ExitCode.FAILED)
    assert bench.clock.monotonic() < 5


async def test_cleaning_up_is_not_aborted(bench: Bench) -> None:
    bench.aborted_by = lambda: "person:ada"
    assert (await bench.run(Switch(cleanup=True))).ok
    step = Switch()
    assert not (await bench.run(step)).ok
    assert step.applied == 0


@pytest.mark.req("B3")
@pytest.mark.parametrize("where", ["fence", "apply", "probe", "observe"])
async def test_a_lost_lease_leaves_at_once_and_records_nothing_more(bench: Bench, where: str) -> None:
    lost = LeaseLost("epoch 8 began")
    step: Step = Switch()
    if where == "fence":

        def fence() -> Fence:
            raise lost

        bench.fence = fence
    elif where == "probe":
        step = Asked(lost)
    else:
        step = Switch(blind=[lost]) if where == "observe" else Switch(answers=[lost])
    with pytest.raises(LeaseLost):
        await bench.run(step)
    assert bench.kinds in (["started"], ["started", "intended"])


@pytest.mark.req("R1")
@pytest.mark.parametrize("kind", ["step.started", "step.intended", "step.applied", "step.progress", "step.ended"])
async def test_without_a_record_nothing_goes_on(bench: Bench, kind: str) -> None:
    """It is an error of its own: no step waits for it as if the target were away, and none is ended by it."""
    bench.record.refuses.add(kind)
    step = Switch(answers=[Unreachable("x")] if kind == "step.progress" else [])
    with pytest.raises(NoRecord) as caught:
        await bench.run(step)
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert "ended" not in bench.kinds
    if kind in ("step.started", "step.intended"):
        assert step.applied == 0


async def test_an_abort_that_cannot_be_read_is_no_record(bench: Bench) -> None:
    def unreadable() -> str:
        raise Unreachable("the record is away")

    bench.aborted_by = unreadable
    with pytest.raises(NoRecord):
        await bench.run(Asked(Outcome.UNKNOWN))


async def test_a_defect_of_a_step_fails_the_step_and_shows_only_its_type(bench: Bench) -> None:
    result = await bench.run(Asked(KeyError("patient 4711")))
    assert not result.ok
    assert result.why == "internal error KeyError"
    assert "4711" not in str(bench.record.events)


async def test_what_is_no_kind_of_step_fails(bench: Bench) -> None:
    class Odd(Step):
        id, title, limit_s = "odd", "Odd", 1.0

    assert "TypeError" in (await bench.run(Odd())).why


def test_a_result_survives_its_stored_form() -> None:
    result = StepResult(False, "why", "remedy", ExitCode.REFUSED, changed=True)
    assert StepResult.load(result.plain()) == result
    assert type(result.plain()["exit_code"]) is int
