"""The loop: every cycle is one sentence, and this is what it says and does."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.profile.faults import LOCAL
from tests.unit.world import PERSON, Lab

from codeblue.engine.runs import make_plan
from codeblue.model.errors import Forbidden, LeaseLost, Unreachable
from codeblue.model.event import Draft
from codeblue.model.release import Standing
from codeblue.model.verdict import InForce
from codeblue.profile.load import load_text
from codeblue.record.chain import broken_at, plain
from codeblue.record.incidents import IncidentView, fold_incidents
from codeblue.record.runs import RunState
from codeblue.rules.decision import decide_declared
from codeblue.runbooks.quick_rollback import Request
from codeblue.runbooks.recovery import Request as VerifyRequest
from codeblue.testing.memory_cluster import Behaviour, memory_template
from codeblue.watch.loop import ACTOR, Watch

PROFILE = """\
health: {{interval: 10s, timeout: 5s}}
verify: {{every: 2s, checks: 3, stable_for: 20s}}
known_good: {{soak: 60s}}
triggers:
  health: {{mode: {mode}}}
  cooldown: 10m
"""
FAILING = "failing, not often enough to act yet"
V1, V2 = memory_template("1.0"), memory_template("2.0")


class Bench(Lab):
    """The loop on virtual time; runs are executed when a test says so, as the engine would."""

    def __init__(self, mode: str = "act", more: str = "") -> None:
        super().__init__(PROFILE.format(mode=mode) + more)
        self.watch = Watch(self.runs, self)

    async def cycle(self) -> str:
        await self.fence()  # the loop runs only in the holder of the lease
        sentence = await self.watch.cycle()
        await self.clock.sleep(10)
        return sentence

    async def cycles(self, count: int) -> list[str]:
        return [await self.cycle() for _ in range(count)]

    async def engine(self) -> list[str]:
        """Execute what is requested; returns the names of the runbooks."""
        runs = self.runs.unfinished()
        for run in runs:
            await self.execute(run.id)
        return [r.runbook for r in runs]

    async def story(self, cycles: int) -> list[str]:
        """Cycles with the engine at work in between."""
        sentences = []
        for _ in range(cycles):
            sentences.append(await self.cycle())
            await self.engine()
        return sentences

    async def bad_release(self) -> None:
        """1.0 is known-good; 2.0 comes and answers 503."""
        self.good("1.0")
        await self.deploy("2.0", settle_s=20.0)
        self.sick("2.0")

    @property
    def incidents(self) -> list[IncidentView]:
        return list(fold_incidents(self.record.events).values())

    @property
    def incident(self) -> IncidentView:
        [incident] = self.incidents
        return incident

    def count(self, kind: str) -> int:
        return len(self.events(kind))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_healthy_service_is_ok_and_nothing_is_recorded(bench: Bench) -> None:
    sentences = await bench.cycles(3)
    assert sentences == [f"ok: {V1.label}: 0 consecutive failures ≤ 3"] * 3
    assert bench.record.events == []
    assert bench.cluster.accepted == []


@pytest.mark.req("R4")
async def test_a_release_that_crash_loops_while_older_pods_answer_is_not_called_ok(bench: Bench) -> None:
    bench.cluster.behave("2.0", Behaviour(ready_after_s=None, trouble="CrashLoopBackOff"))
    await bench.deploy("2.0", settle_s=20.0)
    sentence = await bench.cycle()
    assert sentence.startswith(
        f"the rollout of {V2.label} is not finished: 0 of 3 pods on the target and ready (the target crash-loops: "
    )
    assert sentence.endswith("(CrashLoopBackOff)); older pods answer: 0 consecutive failures ≤ 3")
    assert bench.incidents == []


async def test_pods_that_are_missing_without_older_ones_are_told(bench: Bench) -> None:
    bench.cluster.behave("1.0", Behaviour(ready_after_s=None))
    for pod in bench.cluster._pods:
        pod.ready_at = 0.0
    bench.cluster.scale(4)
    await bench.clock.sleep(1)
    sentence = await bench.cycle()
    assert sentence == f"ok: {V1.label}: 0 consecutive failures ≤ 3; 3 of 4 pods on the target and ready"


@pytest.mark.req("B2")
async def test_a_release_that_soaked_is_marked_known_good_once(bench: Bench) -> None:
    sentences = await bench.cycles(9)
    assert sentences[6] == f"marked: {V1.label} is known-good, healthy for 60 s ≥ 60 s"
    assert bench.count("release.marked") == 1
    assert bench.cluster.marks[V1.release].standing is Standing.KNOWN_GOOD
    assert len(bench.cluster.accepted) == 1
    assert sentences[7] == f"ok: {V1.label}: 0 consecutive failures ≤ 3"


@pytest.mark.req("B2", "B5")
@pytest.mark.parametrize("what", ["sick pod", "blind prober", "blind platform", "restarted rollout"])
async def test_a_soak_that_was_broken_begins_anew(bench: Bench, what: str) -> None:
    await bench.cycles(5)
    if what == "sick pod":
        bench.sick("1.0")
        await bench.cycle()
        bench.sick("1.0", 200)
    elif what == "blind prober":
        bench.prober.blind = True
        await bench.cycle()
        bench.prober.blind = False
    elif what == "blind platform":
        bench.cluster.fail("observe", Unreachable("no API server"))
        await bench.cycle()
    else:
        bench.cluster.deploy(memory_template("1.0", reference="token-b"))
        await bench.cycle()
    sentences = await bench.cycles(7)
    assert [s for s in sentences[:-1] if s.startswith("marked")] == []
    assert sentences[-1].startswith("marked")


@pytest.mark.req("B2")
async def test_a_clock_that_jumps_does_not_lengthen_a_soak(bench: Bench) -> None:
    await bench.cycles(2)
    bench.clock.jump(timedelta(hours=5))
    assert [s for s in await bench.cycles(4) if s.startswith("marked")] == []
    bench.clock.jump(timedelta(hours=-9))
    assert (await bench.cycle()).startswith("marked")


async def test_a_quarantined_release_is_never_marked_by_a_soak(bench: Bench) -> None:
    bench.mark(Standing.BAD, "1.0")
    assert not any("marked" in s for s in await bench.cycles(10))
    assert bench.cluster.marks[V1.release].standing is Standing.BAD


@pytest.mark.req("B5")
async def test_a_mark_that_is_refused_or_unreachable_hinders_no_trigger(bench: Bench) -> None:
    """An observing role may not write; the triggers are judged all the same."""
    await bench.cycles(6)
    bench.cluster.fail("apply", Forbidden("no right to patch"))
    assert await bench.cycle() == "not marked yet: no right to patch"
    bench.cluster.fail("apply", Unreachable("no answer"))
    assert await bench.cycle() == "not marked yet: no answer"
    assert (await bench.cycle()).startswith("marked")
    assert bench.count("release.marked") == 1


@pytest.mark.req("B5", "R10")
async def test_an_unreachable_platform_is_unknown_and_never_a_reason_to_act(bench: Bench) -> None:
    await bench.bad_release()
    await bench.cycles(3)
    for _ in range(20):
        bench.cluster.fail("observe", Unreachable("no API server"))
    sentences = await bench.cycles(20)
    assert sentences == ["unknown: no API server; nothing follows from that"] * 20
    assert bench.incidents == []
    assert bench.count("run.requested") == 0
    assert "rolling back" in await bench.cycle(), "three failures before, one after: unknown did not reset them"


@pytest.mark.req("B5", "R10")
async def test_a_network_that_carries_no_probe_is_unknown(bench: Bench) -> None:
    await bench.bad_release()
    bench.prober.blind = True
    sentences = await bench.cycles(12)
    why = "the attempt got no answer about the service: the network did not carry the request"
    assert sentences == [f"unknown: {V2.label}: {why}"] * 12
    assert bench.incidents == []


@pytest.mark.req("R4", "B4")
@pytest.mark.done(10)
async def test_the_fourth_failure_opens_one_incident_and_one_run(bench: Bench) -> None:
    await bench.bad_release()
    sentences = await bench.cycles(3)
    assert sentences == [f"{FAILING}: {V2.label}: {n} consecutive failures ≤ 3" for n in (1, 2, 3)]
    assert bench.incidents == []
    began = bench.watch.first_bad
    sentence = await bench.cycle()
    incident = bench.incident
    [run] = bench.runs.unfinished()
    assert sentence == (
        f"incident {incident.id}: rolling back ({run.id}): rollback: R4: 4 consecutive failures > 3: status 503, "
        f"the current release {V2.label} is unproven, target: revision 1, {V1.label}: "
        f"known-good since 2026-01-05 03:15 UTC (the lab says so)"
    )
    assert (incident.trigger, incident.severity, incident.began) == ("R4", "SEV1", began)
    assert (incident.opened - incident.began).total_seconds() >= 30
    assert incident.in_force == InForce(V2.release, V2.label), "recorded at the detection: nobody can look later"
    assert incident.decision is not None
    assert incident.decision["action"] == "rollback"
    assert (run.runbook, run.actor, run.incident) == ("quick_rollback", ACTOR, incident.id)
    sentences = await bench.cycles(5)
    assert sentences == [f"quick_rollback {run.id} is requested: about to go on"] * 5
    assert len(bench.incidents) == bench.count("run.requested") == 1


@pytest.mark.req("R4")
@pytest.mark.done(10)
async def test_three_failures_a_success_and_three_failures_do_nothing(bench: Bench) -> None:
    await bench.bad_release()
    await bench.cycles(3)
    bench.sick("2.0", 200)
    await bench.cycle()
    bench.sick("2.0")
    sentences = await bench.cycles(3)
    assert sentences == [f"{FAILING}: {V2.label}: {n} consecutive failures ≤ 3" for n in (1, 2, 3)]
    assert bench.incidents == []


@pytest.mark.req("R11", "R39", "B12")
@pytest.mark.done(10)
async def test_a_rollback_is_verified_then_the_incident_is_mitigated_and_reported(bench: Bench) -> None:
    await bench.bad_release()
    sentences = await bench.story(8)
    incident = bench.incident
    rollback, verification, report = (bench.runs.get(r) for r in incident.runs)
    assert [r.runbook for r in (rollback, verification, report)] == ["quick_rollback", "recovery", "incident_report"]
    assert {r.state for r in (rollback, verification, report)} == {RunState.DONE}
    assert sentences[4] == f"incident {incident.id}: verifying the recovery ({verification.id})"
    assert sentences[5] == (
        f"incident {incident.id} is mitigated: {V1.label} is proven healthy ({verification.id}); "
        f"writing the report ({report.id})"
    )
    assert sentences[6:] == [f"ok: {V1.label}: 0 consecutive failures ≤ 3"] * 2
    assert incident.state == "mitigated"
    text = bench.reports.texts[incident.id]
    assert f"# Incident {incident.id}" in text
    assert "**Mitigated. The recovery was verified" in text
    assert incident.report == f"memory://{incident.id}.md"
    assert bench.count("run.requested") == 3
    assert broken_at(bench.record.events) is None


async def test_a_run_under_way_is_told_with_its_step(bench: Bench) -> None:
    await bench.bad_release()
    await bench.cycles(4)
    [run] = bench.runs.unfinished()
    told: list[str] = []

    async def tell() -> None:
        told.append(await bench.watch.cycle())

    import asyncio

    async def between() -> None:
        await bench.clock.sleep(8)
        await tell()

    task = asyncio.create_task(between())
    await bench.execute(run.id)
    await task
    assert told == [f"quick_rollback {run.id} is running: Watch it stay healthy for 20 s"]


@pytest.mark.req("R1a")
async def test_mode_observe_says_what_would_be_done() -> None:
    bench = Bench("observe")
    await bench.bad_release()
    sentences = await bench.story(8)
    incident = bench.incident
    for n, sentence in enumerate(sentences[3:], 4):
        assert sentence.startswith(
            f"incident {incident.id}: would roll back (mode observe): rollback: R4: {n} consecutive failures > 3"
        )
    assert bench.count("run.requested") == 0
    assert bench.count("incident.decided") == 1
    assert bench.cluster.accepted == []


@pytest.mark.req("R1a")
async def test_mode_ask_waits_for_an_approval_and_keeps_watching() -> None:
    import asyncio

    bench = Bench("ask")
    await bench.bad_release()
    asked = (await bench.cycles(4))[-1]
    [run] = bench.runs.unfinished()
    how = f"approve with `codeblue run approve {run.id}`"
    assert asked.startswith(f"incident {bench.incident.id}: asks to roll back (run {run.id}): {how}: rollback: R4: ")
    task = asyncio.create_task(bench.execute(run.id))
    await bench.clock.sleep(1)
    incident = bench.incident
    waits = f"incident {incident.id}: {run.id} waits for an approval: `codeblue run approve {run.id}`"
    assert await bench.cycles(3) == [waits] * 3
    assert bench.cluster.accepted == []
    bench.record.append(Draft("run.approved", PERSON, {"digest": run.digest}, run=run.id, incident=run.incident))
    assert (await task).state is RunState.DONE
    assert "verifying the recovery" in await bench.cycle()


@pytest.mark.req("R1a")
async def test_an_approval_that_never_comes_leaves_the_incident_to_people() -> None:
    bench = Bench("ask")
    await bench.bad_release()
    await bench.cycles(4)
    assert await bench.engine() == ["quick_rollback"]
    sentences = await bench.story(6)
    [rollback, *_] = bench.incident.runs
    assert sentences[-1] == (
        f"incident {bench.incident.id} is open, and quick_rollback {rollback} refused: a person has to decide"
    )
    assert bench.cluster.accepted == []


@pytest.mark.req("R10", "R1")
@pytest.mark.done(10)
async def test_a_rollback_that_failed_is_not_tried_again_and_the_incident_stays_open(bench: Bench) -> None:
    await bench.bad_release()
    bench.cluster.behave("1.0", Behaviour(ready_after_s=None, trouble="CrashLoopBackOff"))
    sentences = await bench.story(30)
    incident = bench.incident
    rollback, report = (bench.runs.get(r) for r in incident.runs)
    assert (rollback.state, report.runbook) == (RunState.FAILED, "incident_report")
    assert sentences[4] == f"incident {incident.id} its run did not succeed; writing the report ({report.id})"
    assert set(sentences[9:]) == {
        f"incident {incident.id} is open, and quick_rollback {rollback.id} failed: a person has to decide"
    }
    assert incident.state == "open"
    assert "**Open: quick rollback ended as failed." in bench.reports.texts[incident.id]
    assert len([c for c in bench.cluster.accepted if c.kind == "template"]) == 1
    assert bench.count("run.requested") == 2


@pytest.mark.req("R39")
@pytest.mark.defect("D49")
async def test_a_verification_that_fails_leaves_the_incident_open(bench: Bench) -> None:
    await bench.bad_release()
    await bench.cycles(4)
    await bench.engine()
    await bench.cycle()
    bench.cluster.memory_bytes = 256 * 2**20
    assert await bench.engine() == ["recovery"]
    sentences = await bench.story(5)
    assert bench.incident.state == "open"
    assert "its run did not succeed; writing the report" in sentences[0]
    assert bench.count("incident.mitigated") == 0


@pytest.mark.req("R10", "B4")
@pytest.mark.defect("D20")
async def test_a_known_good_release_that_fails_is_for_people(bench: Bench) -> None:
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    bench.good("2.0")
    bench.sick("2.0")
    sentences = await bench.story(6)
    incident = bench.incident
    for sentence in sentences[3:]:
        assert sentence.startswith(f"incident {incident.id}: no change: no recent change can be the cause: ")
        assert "; trigger: R4: " in sentence
    assert bench.count("incident.decided") == 1
    assert bench.count("run.requested") == 0
    bench.sick("2.0", 200)
    sentences = await bench.story(4)
    assert f"incident {incident.id} is mitigated: healthy for 20 s, without a run of ours" in sentences[2]
    assert bench.incident.state == "mitigated"


@pytest.mark.req("R10", "B2")
@pytest.mark.req("R10")
async def test_the_literal_policy_leaves_a_known_good_release_too() -> None:
    bench = Bench()
    bench.world = replace(bench.world, profile=load_text(LOCAL + PROFILE.format(mode="act") + "  policy: literal\n"))
    bench.runs.world = bench.world
    bench.good("1.0", "2.0")
    await bench.deploy("2.0")
    bench.sick("2.0")
    await bench.story(6)
    assert bench.cluster.template.version == "1.0"


@pytest.mark.req("R1")
async def test_a_rollback_that_nobody_began_in_time_is_decided_anew(bench: Bench) -> None:
    bench.good("1.0")
    await bench.deploy("2.0")
    bench.sick("2.0")
    await bench.cycles(4)
    (stale,) = bench.runs.unfinished()
    await bench.clock.sleep(300)  # everybody was dead
    await bench.engine()
    assert bench.runs.get(stale.id).state is RunState.EXPIRED
    assert "rolling back" in await bench.cycle()
    await bench.story(3)
    assert bench.cluster.template.version == "1.0"
    assert len(fold_incidents(bench.record.read())) == 1


async def test_without_a_target_it_is_said_and_paged(bench: Bench) -> None:
    await bench.deploy("2.0", settle_s=20.0)
    bench.sick("2.0")
    sentences = await bench.story(5)
    assert "no target: there is no other known-good release in its history of 2" in sentences[3]
    assert bench.count("run.requested") == 0


async def test_a_rollback_that_is_not_possible_now_is_said_and_tried_again(bench: Bench) -> None:
    await bench.bad_release()
    await bench.cycles(3)
    bench.cluster.paused = True
    sentence = await bench.cycle()
    assert sentence.startswith(f"incident {bench.incident.id}: quick_rollback is not possible now: ")
    assert "is paused" in sentence
    bench.cluster.paused = False
    assert "rolling back" in await bench.cycle()
    assert len(bench.incidents) == 1


@pytest.mark.req("R10")
async def test_a_second_bad_release_within_the_cooldown_is_paged_and_after_it_rolled_back(bench: Bench) -> None:
    await bench.bad_release()
    await bench.story(7)
    await bench.deploy("3.0", settle_s=20.0)
    bench.sick("3.0")
    sentences = await bench.story(5)
    assert "no change: cooldown: the last automatic rollback ended" in sentences[3]
    assert len(bench.incidents) == 2
    while "rolling back" not in sentences[-1]:
        sentences += await bench.story(1)
        assert len(sentences) < 80
    ended = bench.watch.incidents.past_rollbacks()[0].ended
    assert (bench.clock.now() - ended).total_seconds() >= 600
    assert bench.count("incident.decided") == 3


@pytest.mark.req("R1")
async def test_a_persons_rollback_joins_the_incident_and_is_verified(bench: Bench) -> None:
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    bench.good("2.0")
    bench.sick("2.0")
    await bench.story(5)
    run = await bench.perform("quick_rollback", Request(to="1.0"), incident=bench.incident.id)
    assert run.state is RunState.DONE
    sentences = await bench.story(3)
    assert "verifying the recovery" in sentences[0]
    assert "is mitigated" in sentences[1]


async def test_a_persons_verification_does_not_blind_the_loop(bench: Bench) -> None:
    await bench.bad_release()
    plan = await make_plan("recovery", VerifyRequest(), bench.world)
    bench.runs.request(plan, actor=PERSON, reason="looking")
    sentences = await bench.cycles(4)
    assert "rolling back" in sentences[3]


async def test_a_report_that_cannot_be_written_stops_nothing(bench: Bench) -> None:
    await bench.bad_release()
    bench.reports.broken = True
    await bench.story(9)
    assert bench.incident.state == "mitigated"
    assert bench.runs.get(bench.incident.runs[-1]).state is RunState.FAILED
    assert (await bench.cycle()).startswith("ok:")


@pytest.mark.req("R22", "R47")
@pytest.mark.parametrize("died", [False, True])
async def test_what_the_public_was_told_after_the_report_is_in_the_next_one(bench: Bench, died: bool) -> None:
    await bench.bad_release()
    await bench.story(7)
    incident = bench.incident
    first, curves = bench.reports.texts[incident.id], bench.count("incident.curves")
    if died:
        bench.watch = Watch(bench.runs, bench)
    for kind, data, said in (
        ("unreachable", {"status": "resolved", "why": "no connection"}, "does not say resolved yet, it did not answer"),
        ("posted", {"status": "resolved", "id": "e1", "url": ""}, "says resolved (entry e1)"),
    ):
        bench.record.append(Draft("status_page.intended", "announcer", {"status": "resolved"}, incident=incident.id))
        assert (await bench.cycle()).startswith("ok: "), "what is only meant is no news"
        bench.record.append(Draft(f"status_page.{kind}", "announcer", data, incident=incident.id))
        sentence = await bench.cycle()
        [run] = await bench.engine()
        assert run == "incident_report"
        assert f"incident {incident.id} was told of once more; writing the report anew (" in sentence
        assert f"status page {said}" in bench.reports.texts[incident.id]
        assert (await bench.cycle()).startswith("ok: "), "once"
    assert "resolved (entry" not in first
    assert bench.count("incident.curves") == curves, "those around the incident stay"


@pytest.mark.req("B3")
async def test_a_loop_that_died_after_the_mitigation_has_its_report_written_by_the_next(bench: Bench) -> None:
    await bench.bad_release()
    await bench.story(5)
    bench.record.refuses.add("run.requested")
    with pytest.raises(Unreachable):
        await bench.cycle()
    assert bench.incident.state == "mitigated"
    bench.record.refuses.clear()
    bench.watch = Watch(bench.runs, bench)
    assert f"incident {bench.incident.id} is mitigated; writing the report" in await bench.cycle()
    await bench.engine()
    assert bench.incident.id in bench.reports.texts


@pytest.mark.req("B3")
async def test_a_loop_that_died_begins_to_count_anew_and_opens_no_second_incident(bench: Bench) -> None:
    await bench.bad_release()
    bench.record.refuses.add("incident.decided")
    with pytest.raises(Unreachable):
        await bench.cycles(4)
    assert len(bench.incidents) == 1
    bench.record.refuses.clear()
    bench.watch = Watch(bench.runs, bench)
    sentences = await bench.cycles(4)
    assert "rolling back" in sentences[3]
    assert len(bench.incidents) == 1


@pytest.mark.req("B3")
async def test_a_lost_lease_ends_the_loop(bench: Bench) -> None:
    await bench.cycles(6)
    bench.cluster.fail("apply", LeaseLost("epoch 8 began"))
    with pytest.raises(LeaseLost):
        await bench.cycle()


@pytest.mark.req("R1c")
async def test_without_a_service_a_ready_pod_is_the_sign_of_life(bench: Bench) -> None:
    from dataclasses import replace

    routing = bench.platform.routing

    async def no_service():
        return replace(await routing(), service=None, backends=())

    bench.platform.routing = no_service  # type: ignore[method-assign]
    assert (await bench.cycle()).startswith("ok:")
    bench.cluster.behave("1.0", Behaviour(ready_after_s=None))
    await bench.cycles(3)
    assert "4 consecutive failures > 3: 0 of 3 pods are ready" in await bench.cycle()


def declare(bench: Bench, trigger: str) -> str:
    """What `codeblue incident declare` leaves."""
    data = {"severity": "SEV1", "trigger": trigger, "why": "seen by a person", "began": bench.clock.now().isoformat()}
    bench.record.append(Draft("incident.opened", PERSON, data, incident="inc-declared"))
    decision = decide_declared(trigger, bench.clock.now())
    decided = {**plain(decision), "sentence": decision.sentence}
    bench.record.append(Draft("incident.decided", PERSON, decided, incident="inc-declared"))
    return "inc-declared"


@pytest.mark.req("R9")
async def test_a_declared_incident_freezes_every_change_until_a_person_closes_it(bench: Bench) -> None:
    await bench.bad_release()
    id_ = declare(bench, "regulatory")
    sentences = await bench.cycles(8)
    assert any("asks to roll back" in s for s in sentences)
    [run] = bench.runs.unfinished()
    waits = asyncio.create_task(bench.execute(run.id))
    assert "waits for an approval" in (await bench.cycles(2))[-1]
    assert bench.cluster.accepted == []
    assert next(i for i in bench.incidents if i.id == id_).state == "open", "health closes no declared incident"
    bench.record.append(Draft("incident.resolved", PERSON, {"reason": "cleared"}, incident=id_))
    bench.record.append(Draft("run.abort_requested", PERSON, {}, run=run.id))
    assert (await waits).state is RunState.ABORTED
    assert not bench.watch.incidents.frozen()


@pytest.mark.req("R1a", "R9")
async def test_a_persons_own_command_acts_while_an_incident_freezes_the_service(bench: Bench) -> None:
    await bench.bad_release()
    declare(bench, "regulatory")
    plan = await make_plan("quick_rollback", Request(), bench.world)
    run = bench.runs.request(plan, actor=PERSON, reason="by hand")
    assert (await bench.execute(run.id)).state is RunState.DONE


@pytest.mark.req("R1b")
async def test_a_scale_down_is_no_outage_until_it_lasts_too_long(bench: Bench) -> None:
    bench.cluster.scale(0)
    await bench.clock.sleep(5)
    sentences = await bench.cycles(20)
    until = "no trigger counts until 2026-01-05 04:15:05 UTC"
    assert sentences[-1] == f"inhibited: scale-down by watch: api has 0 replicas by its own specification; {until}"
    assert bench.incidents == []
    bench.watch = Watch(bench.runs, bench)  # a daemon that is started anew knows it as well
    await bench.clock.sleep(3600 - 205)
    assert "no trigger counts" in await bench.cycle()
    assert bench.incidents == []
    await bench.cycles(2)
    assert bench.incident.trigger == "inhibition"
    assert "expired 5 s ago at 2026-01-05 04:15:05 UTC and was not released" in bench.incident.why
    await bench.story(10)
    assert [r.runbook for r in bench.runs.unfinished()] == []
    assert bench.cluster.accepted == [], "no release would serve with 0 replicas"
    bench.cluster.scale(3)
    await bench.story(10)
    assert bench.incident.state == "mitigated"
    assert [e.data["kind"] for e in bench.events("inhibition.released")] == ["scale-down"]


@pytest.mark.req("R1b")
async def test_what_a_person_inhibits_fires_not_and_is_released(bench: Bench) -> None:
    await bench.bad_release()
    expires = (bench.clock.now() + timedelta(minutes=5)).isoformat()
    data = {"kind": "declared", "why": "a load test", "expires": expires}
    bench.record.append(Draft("inhibition.begun", PERSON, data))
    sentences = await bench.cycles(8)
    assert all(f"inhibited: declared by {PERSON}: a load test" in s for s in sentences)
    assert bench.incidents == []
    bench.record.append(Draft("inhibition.released", PERSON, {"kind": "declared", "why": "by hand"}))
    assert "rolling back" in await bench.cycle()


@pytest.mark.req("B5")
async def test_without_signals_people_are_told_once_and_nothing_changes(bench: Bench) -> None:
    bench.signals.unknown = {"prometheus": "connection refused"}
    sentences = await bench.story(30)
    assert bench.incidents == []
    assert all(s.startswith("ok: ") for s in sentences)
    await bench.story(30)
    assert bench.incident.trigger == "signals"
    assert bench.incident.why == "nothing from prometheus for 301 s > 300 s: connection refused"
    assert bench.incident.state == "open"
    assert bench.cluster.accepted == []
    bench.signals.unknown = {}
    await bench.story(10)
    assert bench.incident.state == "mitigated"


@pytest.mark.req("B5")
async def test_a_release_that_is_bad_while_the_signals_are_away_is_rolled_back(bench: Bench) -> None:
    bench.signals.unknown = {"prometheus": "connection refused"}
    await bench.story(40)
    assert bench.incident.trigger == "signals"
    await bench.bad_release()
    await bench.story(8)
    assert [c.kind for c in bench.cluster.accepted] == ["template"]
    decision = bench.incidents[0].decision
    assert decision is not None
    assert decision["action"] == "rollback"


def alerted(bench: Bench, name: str, trigger: str = "", kind: str = "alert.received") -> None:
    """What the endpoint records of one alert."""
    data = {"fingerprint": name, "starts_at": bench.clock.now().isoformat(), "alertname": name, "severity": "critical"}
    data |= {"trigger": trigger, "service": bench.profile.service, "namespace": "", "deployment": "", "pod": ""}
    bench.record.append(Draft(kind, "alertmanager", data))


@pytest.fixture
def listening() -> Bench:
    return Bench(more="api: {alerts_token: {env: TOKEN}}\n")


@pytest.mark.req("R5")
async def test_an_alert_that_names_a_trigger_counts_as_its_breach(listening: Bench) -> None:
    listening.good("1.0")
    await listening.deploy("2.0", settle_s=20.0)
    await listening.cycles(2)
    alerted(listening, "CodeBlueErrorRate", "R4")
    sentence = await listening.cycle()
    assert "rolling back" in sentence
    assert "alert 'CodeBlueErrorRate' fires since 2026-01-05" in sentence
    assert "seen from here: ok, 0 consecutive failures" in sentence


async def test_another_alert_is_for_people_and_ends_with_its_being_closed(listening: Bench) -> None:
    alerted(listening, "<script>{{7*7}}")
    await listening.story(5)
    assert (listening.incident.trigger, listening.incident.state) == ("alert", "open")
    assert listening.incident.why == "1 alerts fire: '<script>{{7*7}}'"
    assert listening.cluster.accepted == []
    listening.record.append(Draft("incident.resolved", PERSON, {"reason": "r"}, incident=listening.incident.id))
    await listening.story(10)
    assert len(listening.incidents) == 1
    alerted(listening, "Another")
    await listening.story(2)
    assert len(listening.incidents) == 2
