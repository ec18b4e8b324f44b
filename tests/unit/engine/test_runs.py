"""Runs: requested one at a time, approved by digest, ended once, with the exit code that is true."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.engine.test_executor import Asked, Switch
from tests.unit.world import PERSON, Lab, at_once

from codeblue.engine.executor import NoRecord, StepResult
from codeblue.engine.process import this_process
from codeblue.engine.runs import APPROVAL_S, EXPIRES_S, make_plan
from codeblue.model.errors import ExitCode, Failed, LeaseLost, Refused, Unreachable
from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.record.pages import anchor_data
from codeblue.record.runs import RunState, RunView
from codeblue.runbooks import registry
from codeblue.runbooks.step import Runbook, Step, World


@dataclass(frozen=True, slots=True)
class Inputs:
    what: str = "the lamp"


class Lamp(Runbook[Inputs]):
    """A procedure whose steps a test writes."""

    name, title, safe_state = "lamp", "Lamp", "The lamp stays as it is."

    def __init__(self) -> None:
        self.made: list[Step] = []

    def deadline_s(self, profile: Any) -> float:
        return 300.0

    async def resolve(self, world: World, request: Any) -> Inputs:
        return Inputs(request or "the lamp")

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        return self.made

    def load(self, data: dict[str, Any]) -> Inputs:
        return Inputs(**data)


class Look(Lamp):
    name, changes = "look", False


class Slow(Lamp):
    name, yields = "slow", True


@pytest.fixture
def lamp() -> Iterator[Lamp]:
    lamp = Lamp()
    registry.RUNBOOKS |= {"lamp": lamp, "look": Look(), "slow": Slow()}
    yield lamp
    del registry.RUNBOOKS["lamp"], registry.RUNBOOKS["look"], registry.RUNBOOKS["slow"]


@pytest.fixture
def lab(lamp: Lamp) -> Lab:
    lab = Lab()

    async def fence():
        from tests.unit.engine.test_executor import FENCE

        return FENCE

    lab.runs._fence = fence
    return lab


async def ended(lab: Lab, lamp: Lamp, *steps: Step) -> RunView:
    lamp.made = list(steps)
    return await lab.perform("lamp", "")


@pytest.mark.req("R1")
async def test_a_run_is_recorded_with_who_why_what_and_when(lab: Lab, lamp: Lamp) -> None:
    run = await ended(lab, lamp, Switch())
    assert (run.state, run.exit_code, run.why) == (RunState.DONE, ExitCode.DONE, "every step is proven; it is on")
    assert (run.actor, run.reason, run.inputs) == (PERSON, "a test", asdict(Inputs()))
    assert lab.kinds(run.id) == [
        "run.requested",
        "run.started",
        "step.started",
        "step.intended",
        "step.applied",
        "step.ended",
        "run.ended",
    ]
    assert run.deadline is not None
    assert run.started is not None
    assert (run.deadline - run.started).total_seconds() == 300


@pytest.mark.req("R10")
@pytest.mark.defect("D7")
async def test_a_second_run_that_changes_something_is_refused_while_one_is_unfinished(lab: Lab) -> None:
    plan, look = await make_plan("lamp", "", lab.world), await make_plan("look", "", lab.world)
    first = lab.runs.request(plan, actor=PERSON, reason="r")
    with pytest.raises(Refused, match=f"Run {first.id} .* is not over yet") as caught:
        lab.runs.request(plan, actor="watch", reason="r")
    assert f"codeblue run resume {first.id}" in caught.value.remedy
    assert len(lab.events("run.requested")) == 1
    lab.runs.request(look, actor=PERSON, reason="looking is always possible")
    await lab.execute(first.id)
    lab.runs.request(plan, actor=PERSON, reason="r")


@pytest.mark.req("R11")
async def test_an_unfinished_run_that_gives_way_is_stopped_and_keeps_nobody_waiting(lab: Lab) -> None:
    plan, slow = await make_plan("lamp", "", lab.world), await make_plan("slow", "", lab.world)
    first = lab.runs.request(slow, actor="watch", reason="r")
    with pytest.raises(Refused, match=first.id):
        lab.runs.request(slow, actor=PERSON, reason="two that give way do not give way to each other")
    second = lab.runs.request(plan, actor=PERSON, reason="r")
    assert lab.runs.get(first.id).aborted_by == PERSON
    assert (await lab.execute(first.id)).state is RunState.ABORTED
    assert (await lab.execute(second.id)).state is RunState.DONE


@pytest.mark.req("R11")
async def test_a_run_does_not_give_way_to_one_that_only_looks_and_a_rollback_to_nobody(lab: Lab) -> None:
    plan, slow = await make_plan("lamp", "", lab.world), await make_plan("slow", "", lab.world)
    look = await make_plan("look", "", lab.world)
    first = lab.runs.request(slow, actor="watch", reason="r")
    lab.runs.request(look, actor=PERSON, reason="r")
    assert not lab.runs.get(first.id).aborted_by
    second = lab.runs.request(plan, actor=PERSON, reason="r")
    await lab.execute(first.id)
    with pytest.raises(Refused, match=second.id):
        lab.runs.request(slow, actor=PERSON, reason="r")


async def test_a_request_that_nobody_took_up_in_time_is_void(lab: Lab, lamp: Lamp) -> None:
    """The one who asked is long gone when the next daemon comes: what they saw may be as well."""
    switch = Switch()
    lamp.made = [switch]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    await lab.clock.sleep(EXPIRES_S + 1)
    run = await lab.execute(run.id)
    assert (run.state, run.exit_code) == (RunState.EXPIRED, ExitCode.UNREACHABLE)
    assert "Nothing was changed" in run.why
    assert lab.kinds(run.id) == ["run.requested", "run.ended"]
    look = lab.runs.request(await make_plan("look", "", lab.world), actor="watch", reason="r")
    await lab.clock.sleep(EXPIRES_S + 1)
    assert (await lab.execute(look.id)).state is RunState.DONE, "looking is never too late"


async def test_a_run_that_only_looks_hinders_nobody(lab: Lab) -> None:
    plan, look = await make_plan("lamp", "", lab.world), await make_plan("look", "", lab.world)
    lab.runs.request(look, actor=PERSON, reason="r")
    lab.runs.request(plan, actor=PERSON, reason="r")


async def test_a_persons_looking_is_left_to_the_person_while_it_can_still_be_under_way(lab: Lab) -> None:
    look = await make_plan("look", "", lab.world)
    mine = lab.runs.request(look, actor=PERSON, reason="r")
    ours = lab.runs.request(look, actor="watch", reason="r")
    assert not lab.runs.left_to_engine(mine)
    assert lab.runs.left_to_engine(ours)
    await lab.clock.sleep(mine.deadline_s + 1)
    assert lab.runs.left_to_engine(mine)
    plan = await make_plan("lamp", "", lab.world)
    assert lab.runs.left_to_engine(lab.runs.request(plan, actor=PERSON, reason="r"))


@pytest.mark.parametrize("why_not", ["", "it lives", "a number used again", "elsewhere", "unknown", "it changes"])
async def test_a_reading_run_is_ended_when_its_command_is_certainly_dead(lab: Lab, why_not: str) -> None:
    name = "lamp" if why_not == "it changes" else "look"
    run = lab.runs.request(await make_plan(name, "", lab.world), actor=PERSON, reason="r")
    lab.runs._start(run)
    place, number, start = this_process().split("/")
    dead = subprocess.Popen(["true"])
    dead.wait()
    process = {
        "it lives": this_process(),
        "a number used again": f"{place}/{number}/{int(start) - 1}",
        "elsewhere": f"{'0' * 16}/{dead.pid}/{start}",
        "unknown": "",
    }.get(why_not, f"{place}/{dead.pid}/{start}")
    lab.record.append(Draft("run.resumed", "engine", {"process": process}, run=run.id))
    ended = lab.runs.end_forsaken()
    assert lab.runs.end_forsaken() == []
    run = lab.runs.get(run.id)
    if why_not in ("", "a number used again"):
        assert ended == [run.id]
        assert (run.state, run.exit_code) == (RunState.ABORTED, ExitCode.FAILED)
        assert run.why == "the command that executed it is gone. Nothing was changed."
    else:
        assert (ended, run.state) == ([], RunState.RUNNING)


async def test_a_command_that_ended_its_run_and_itself_meanwhile_keeps_its_result(lab: Lab, monkeypatch) -> None:
    run = lab.runs.request(await make_plan("look", "", lab.world), actor=PERSON, reason="r")
    lab.runs._start(run)

    def is_gone(name: str) -> bool:
        lab.runs._ended(run, RunState.DONE, "seen", "", ExitCode.DONE)
        return True

    monkeypatch.setattr("codeblue.engine.runs.is_gone", is_gone)
    assert lab.runs.end_forsaken() == []
    assert lab.runs.get(run.id).state is RunState.DONE


async def test_who_executes_a_run_is_recorded_at_its_start_and_at_each_resumption(lab: Lab, lamp: Lamp) -> None:
    lamp.made = [Switch(id="first"), Switch()]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    with pytest.raises(Crash):
        await lab.runs.execute(run.id, dies_after("first"))
    await lab.execute(run.id)
    assert [e.data["process"] for e in lab.events("run.started", "run.resumed")] == [this_process()] * 2
    assert this_process().split("/")[1] == str(os.getpid())


async def test_a_run_that_is_not_there_is_refused(lab: Lab) -> None:
    with pytest.raises(Refused, match="no run 'run-1'"):
        lab.runs.get("run-1")


@pytest.mark.req("R1a")
async def test_the_digest_of_a_plan_is_that_of_its_inputs_and_steps(lab: Lab, lamp: Lamp) -> None:
    lamp.made = [Switch()]
    plan, other = await make_plan("lamp", "", lab.world), await make_plan("lamp", "the other lamp", lab.world)
    again = await make_plan("lamp", "", lab.world)
    lamp.made = [Switch(), Asked(Outcome.OK)]
    longer = await make_plan("lamp", "", lab.world)
    assert plan.digest == again.digest
    assert len({plan.digest, other.digest, longer.digest}) == 3


async def waiting(lab: Lab, lamp: Lamp) -> "tuple[RunView, asyncio.Task[None], Switch]":
    step = Switch()
    lamp.made = [step]
    plan = await make_plan("lamp", "", lab.world)
    run = lab.runs.request(plan, actor="watch", reason="r", ask=True)
    task = asyncio.create_task(lab.runs.execute(run.id, at_once))
    await lab.clock.sleep(60)
    assert lab.runs.get(run.id).state is RunState.WAITING
    assert step.applied == 0
    return run, task, step


@pytest.mark.req("R1a")
async def test_a_run_that_asks_waits_for_the_approval_of_this_very_plan(lab: Lab, lamp: Lamp) -> None:
    run, task, step = await waiting(lab, lamp)
    lab.record.append(Draft("run.approved", "person:eve", {"digest": "another"}, run=run.id))
    await lab.clock.sleep(10)
    assert step.applied == 0
    lab.record.append(Draft("run.approved", PERSON, {"digest": run.digest}, run=run.id))
    await task
    assert lab.runs.get(run.id).state is RunState.DONE
    assert lab.runs.get(run.id).approved_by == PERSON


@pytest.mark.req("R1a")
async def test_a_run_that_nobody_approves_is_refused_in_the_end(lab: Lab, lamp: Lamp) -> None:
    run, task, step = await waiting(lab, lamp)
    await lab.clock.sleep(APPROVAL_S)
    await task
    run = lab.runs.get(run.id)
    assert (run.state, run.exit_code) == (RunState.REFUSED, ExitCode.REFUSED)
    assert run.why == "not approved within 1800 s. Nothing was changed."
    assert step.applied == 0


async def test_a_run_that_waits_can_be_aborted(lab: Lab, lamp: Lamp) -> None:
    run, task, step = await waiting(lab, lamp)
    lab.record.append(Draft("run.abort_requested", PERSON, {}, run=run.id))
    await task
    run = lab.runs.get(run.id)
    assert (run.state, run.why) == (RunState.ABORTED, f"aborted by {PERSON}. Nothing was changed.")
    assert step.applied == 0


async def test_an_approval_is_still_good_after_a_crash(lab: Lab, lamp: Lamp) -> None:
    run, task, _ = await waiting(lab, lamp)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lab.record.append(Draft("run.approved", PERSON, {"digest": run.digest}, run=run.id))
    run = await lab.execute(run.id)
    assert run.state is RunState.DONE
    assert lab.kinds(run.id).count("run.waiting") == 1


@pytest.mark.req("R1a")
@pytest.mark.parametrize("crashed_for_s", [EXPIRES_S + 1, 10 * 3600])
async def test_an_approval_that_nobody_took_up_in_time_is_void(lab: Lab, lamp: Lamp, crashed_for_s: float) -> None:
    """Approved while the daemon was dead: hours later the service is another one than the approver saw."""
    run, task, step = await waiting(lab, lamp)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lab.record.append(Draft("run.approved", PERSON, {"digest": run.digest}, run=run.id))
    lab.clock.advance(crashed_for_s)
    run = await lab.execute(run.id)
    assert (run.state, run.exit_code) == (RunState.EXPIRED, ExitCode.UNREACHABLE)
    assert run.why == "not begun within 60 s of the approval. Nothing was changed."
    assert step.applied == 0


@pytest.mark.req("R1a")
async def test_an_approval_that_came_too_late_is_void_and_a_second_one_makes_it_no_younger(
    lab: Lab, lamp: Lamp
) -> None:
    for advances in ((APPROVAL_S,), (0, EXPIRES_S + 1)):
        run, task, step = await waiting(lab, lamp)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for seconds in advances:
            lab.clock.advance(seconds)
            lab.record.append(Draft("run.approved", PERSON, {"digest": run.digest}, run=run.id))
        assert (await lab.execute(run.id)).state is RunState.EXPIRED
        assert step.applied == 0


@pytest.mark.req("R1a")
@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_jumps_neither_ends_the_wait_for_an_approval_nor_an_approval(
    lab: Lab, lamp: Lamp, hours: int
) -> None:
    run, task, _ = await waiting(lab, lamp)
    lab.clock.jump(timedelta(hours=hours))
    await lab.clock.sleep(10)
    assert lab.runs.get(run.id).state is RunState.WAITING
    data = {"digest": run.digest, "anchor": anchor_data(lab.clock.anchor())}
    lab.record.append(Draft("run.approved", PERSON, data, run=run.id))
    await task
    assert lab.runs.get(run.id).state is RunState.DONE


@pytest.mark.req("R1a")
async def test_after_a_reboot_with_a_clock_that_went_back_an_approval_is_void(lab: Lab, lamp: Lamp) -> None:
    """Nobody can tell how old it is."""
    run, task, step = await waiting(lab, lamp)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lab.record.append(Draft("run.approved", PERSON, {"digest": run.digest}, run=run.id))
    lab.clock.reboot()
    lab.clock.jump(timedelta(hours=-2))
    assert (await lab.execute(run.id)).state is RunState.EXPIRED
    assert step.applied == 0


async def test_an_abort_ends_a_run_and_says_by_whom(lab: Lab, lamp: Lamp) -> None:
    lamp.made = [Asked(Outcome.UNKNOWN), Switch()]
    plan = await make_plan("lamp", "", lab.world)
    run = lab.runs.request(plan, actor=PERSON, reason="r")
    abort = Draft("run.abort_requested", "person:eve", {}, run=run.id)
    task = lab.later(3, lambda: lab.record.append(abort))
    run = await lab.execute(run.id)
    await task
    assert (run.state, run.exit_code) == (RunState.ABORTED, ExitCode.FAILED)
    assert run.why == "aborted by person:eve. Nothing was changed."
    assert [s.state for s in run.steps] == ["failed", "waiting"]


@pytest.mark.req("R1")
@pytest.mark.parametrize(
    ("steps", "state", "code", "why"),
    [
        ([Refused("paused")], RunState.REFUSED, ExitCode.REFUSED, "paused. Nothing was changed."),
        ([Unreachable("no way")], RunState.FAILED, ExitCode.UNREACHABLE, "no way; asked 1 times. Nothing was changed."),
        ([Failed("gone")], RunState.FAILED, ExitCode.FAILED, "gone. Nothing was changed."),
        (["on", Refused("not ours")], RunState.FAILED, ExitCode.FAILED, "not ours. The lamp stays as it is."),
        (["on", Unreachable("x")], RunState.FAILED, ExitCode.FAILED, "x; asked 1 times. The lamp stays as it is."),
        (["quota"], RunState.REFUSED, ExitCode.REFUSED, "quota is exceeded. Nothing was changed."),
        (["unheard"], RunState.FAILED, ExitCode.FAILED, "10 s passed; no answer. The lamp stays as it is."),
    ],
)
async def test_the_exit_code_tells_whether_anything_was_touched(lab: Lab, lamp: Lamp, steps, state, code, why) -> None:
    made: list[Step] = []
    for step in steps:
        if step == "on":
            made.append(Switch())
        elif step == "quota":
            made.append(Switch(answers=[Refused("quota is exceeded")]))
        elif step == "unheard":
            made.append(Switch(answers=[Unreachable("no answer")] * 99))
        else:
            made.append(Asked(step, attempts=1))
    run = await ended(lab, lamp, *made)
    assert (run.state, run.exit_code, run.why) == (state, code, why)


@pytest.mark.req("R1")
async def test_after_a_failure_only_cleaning_up_is_done_and_the_first_failure_is_told(lab: Lab, lamp: Lamp) -> None:
    first, never = Asked(Outcome.BREACH, final=True), Switch(id="never")
    tidy, broken = Switch(id="tidy", cleanup=True), Switch(id="broken", cleanup=True, refuses=Failed("tidying failed"))
    run = await ended(lab, lamp, first, never, broken, tidy)
    assert run.state is RunState.FAILED
    assert run.why == "it is breach. The lamp stays as it is."
    assert (never.applied, tidy.applied) == (0, 1)
    assert [s.state for s in run.steps] == ["failed", "waiting", "failed", "done"]


async def test_cleaning_up_that_fails_fails_the_run(lab: Lab, lamp: Lamp) -> None:
    run = await ended(lab, lamp, Switch(), Switch(id="broken", cleanup=True, refuses=Failed("tidying failed")))
    assert (run.state, run.why) == (RunState.FAILED, "tidying failed. The lamp stays as it is.")


@pytest.mark.req("B3")
async def test_a_run_that_is_over_is_not_executed_again(lab: Lab, lamp: Lamp) -> None:
    step = Switch()
    run = await ended(lab, lamp, step)
    before = list(lab.record.events)
    await lab.execute(run.id)
    assert lab.record.events == before
    assert step.applied == 1


@pytest.mark.req("B3")
async def test_the_end_is_recorded_once_however_often_it_is_tried(lab: Lab, lamp: Lamp) -> None:
    """A crash right after the end was recorded: whoever takes the run up knows its steps' results and ends again."""
    run = await ended(lab, lamp, Switch())
    lab.runs._end(lab.runs.get(run.id), lamp, None, "it is on")
    lab.runs.broke(run.id, KeyError("x"))
    assert lab.kinds(run.id).count("run.ended") == 1


class Crash(BaseException):
    """The process dies here."""


def dies_after(step: str) -> Callable[[str, Callable[[], Awaitable[StepResult]]], Awaitable[StepResult]]:
    async def durably(name: str, work: Callable[[], Awaitable[StepResult]]) -> StepResult:
        result = await work()
        if name == step:
            raise Crash
        return result

    return durably


@pytest.mark.req("B3")
async def test_a_run_goes_on_after_a_crash_within_its_own_deadline(lab: Lab, lamp: Lamp) -> None:
    first, second = Switch(id="first"), Switch(id="second")
    lamp.made = [first, second]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    with pytest.raises(Crash):
        await lab.runs.execute(run.id, dies_after("first"))
    assert lab.runs.get(run.id).state is RunState.RUNNING
    deadline = lab.runs.get(run.id).deadline
    lab.clock.advance(200)
    run = await lab.execute(run.id)
    assert (run.state, run.resumed, run.deadline) == (RunState.DONE, 1, deadline)
    assert (first.applied, second.applied) == (1, 1)
    assert lab.kinds(run.id).count("run.started") == 1


@pytest.mark.req("B3", "R11")
async def test_a_run_that_is_taken_up_after_its_deadline_fails_and_still_cleans_up(lab: Lab, lamp: Lamp) -> None:
    first, second, tidy = Switch(id="first"), Switch(id="second"), Switch(id="tidy", cleanup=True)
    lamp.made = [first, second, tidy]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    with pytest.raises(Crash):
        await lab.runs.execute(run.id, dies_after("first"))
    lab.clock.advance(301)
    run = await lab.execute(run.id)
    assert run.state is RunState.FAILED
    assert run.why.startswith("the run's deadline passed")
    assert (second.applied, tidy.applied) == (0, 1)


@pytest.mark.req("B3")
@pytest.mark.parametrize("error", [LeaseLost("epoch 8 began"), NoRecord("the disk is full")])
async def test_what_ends_our_right_to_act_leaves_the_run_unfinished(lab: Lab, lamp: Lamp, error) -> None:
    lamp.made = [Asked(error), Switch(cleanup=True)]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    with pytest.raises(type(error)):
        await lab.execute(run.id)
    assert not lab.runs.get(run.id).state.ended
    assert lab.kinds(run.id)[-1] == "step.started"


async def test_a_run_of_another_version_of_ours_is_refused(lab: Lab, lamp: Lamp) -> None:
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    name = lamp.name
    del registry.RUNBOOKS[name]
    try:
        assert lab.runs.changes(run)
        run = await lab.execute(run.id)
    finally:
        registry.RUNBOOKS[name] = lamp
    assert (run.state, run.exit_code) == (RunState.REFUSED, ExitCode.REFUSED)


async def test_a_defect_ends_a_run_and_tells_only_its_type(lab: Lab, lamp: Lamp) -> None:
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    lab.runs.broke(run.id, KeyError("patient 4711"))
    run = lab.runs.get(run.id)
    assert (run.state, run.exit_code) == (RunState.FAILED, ExitCode.FAILED)
    assert "KeyError" in run.why
    assert "4711" not in str(lab.record.events)


@pytest.mark.req("B3", "R1")
async def test_what_a_check_saw_before_a_crash_is_no_proof_afterwards(lab: Lab, lamp: Lamp) -> None:
    lamp.made = [Switch(id="first"), Asked(Outcome.OK), Switch(id="last")]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    remembered: dict[str, StepResult] = {}

    async def durably(name: str, work: Callable[[], Awaitable[StepResult]]) -> StepResult:
        if name not in remembered:
            remembered[name] = await work()
            if name == "last":
                raise Crash
        return remembered[name]

    with pytest.raises(Crash):
        await lab.runs.execute(run.id, durably)
    lamp.made[1] = Asked(Outcome.BREACH, final=True)
    await lab.runs.execute(run.id, durably)
    ended = lab.runs.get(run.id)
    assert (ended.state, ended.exit_code) == (RunState.FAILED, ExitCode.FAILED)
    assert ended.why.startswith("it is breach")


@pytest.mark.req("B3")
async def test_a_run_that_is_found_long_after_its_deadline_gets_its_time_to_end(lab: Lab, lamp: Lamp) -> None:
    lamp.made = [Switch()]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    with pytest.raises(Crash):
        await lab.runs.execute(run.id, dies_after("switch"))
    lab.clock.advance(3600)
    waiting = asyncio.create_task(lab.runs.wait(run.id))
    await asyncio.sleep(0)
    await lab.execute(run.id)
    assert (await waiting).state.ended


class Numbered:
    """Durability as DBOS has it: results are known by the number of the call, and the name must be the same again."""

    def __init__(self) -> None:
        self.results: list[tuple[str, StepResult]] = []

    def process(self) -> Callable[[str, Callable[[], Awaitable[StepResult]]], Awaitable[StepResult]]:
        """The next process that executes the run."""
        called = iter(range(99))

        async def durably(name: str, work: Callable[[], Awaitable[StepResult]]) -> StepResult:
            number = next(called)
            if number == len(self.results):
                self.results.append((name, await work()))
            assert self.results[number][0] == name
            return self.results[number][1]

        return durably


class Dies(Asked):
    """A check in which the process dies."""

    id = "dies"

    async def probe(self):
        raise Crash


@pytest.mark.req("B3", "R1")
async def test_an_abort_of_an_interrupted_run_fails_no_step_that_had_passed(lab: Lab, lamp: Lamp) -> None:
    first = Asked(Outcome.OK)
    lamp.made = [first, Switch(), Dies(Outcome.OK), Switch(id="never"), Switch(id="tidy", cleanup=True)]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")
    durably = Numbered()
    with pytest.raises(Crash):
        await lab.runs.execute(run.id, durably.process())
    lab.record.append(Draft("run.abort_requested", "person:eve", {}, run=run.id))
    await lab.runs.execute(run.id, durably.process())
    run = lab.runs.get(run.id)
    assert (run.state, run.exit_code) == (RunState.ABORTED, ExitCode.FAILED)
    title = run.step("dies").title
    assert run.why == f"aborted by person:eve before step “{title}” went on. The lamp stays as it is."
    assert "failed" not in [s.state for s in run.steps]
    assert run.step("tidy").state == "done", "the steps that clean up still run, and have the numbers of their own"
    assert [name for name, _ in durably.results] == ["switch", "never", "tidy"]


@pytest.mark.req("B3", "R1")
async def test_an_abort_between_two_steps_names_the_one_that_did_not_begin(lab: Lab, lamp: Lamp) -> None:
    abort = Draft("run.abort_requested", "person:eve", {}, run="")
    lamp.made = [Switch(), Switch(id="never")]
    run = lab.runs.request(await make_plan("lamp", "", lab.world), actor=PERSON, reason="r")

    async def durably(name: str, work: Callable[[], Awaitable[StepResult]]) -> StepResult:
        result = await work()
        lab.record.append(replace(abort, run=run.id))
        return result

    await lab.runs.execute(run.id, durably)
    run = lab.runs.get(run.id)
    title = run.step("never").title
    assert run.why == f"aborted by person:eve before step “{title}” began. The lamp stays as it is."
    assert [s.state for s in run.steps] == ["done", "waiting"]
