"""The kill switch (R20, R21): off in the store, in every process, and no call of the model after it; and back."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.world import Lab

from codeblue.model.errors import ExitCode, Refused, Unreachable, UsageError
from codeblue.model.event import Draft
from codeblue.model.flag import FlagValue, Stored
from codeblue.model.signal import Reading
from codeblue.ports.platform import Place
from codeblue.record.flags import FLAG_KINDS, prior_values
from codeblue.record.runs import RunState, RunView
from codeblue.runbooks.flags import DisableRequest, RestoreRequest, page_of
from codeblue.runbooks.recovery import Request as VerifyRequest
from codeblue.testing.memory_cluster import Behaviour

PROFILE = """\
contract: {processes: /processes, metrics: /metrics}
flags: {ai_enabled: true, lab_enabled: true, rollout: 100}
runbooks: {flags: {every_process: 20s, in_flight: 10s, quiet: 5s}}
"""
BEFORE: dict[str, FlagValue] = {"ai_enabled": True, "lab_enabled": False, "rollout": 30}
OFF: dict[str, FlagValue] = {"ai_enabled": False, "lab_enabled": False, "rollout": 0}
INCIDENT = "inc-20260105t031500z-0a1b2c"


class Ward:
    """A service whose processes apply what the store has, but for those that a test holds back."""

    def __init__(self, profile: str = PROFILE) -> None:
        self.lab = Lab(profile)
        self.lab.flags.values = {name: Stored(value) for name, value in BEFORE.items()}
        self.frozen: set[tuple[str, int]] = set()
        self.gone: set[tuple[str, int]] = set()
        self.stale: dict[tuple[str, int], dict[str, FlagValue]] = {}
        self.guarded: Callable[[str, int], int] = lambda pod, pid: 7
        self.calls: Callable[[str, float], float] = lambda pod, at_s: 100.0
        self.lab.prober.bodies["/processes"] = self.processes
        self.lab.signals.script = lambda pod, at_s: Reading(pod, 0.0, ai_calls=self.calls(pod, at_s))

    def processes(self, place: Place) -> bytes:
        pod = place.name.removeprefix("pod/")
        stored = {name: s.value for name, s in self.lab.flags.values.items()}
        return json.dumps(
            {
                "processes": [
                    {
                        "pod": pod,
                        "pid": pid,
                        "workers": 2,
                        "guarded_calls": {"lab_enabled": {"calls": self.guarded(pod, pid), "last_at": None}},
                        "live": (pod, pid) not in self.frozen,
                        "flags": {n: {"value": v} for n, v in self.stale.get((pod, pid), stored).items()},
                    }
                    for pid in (11, 12)
                    if (pod, pid) not in self.gone
                ]
            }
        ).encode()

    async def disable(self, *names: str, **more: str) -> RunView:
        return await self.lab.perform("flags_disable", DisableRequest(names), **more)

    async def restore(self, *names: str, expected: bool = False) -> RunView:
        return await self.lab.perform("flags_restore", RestoreRequest(names, expected))

    @property
    def stored(self) -> dict[str, FlagValue | None]:
        return {name: s.value for name, s in self.lab.flags.values.items()}

    @property
    def first(self) -> str:
        return self.lab.cluster.pods()[0].name


@pytest.fixture
def ward() -> Ward:
    return Ward()


@pytest.mark.req("R20", "R21")
async def test_off_in_the_store_in_every_process_and_silent(ward: Ward) -> None:
    run = await ward.disable()
    assert (run.state, run.exit_code) == (RunState.DONE, ExitCode.DONE), run.why
    assert ward.stored == OFF
    assert [s.id for s in run.steps] == ["switch-off", "tell", "every-process", "quiet"]
    assert run.step("every-process").why == "3 values as expected in 6 processes"
    assert run.step("quiet").why == "0 calls of the model in 5 s, in 3 pods"
    assert prior_values(ward.lab.events(*FLAG_KINDS)) == BEFORE


@pytest.mark.req("R20")
async def test_restore_brings_back_exactly_what_was_also_after_a_second_time_off(ward: Ward) -> None:
    await ward.disable()
    await ward.disable()
    run = await ward.restore()
    assert run.state is RunState.DONE, run.why
    assert ward.stored == BEFORE
    assert prior_values(ward.lab.events(*FLAG_KINDS)) == {}
    with pytest.raises(Refused, match="knows nothing of flags that were switched off"):
        await ward.restore()


async def test_one_flag_at_a_time_off_and_back(ward: Ward) -> None:
    await ward.disable("ai_enabled")
    assert ward.stored == {**BEFORE, "ai_enabled": False}
    await ward.disable("rollout")
    await ward.restore("rollout")
    assert ward.stored == {**BEFORE, "ai_enabled": False}
    assert prior_values(ward.lab.events(*FLAG_KINDS)) == {"ai_enabled": True}
    with pytest.raises(Refused, match="does not know the value that lab_enabled had before"):
        await ward.restore("lab_enabled")


async def test_to_what_the_profile_expects(ward: Ward) -> None:
    run = await ward.restore(expected=True)
    assert run.state is RunState.DONE
    assert ward.stored == {"ai_enabled": True, "lab_enabled": True, "rollout": 100}


@pytest.mark.req("R20")
@pytest.mark.defect("D27")
async def test_a_frozen_process_is_named_and_it_is_not_done(ward: Ward) -> None:
    ward.frozen = {(ward.first, 12)}
    run = await ward.disable()
    assert (run.state, run.exit_code) == (RunState.FAILED, ExitCode.FAILED)
    assert f"{ward.first} process 12 does not report any more" in run.step("every-process").why
    assert ward.stored == OFF, "the others are off"


@pytest.mark.defect("D27")
async def test_a_process_that_the_service_has_given_up_on_is_missed_by_its_number(ward: Ward) -> None:
    ward.gone = {(ward.first, 12)}
    run = await ward.disable()
    assert run.exit_code == ExitCode.FAILED
    assert f"{ward.first}: 1 of its 2 processes report" in run.step("every-process").why


@pytest.mark.defect("D27")
async def test_a_process_that_keeps_the_former_value_is_named(ward: Ward) -> None:
    ward.stale = {(ward.first, 11): BEFORE}
    run = await ward.disable()
    assert run.exit_code == ExitCode.FAILED
    assert f"{ward.first} process 11: ai_enabled is true, expected false" in run.step("every-process").why


async def test_a_process_that_comes_round_in_time_is_waited_for(ward: Ward) -> None:
    ward.frozen = {(ward.first, 12)}
    ward.lab.later(8.0, ward.frozen.clear)
    assert (await ward.disable()).state is RunState.DONE


@pytest.mark.defect("D27")
async def test_a_pod_that_says_nothing_of_itself_proves_nothing(ward: Ward) -> None:
    silent = ward.first
    other = ward.lab.cluster.pods()[1].name
    said = ward.processes
    ward.lab.prober.bodies["/processes"] = lambda place: said(
        Place(f"pod/{other}", "") if place.name == f"pod/{silent}" else place
    )
    run = await ward.disable()
    assert run.exit_code == ExitCode.FAILED
    assert f"{silent}: none of its processes reports" in run.step("every-process").why


@pytest.mark.req("R20")
async def test_calls_under_way_may_end_and_a_later_one_fails_it(ward: Ward) -> None:
    ward.calls = lambda pod, at_s: 100.0 + min(at_s, 9.0)
    assert (await ward.disable()).state is RunState.DONE
    loud = ward.first
    ward = Ward()
    ward.calls = lambda pod, at_s: 100.0 + (at_s if pod == loud else 0.0)
    run = await ward.disable()
    assert run.exit_code == ExitCode.FAILED
    assert f"{loud} called the model 1 times after it was off" in run.step("quiet").why


@pytest.mark.req("R20")
async def test_code_behind_a_flag_that_still_runs_fails_it_and_names_the_process(ward: Ward) -> None:
    first, clock = ward.first, ward.lab.clock
    ward.guarded = lambda pod, pid: int(clock.monotonic()) if (pod, pid) == (first, 12) else 7
    run = await ward.disable()
    assert run.exit_code == ExitCode.FAILED
    assert f"{first} process 12 ran what is behind lab_enabled 1 times after it was off" in run.step("quiet").why
    other = Ward()
    other.guarded = lambda pod, pid: int(other.lab.clock.monotonic())
    assert (await other.disable("ai_enabled")).state is RunState.DONE, "its flag was not switched off"


async def test_a_counter_that_began_anew_counts_from_there(ward: Ward) -> None:
    ward.calls = lambda pod, at_s: 100.0 if at_s < 12 else 2.0
    run = await ward.disable()
    assert "called the model 2 times" in run.step("quiet").why


async def test_calls_that_cannot_be_counted_are_no_silence(ward: Ward) -> None:
    blind = ward.first
    script = ward.lab.signals.script
    ward.lab.signals.script = lambda pod, at_s: "status 500" if pod == blind else script(pod, at_s)
    run = await ward.disable()
    assert run.exit_code == ExitCode.FAILED
    assert f"calls of the model cannot be counted in {blind}: status 500" in run.step("quiet").why


@pytest.mark.req("R20")
async def test_while_all_pods_crash_and_while_there_is_none(ward: Ward) -> None:
    ward.lab.cluster.behave("1.0", Behaviour(ready_after_s=None, trouble="CrashLoopBackOff"))
    ward.lab.signals.script = lambda pod, at_s: "connection refused"
    run = await ward.disable()
    assert run.state is RunState.DONE, run.step("every-process").why
    assert "whoever comes up reads the stored values" in run.step("every-process").why
    assert run.step("quiet").why == "0 calls of the model in 5 s, in 0 pods"
    none = Ward()
    none.lab.cluster.scale(0)
    await none.lab.clock.sleep(60)
    run = await none.disable()
    assert run.state is RunState.DONE, run.why
    assert "there is no pod, so no process" in run.step("every-process").why


@pytest.mark.req("R20")
async def test_a_flag_without_a_value_for_everybody_is_set_off_and_its_former_value_is_not_invented(ward: Ward) -> None:
    ward.lab.flags.values["ai_enabled"] = Stored(None, "it is disabled at the provider")
    run = await ward.disable()
    assert run.state is RunState.DONE
    assert ward.stored == OFF
    assert "ai_enabled" not in prior_values(ward.lab.events(*FLAG_KINDS))


async def test_a_store_that_takes_the_value_and_does_not_keep_it_is_not_believed(ward: Ward) -> None:
    ward.lab.flags.deaf = True
    run = await ward.disable()
    assert (run.state, run.exit_code) == (RunState.FAILED, ExitCode.FAILED)
    assert "still to be done: ai_enabled off" in run.step("switch-off").why
    assert run.step("every-process").state != "done"


async def test_a_store_that_cannot_be_read_first_is_written_all_the_same(ward: Ward) -> None:
    ward.lab.flags.failing = Unreachable("It does not answer.")

    def again() -> None:
        ward.lab.flags.failing = None

    ward.lab.later(3.0, again)
    run = await ward.disable()
    assert run.state is RunState.DONE, run.why
    assert ward.stored == OFF
    assert prior_values(ward.lab.events(*FLAG_KINDS)) == {}


async def test_without_a_way_to_ask_the_processes_it_is_off_and_not_done(ward: Ward) -> None:
    ward = Ward("flags: {ai_enabled: true}\n")
    run = await ward.disable()
    assert ward.stored["ai_enabled"] is False
    assert run.exit_code == ExitCode.FAILED
    assert "the profile names no way to ask the processes" in run.step("every-process").why


async def test_a_flag_that_nobody_knows_is_a_usage_error(ward: Ward) -> None:
    with pytest.raises(UsageError, match="no flag ai_enabeld"):
        await ward.disable("ai_enabeld")
    assert ward.stored == BEFORE
    with pytest.raises(Refused, match="does not say where the flags are"):
        ward.lab.world = replace(ward.lab.world, flags=None)
        await ward.disable()


@pytest.mark.req("R3")
async def test_the_clinical_lead_is_told_once_with_an_incident_and_without(ward: Ward) -> None:
    run = await ward.disable()
    [asked] = ward.lab.events("page.requested")
    assert (asked.incident, asked.data["role"], asked.data["level"]) == (page_of(run.id), "clinical_lead", "notice")
    data = {"severity": "SEV1", "trigger": "R8", "why": "50 %", "began": ward.lab.clock.now().isoformat()}
    ward.lab.record.append(Draft("incident.opened", "watch", data, incident=INCIDENT))
    await ward.disable(incident=INCIDENT)
    [told] = ward.lab.events("flags.disabled")
    assert told.incident == INCIDENT
    assert told.data["flags"] == OFF


@pytest.mark.req("R42")
async def test_the_verification_expects_off_what_was_switched_off_until_it_is_restored(ward: Ward) -> None:
    ward.lab.flags.values = {
        "ai_enabled": Stored(value=True),
        "lab_enabled": Stored(value=True),
        "rollout": Stored(100),
    }
    ward.lab.prober.bodies["/metrics"] = b"nothing"

    async def flags() -> str:
        return (await ward.lab.perform("recovery", VerifyRequest())).step("flags").state

    assert await flags() == "done"
    await ward.disable("ai_enabled")
    assert await flags() == "done"
    ward.lab.flags.values["ai_enabled"] = Stored(value=True)
    assert await flags() == "failed", "somebody switched it on again"
    ward.lab.flags.values["ai_enabled"] = Stored(value=False)
    await ward.restore()
    assert await flags() == "done"
    ward.lab.flags.values["ai_enabled"] = Stored(value=False)
    assert await flags() == "failed"
