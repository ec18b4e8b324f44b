"""When the loop calls a service well: what is on the way to a breach, unknown or was not looked at is not (B5)."""

import asyncio

import pytest
from tests.unit.test_watch import PERSON, V1, V2, Bench, alerted

from codeblue.model.errors import CodeBlueError, Damaged, Forbidden, Unreachable
from codeblue.model.event import Draft
from codeblue.model.release import Standing
from codeblue.model.signal import Reading
from codeblue.record.explanation import explain
from codeblue.record.report import gather, to_markdown
from codeblue.record.runs import RunState


class Clients(Bench):
    """A service that clients ask for something in every cycle; its health path answers whatever becomes of that."""

    def __init__(self, mode: str = "observe", more: str = "") -> None:
        super().__init__(mode, more)
        self.requests = self.errors = 0.0
        self.signals.script = lambda pod, at_s: Reading(pod, 0.0, requests=self.requests, errors=self.errors)

    async def serve(self, cycles: int, failing: float = 0.0, requests: float = 100.0) -> list[str]:
        """Cycles with so many requests of each pod before each, and this share of them failing."""
        sentences = []
        for _ in range(cycles):
            self.requests += requests
            self.errors += requests * failing
            sentences += await self.story(1)
        return sentences


def ran(bench: Bench) -> list[str]:
    return [str(e.data["runbook"]) for e in bench.events("run.requested")]


@pytest.mark.req("B2", "R5")
async def test_a_release_that_begins_to_fail_in_its_soak_is_not_known_good_and_is_rolled_back() -> None:
    bench = Clients("act", "  errors: {mode: act}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    await bench.serve(3)
    sentences = await bench.serve(14, failing=1.0)
    assert not any(s.startswith("marked") for s in sentences)
    assert ran(bench)[0] == "quick_rollback"
    assert bench.cluster.marks[V2.release].standing is Standing.BAD


@pytest.mark.req("B2", "B5")
async def test_clients_that_give_up_make_no_release_known_good() -> None:
    bench = Clients()
    await bench.serve(3)
    sentences = await bench.serve(4, failing=1.0) + await bench.serve(30, requests=0.0)
    assert not any(s.startswith("marked") for s in sentences)
    sentences = await bench.serve(12)
    assert any(s.startswith("marked") for s in sentences), "it is seen to be well again"


@pytest.mark.req("B2")
async def test_a_service_without_traffic_becomes_known_good_by_its_probes() -> None:
    bench = Clients()
    assert any(s.startswith("marked") for s in await bench.serve(9, requests=0.0))


@pytest.mark.req("B2", "B5")
@pytest.mark.parametrize("stopped_s", [16.0, 3600.0])
async def test_time_in_which_our_process_stood_still_is_no_soak(stopped_s: float) -> None:
    bench = Bench()
    await bench.cycles(5)
    bench.clock.advance(stopped_s)
    sentences = await bench.cycles(7)
    assert not any(s.startswith("marked") for s in sentences[:-1])
    assert sentences[-1].startswith("marked")


@pytest.mark.req("B2")
async def test_one_late_look_breaks_no_soak() -> None:
    bench = Bench()
    await bench.cycles(5)
    bench.clock.advance(14.0)
    assert any(s.startswith("marked") for s in await bench.cycles(2))


@pytest.mark.req("B2", "B5")
@pytest.mark.parametrize("error", [Forbidden("no"), Unreachable("no"), Damaged("no")])
async def test_a_look_that_fails_in_any_way_breaks_a_soak(error: CodeBlueError) -> None:
    bench = Bench()
    await bench.cycles(5)
    bench.cluster.fail("observe", error)
    try:
        await bench.watch.cycle()
    except CodeBlueError as raised:
        assert raised is error
    assert not any(s.startswith("marked") for s in await bench.cycles(5))


@pytest.mark.req("B5", "R5")
async def test_an_incident_is_not_over_while_another_trigger_is_over_its_limit() -> None:
    bench = Clients()
    bench.good("2.0")
    await bench.deploy("2.0", settle_s=20.0)
    await bench.serve(3)
    bench.sick("2.0")
    await bench.serve(4, failing=1.0)
    assert bench.incident.trigger == "R4"
    bench.sick("2.0", 200)
    await bench.serve(6, failing=1.0)
    assert bench.incident.state == "open"
    sentences = await bench.serve(8)
    assert "is mitigated: healthy for" in "\n".join(sentences)


@pytest.mark.req("B5", "R5")
async def test_what_fired_and_became_unknown_is_for_a_person_who_is_told_so_in_every_cycle() -> None:
    bench = Clients()
    bench.good("2.0")
    await bench.deploy("2.0", settle_s=20.0)
    await bench.serve(14, failing=1.0)
    await bench.serve(2)  # the last that is known of it: it is well
    sentences = await bench.serve(10, requests=0.0)
    incident = bench.incident
    assert sentences[-1] == (
        f"incident {incident.id} stays open: R5 is unknown: 0 requests within 30 s < 20; if it is over, say so: "
        f"`codeblue incident mitigate {incident.id} --reason …`"
    )
    assert incident.state == "open"
    bench.watch = type(bench.watch)(bench.runs, bench)  # a daemon that is started anew knows it from the record
    assert "R5 is unknown" in (await bench.serve(4, requests=0.0))[-1]
    await bench.serve(6)
    assert bench.incident.state == "mitigated"


@pytest.mark.req("R39", "R5")
async def test_a_rollback_that_helped_nothing_is_not_called_a_recovery() -> None:
    """The cause is elsewhere: the known-good release fails every request as well, and its health path answers."""
    bench = Clients("act", "  errors: {mode: act}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    await bench.serve(3)
    sentences = await bench.serve(16, failing=1.0)
    assert ran(bench)[:2] == ["quick_rollback", "recovery"]
    waits = next(s for s in sentences if "; waits, because " in s)
    assert waits.endswith("R5 is unknown: requests within 30 s: no pod has two readings")
    assert f"stays open: {V1.label} is proven healthy (" in sentences[-1]
    assert "but R5: 600 of 600 requests failed within 30 s: 100 % > 5 %" in sentences[-1]
    sentences = await bench.serve(12, failing=1.0)
    assert "done: a person has to decide" in sentences[-1]
    assert bench.incident.state == "open"
    await bench.serve(8)
    assert bench.incident.state == "mitigated", "whoever mended it need not tell us"


@pytest.mark.req("R39", "R5")
async def test_a_verified_rollback_without_traffic_is_mitigated_and_says_what_is_unknown() -> None:
    bench = Clients("act", "  errors: {mode: act}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    await bench.serve(14, failing=1.0)
    sentences = await bench.serve(12, requests=0.0)
    [mitigated] = [s for s in sentences if " is mitigated: " in s]
    assert "; R5 is unknown: 0 requests within 30 s < 20; writing the report" in mitigated


@pytest.mark.req("R39", "B5")
async def test_a_verified_rollback_whose_signals_cannot_be_read_is_for_a_person() -> None:
    bench = Clients("act", "  errors: {mode: act}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    while "quick_rollback" not in ran(bench):
        await bench.serve(1, failing=1.0)
    bench.signals.script = lambda pod, at_s: None
    bench.signals.unknown = {"prometheus": "connection refused"}
    sentences = await bench.serve(12)
    assert "stays open: " in sentences[-1]
    assert "prometheus: connection refused" in sentences[-1]
    assert bench.incident.state == "open"


@pytest.mark.req("B5")
async def test_what_only_an_alert_said_is_over_with_the_alert() -> None:
    """Nothing of it can be seen from here: it needs not be seen to be well."""
    bench = Bench("observe", "api: {alerts_token: {env: TOKEN}}\n")
    bench.good("1.0")
    alerted(bench, "CodeBlueErrors", "R5")
    await bench.story(3)
    assert bench.incident.trigger == "R5"
    data = {k: bench.events("alert.received")[0].data[k] for k in ("fingerprint", "starts_at")}
    bench.record.append(Draft("alert.resolved", "alertmanager", data))
    await bench.story(8)
    assert bench.incident.state == "mitigated"


@pytest.mark.req("R1a")
async def test_what_is_only_observed_gets_no_right_to_act_from_another_and_hinders_none() -> None:
    """Errors are observed; a pod's memory may be acted on: the pod is replaced, and nothing is rolled back."""
    bench = Clients("observe", "  errors: {mode: observe}\n  memory: {mode: act, lasting: 150s}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    hot = (await bench.platform.observe()).live_pods[0].name
    bench.signals.script = lambda pod, at_s: Reading(
        pod,
        0.0,
        requests=bench.requests,
        errors=bench.errors,
        working_set_bytes=99.0 if pod == hot else 10.0,
        memory_limit_bytes=100.0,
    )
    sentences = await bench.serve(19, failing=0.2)
    assert "would roll back (mode observe)" in "\n".join(sentences)
    assert ran(bench)[0] == "replace_pod"
    assert "quick_rollback" not in ran(bench)
    decision = explain(bench.record.events, bench.incident.id)[-1]
    [rollback] = [o for o in decision.options if o.action == "rollback"]
    assert rollback.reasons_against == ("only observed (mode observe): R5",)


@pytest.mark.req("R1a", "B12")
async def test_a_decision_that_becomes_another_one_is_recorded_and_reported() -> None:
    """First only seen (errors: observe), then done (health: act): the report says what was decided last."""
    bench = Clients("act", "  errors: {mode: observe}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    await bench.serve(14, failing=0.2)
    bench.sick("2.0")
    await bench.serve(18)
    incident = bench.incident
    assert incident.state == "mitigated"
    decisions = explain(bench.record.events, incident.id)
    assert [(d.action, d.mode) for d in decisions] == [("rollback", "observe"), ("rollback", "act")]
    report = to_markdown(gather(bench.record.read(incident=incident.id), incident.id))
    assert "Code Blue decided: rollback [" in report
    assert "rollback: R4: 4 consecutive failures > 3" in report
    assert "nothing was changed" not in report


HOT_POD = "  memory: {mode: ask, lasting: 60s}\n"


async def asked_about_a_pod(bench: Bench) -> "asyncio.Task[object]":
    """One pod is hot; the run that would replace it waits for an approval."""
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    hot = (await bench.platform.observe()).live_pods[0].name
    bench.signals.script = lambda pod, at_s: Reading(
        pod, 0.0, working_set_bytes=99.0 if pod == hot else 10.0, memory_limit_bytes=100.0
    )
    while not bench.runs.unfinished():
        await bench.cycle()
    [run] = bench.runs.unfinished()
    assert run.runbook == "replace_pod"
    task: asyncio.Task[object] = asyncio.create_task(bench.execute(run.id))
    await bench.cycles(2)
    assert bench.runs.get(run.id).state is RunState.WAITING
    return task


@pytest.mark.req("R1a", "R4")
@pytest.mark.parametrize("mode", ["act", "ask"])
async def test_a_question_about_one_pod_gives_way_to_a_rollback(mode: str) -> None:
    bench = Bench(mode, HOT_POD)
    task = await asked_about_a_pod(bench)
    [asked] = bench.runs.unfinished()
    bench.sick("2.0")
    sentences = await bench.cycles(6)
    await task
    assert any(f"{asked.id} is withdrawn before it began: rollback: R4: 4 consecutive" in s for s in sentences)
    ended = bench.runs.get(asked.id)
    assert (ended.state, ended.aborted_by, ended.started) == (RunState.ABORTED, "watch", None)
    assert ran(bench) == ["replace_pod", "quick_rollback"]
    assert bench.count("run.abort_requested") == 1


@pytest.mark.req("R1a")
async def test_a_question_that_was_answered_with_yes_is_not_withdrawn() -> None:
    bench = Bench("act", HOT_POD)
    task = await asked_about_a_pod(bench)
    [asked] = bench.runs.unfinished()
    bench.sick("2.0")
    await bench.cycles(3)
    bench.record.append(Draft("run.approved", PERSON, {"digest": asked.digest}, run=asked.id, incident=asked.incident))
    assert "waits for an approval" in await bench.watch.cycle()
    assert bench.count("run.abort_requested") == 0
    await task


@pytest.mark.req("R1a")
async def test_a_question_that_nobody_answered_hinders_nothing_that_may_be_done() -> None:
    bench = Bench("act", HOT_POD)
    task = await asked_about_a_pod(bench)
    await bench.clock.sleep(1800)
    await task
    bench.sick("2.0")
    await bench.story(6)
    assert "quick_rollback" in ran(bench)


@pytest.mark.req("R1a")
async def test_what_a_person_said_no_to_is_not_done_however_much_fires() -> None:
    bench = Clients("act", "  errors: {mode: ask}\n")
    bench.good("1.0")
    await bench.deploy("2.0", settle_s=20.0)
    while not bench.runs.unfinished():
        bench.requests, bench.errors = bench.requests + 100, bench.errors + 100
        await bench.cycle()
    [asked] = bench.runs.unfinished()
    bench.record.append(Draft("run.abort_requested", PERSON, {}, run=asked.id, incident=asked.incident))
    await bench.engine()
    bench.sick("2.0")
    sentences = await bench.serve(8, failing=1.0)
    assert f"quick_rollback {asked.id} aborted: a person has to decide" in sentences[-1]
    assert bench.cluster.accepted == []
