"""The quick rollback (R11) on a whole workload in memory: what it does, and everything that it must not call done."""

from collections.abc import Callable

import pytest
from tests.unit.world import Lab

from codeblue.engine.runs import make_plan
from codeblue.model.errors import Conflict, ExitCode, Refused, Unreachable
from codeblue.model.health import Outcome, Probe
from codeblue.model.release import Owner, Standing, Template, Workload
from codeblue.ports.platform import Overlay, Place
from codeblue.record.runs import RunState, RunView
from codeblue.runbooks.known_good import Request as KnownGoodRequest
from codeblue.runbooks.quick_rollback import Request
from codeblue.testing.memory_cluster import ROLLING, Behaviour, memory_template

TEMPO = "health:\n  interval: 2s\n  timeout: 1s\nverify:\n  every: 2s\n  checks: 5\n  stable_for: 30s\n"


@pytest.fixture
async def lab() -> Lab:
    """1.0 is known-good, 2.0 is in force and answers 503."""
    lab = Lab(TEMPO)
    lab.good("1.0")
    await lab.deploy("2.0")
    lab.sick("2.0")
    return lab


async def rolled_back(lab: Lab, **request: object) -> RunView:
    return await lab.perform("quick_rollback", Request(**request))  # type: ignore[arg-type]


async def refused(lab: Lab, **request: object) -> Refused:
    before = lab.cluster.version
    with pytest.raises(Refused, match="Nothing was changed") as caught:
        await make_plan("quick_rollback", Request(**request), lab.world)  # type: ignore[arg-type]
    assert caught.value.remedy
    assert lab.cluster.version == before
    return caught.value


def templates(lab: Lab) -> int:
    """How many changes of the template the target itself accepted from us."""
    return sum(c.kind == "template" for c in lab.cluster.accepted)


@pytest.mark.req("R11", "R1", "B3")
async def test_it_goes_back_to_the_known_good_release_and_proves_it(lab: Lab) -> None:
    run = await rolled_back(lab)
    assert (run.state, run.exit_code) == (RunState.DONE, ExitCode.DONE), run.why
    assert [s.state for s in run.steps] == ["done"] * 5
    assert templates(lab) == len(lab.cluster.accepted) == 1
    seen = await lab.platform.observe()
    assert {p.images[0].rpartition(":")[2] for p in seen.live_pods} == {"1.0"}
    assert seen.standing(memory_template("2.0")) is Standing.BAD
    assert seen.standing(memory_template("1.0")) is Standing.KNOWN_GOOD
    assert seen.run == run.id
    assert run.ended is not None
    assert run.started is not None
    assert 30 <= (run.ended - run.started).total_seconds() < 300


@pytest.mark.req("R11", "B2")
@pytest.mark.defect("D23")
async def test_it_passes_bad_releases_over(lab: Lab) -> None:
    await lab.deploy("3.0")
    run = await rolled_back(lab)
    assert run.state is RunState.DONE
    assert lab.cluster.template.version == "1.0"
    assert "passed over: revision 2" in "\n".join(run.inputs["notes"])


@pytest.mark.req("R11")
@pytest.mark.defect("D15")
async def test_a_rotated_secret_stays_rotated(lab: Lab) -> None:
    await lab.deploy("2.0", reference="token-b")
    run = await rolled_back(lab)
    assert run.state is RunState.DONE
    assert lab.cluster.template.exact == memory_template("1.0", reference="token-b").exact
    assert any("token-a" in note and "token-b" in note for note in run.inputs["notes"])


@pytest.mark.req("R11")
@pytest.mark.defect("D23")
async def test_a_paused_workload_is_refused(lab: Lab) -> None:
    lab.cluster.paused = True
    assert "paused" in (await refused(lab)).message


@pytest.mark.req("R11")
@pytest.mark.defect("D23")
async def test_a_workload_without_pods_is_refused(lab: Lab) -> None:
    lab.cluster.scale(0)
    await lab.clock.sleep(60)
    assert "scaled to 0" in (await refused(lab)).message


@pytest.mark.req("R11")
@pytest.mark.defect("D23")
async def test_an_owner_that_would_undo_it_is_refused_and_one_that_would_not_is_noted(lab: Lab) -> None:
    lab.cluster.owners = (Owner("hpa", "api", False, "mind the minimum"),)
    plan = await make_plan("quick_rollback", Request(), lab.world)
    assert "hpa api: mind the minimum" in plan.lines
    lab.cluster.owners = (Owner("argocd", "shop/api", True, "suspend its sync"),)
    error = await refused(lab)
    assert "argocd shop/api" in error.message
    assert error.remedy == "suspend its sync"


@pytest.mark.req("B2", "R11")
@pytest.mark.defect("D23")
async def test_without_a_known_good_release_every_revision_is_listed_with_its_reason() -> None:
    lab = Lab(TEMPO)
    await lab.deploy("2.0")
    await lab.deploy("3.0")
    lab.mark(Standing.BAD, "1.0")
    message = (await refused(lab)).message
    assert message.splitlines()[1:] == [
        f"  - revision 2, {memory_template('2.0').label}: unproven, it never soaked healthy",
        f"  - revision 1, {memory_template('1.0').label}: bad since 2026-01-05 03:17 UTC (the lab says so)",
    ]


async def test_a_controller_that_sleeps_is_waited_for_and_then_unreachable() -> None:
    lab = Lab(TEMPO, lag_s=3.0)
    lab.good("1.0")
    await lab.deploy("2.0", settle_s=0.0)
    assert (await rolled_back(lab)).state is RunState.DONE
    lab = Lab(TEMPO, lag_s=60.0)
    lab.good("1.0")
    await lab.deploy("2.0", settle_s=0.0)
    with pytest.raises(Unreachable, match="has not seen generation 2 within 10 s"):
        await rolled_back(lab)


@pytest.mark.req("R11", "B3")
async def test_a_third_release_since_the_decision_is_not_ours_to_replace(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    lab.cluster.deploy(memory_template("3.0"))
    run = await lab.execute(run.id)
    assert (run.state, run.exit_code) == (RunState.REFUSED, ExitCode.REFUSED)
    assert "got another template since this was decided" in run.why
    assert "'deploy'" in run.why
    assert run.why.endswith("Nothing was changed.")
    assert templates(lab) == 0


async def test_a_release_between_the_preflight_and_the_change_is_not_replaced_either(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    lab.cluster.fail("apply", Conflict("moved on", delay_s=5.0))
    lab.later(0.5, lambda: lab.cluster.deploy(memory_template("3.0")))
    run = await lab.execute(run.id)
    assert run.state is RunState.REFUSED
    assert templates(lab) == 0


async def test_a_pause_after_the_decision_is_refused_at_the_preflight(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    lab.cluster.paused = True
    run = await lab.execute(run.id)
    assert (run.state, run.exit_code) == (RunState.REFUSED, ExitCode.REFUSED)


@pytest.mark.req("R11")
async def test_a_pause_after_the_preflight_is_refused_before_the_change(lab: Lab) -> None:
    run = lab.runs.request(await make_plan("quick_rollback", Request(), lab.world), actor="watch", reason="R4")
    observe, looks = lab.platform.observe, 0

    async def pausing() -> Workload:
        nonlocal looks
        looks += 1
        if looks == 2:  # the preflight has looked
            lab.cluster.paused = True
        return await observe()

    lab.platform.observe = pausing  # type: ignore[method-assign]
    run = await lab.execute(run.id)
    assert (run.state, run.exit_code) == (RunState.REFUSED, ExitCode.REFUSED), run.why
    assert "paused" in run.why
    assert templates(lab) == 0


@pytest.mark.req("R11")
@pytest.mark.parametrize("step", ["rollout", "health"])
async def test_scaled_to_nothing_meanwhile_is_no_recovery(lab: Lab, step: str) -> None:
    run = lab.runs.request(await make_plan("quick_rollback", Request(), lab.world), actor="watch", reason="R4")
    lab.later(0.3 if step == "rollout" else 20.0, lambda: lab.cluster.scale(0))
    run = await lab.execute(run.id)
    assert run.state is RunState.FAILED
    assert "scaled to 0" in run.why


async def test_a_secret_that_changed_since_the_decision_is_refused(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    await lab.deploy("2.0", reference="token-b")
    run = await lab.execute(run.id)
    assert run.exit_code is ExitCode.REFUSED
    assert templates(lab) == 0


@pytest.mark.defect("D15")
async def test_a_secret_that_went_away_since_the_decision_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workload is as it was, and yet what would be put in force is another template than the one agreed to."""
    run = lab.runs.request(await make_plan("quick_rollback", Request(), lab.world), actor="watch", reason="R4")

    async def without_it(wanted: Template, current: Template) -> Overlay:
        return Overlay(memory_template(wanted.version, reference="none"), ())

    monkeypatch.setattr(lab.platform, "overlay", without_it)
    run = await lab.execute(run.id)
    assert run.exit_code is ExitCode.REFUSED
    assert "secrets" in run.why
    assert templates(lab) == 0


@pytest.mark.req("R11", "B3")
@pytest.mark.parametrize("seconds", [0.3, 3.0, 12.0, 25.0])
async def test_another_manager_that_reverts_it_fails_the_run_and_is_named(lab: Lab, seconds: float) -> None:
    def revert() -> None:
        lab.cluster._force(memory_template("2.0"), "argocd-controller")

    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    lab.later(seconds, revert)
    run = await lab.execute(run.id)
    assert (run.state, run.exit_code) == (RunState.FAILED, ExitCode.FAILED)
    assert "'argocd-controller'" in run.why
    assert templates(lab) == 1, "whoever reverts is not raced"


@pytest.mark.req("B3")
async def test_a_reverted_change_is_not_made_again_after_a_crash(lab: Lab) -> None:
    """The target itself remembers our run, so a process without memory knows that its change was accepted before."""
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    fence = await lab.fence()
    change = lab.platform.replace_template(
        await lab.platform.observe(), memory_template("1.0"), {}, at_once=False, run=run.id
    )
    await lab.platform.apply(change, fence)
    lab.cluster._force(memory_template("2.0"), "flux")
    run = await lab.execute(run.id)
    assert run.state is RunState.FAILED
    assert "'flux'" in run.why
    assert templates(lab) == 1


@pytest.mark.req("R11", "B3")
@pytest.mark.parametrize("accepted", [True, False])
async def test_a_lost_answer_never_makes_two_changes(lab: Lab, accepted: bool) -> None:
    lab.cluster.fail("apply", Unreachable("no answer"), accepted=accepted)
    run = await rolled_back(lab)
    assert run.state is RunState.DONE
    assert templates(lab) == 1
    assert len(lab.events("step.applied")) == 1


@pytest.mark.req("R11")
@pytest.mark.defect("D11")
async def test_an_api_server_that_is_away_for_a_while_is_waited_for(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    for _ in range(15):
        lab.cluster.fail("observe", Unreachable("no API server"))
    assert (await lab.execute(run.id)).state is RunState.DONE


async def broken(lab: Lab, happens: Callable[[Lab], object], after_s: float, **request: object) -> RunView:
    plan = await make_plan("quick_rollback", Request(**request), lab.world)  # type: ignore[arg-type]
    run = lab.runs.request(plan, actor="watch", reason="R4")
    lab.later(after_s, lambda: happens(lab))
    return await lab.execute(run.id)


def restart_one(lab: Lab) -> None:
    lab.cluster.restart(lab.cluster.pods()[-1].name)


@pytest.mark.req("R11", "R1")
@pytest.mark.defect("D22")
@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (restart_one, "restarted after"),
        (lambda lab: lab.sick("1.0"), "status 503 after"),
        (lambda lab: lab.cluster.behave("1.0", Behaviour(None, "CrashLoopBackOff")), "crash-loops"),
        (lambda lab: setattr(lab.cluster, "strangers", ("10.0.0.7",)), "no pod of the release: 10.0.0.7 after"),
    ],
)
async def test_what_goes_wrong_within_the_stable_window_is_a_failure(lab: Lab, happens, why: str) -> None:
    run = await broken(lab, happens, 20.0)
    assert (run.state, run.exit_code) == (RunState.FAILED, ExitCode.FAILED)
    assert why in run.why
    assert run.step("stable").state == "failed"
    assert "The workload keeps the template that it has now" in run.why


@pytest.mark.req("R11")
@pytest.mark.defect("D22")
async def test_a_target_that_stays_unhealthy_fails_after_the_checks_it_has(lab: Lab) -> None:
    lab.sick("1.0")
    run = await rolled_back(lab)
    assert run.state is RunState.FAILED
    assert run.step("health").state == "failed"
    assert "asked 5 times" in run.why


@pytest.mark.req("R11")
@pytest.mark.defect("D5")
async def test_strangers_behind_the_service_are_no_health_of_ours(lab: Lab) -> None:
    lab.cluster.strangers = ("proxy-5",)
    run = await rolled_back(lab)
    assert run.state is RunState.FAILED
    assert "behind the Service stands what is no pod of the release: proxy-5" in run.why


@pytest.mark.req("R11")
async def test_a_pod_that_answers_as_another_version_is_a_failure(lab: Lab) -> None:
    prober_get = lab.prober.get

    async def get(place, path, *, timeout_s):
        from dataclasses import replace

        return replace(await prober_get(place, path, timeout_s=timeout_s), version="0.9")

    lab.prober.get = get  # type: ignore[method-assign]
    run = await rolled_back(lab)
    assert run.state is RunState.FAILED
    assert "as version 0.9, not 1.0" in run.why


@pytest.mark.req("R11")
async def test_pods_that_never_become_ready_end_with_the_one_budget(lab: Lab) -> None:
    lab.cluster.behave("1.0", Behaviour(ready_after_s=None))
    run = await rolled_back(lab)
    assert run.state is RunState.FAILED
    assert run.started is not None
    assert run.ended is not None
    assert (run.ended - run.started).total_seconds() <= 300.5
    assert run.why.startswith(("the run's deadline passed", "300 s passed"))


@pytest.mark.req("R11")
async def test_pods_that_crash_end_it_at_once(lab: Lab) -> None:
    lab.cluster.behave("1.0", Behaviour(ready_after_s=None, trouble="ImagePullBackOff"))
    run = await rolled_back(lab)
    assert "the target crash-loops" in run.why
    assert run.ended is not None
    assert run.started is not None
    assert (run.ended - run.started).total_seconds() < 10


@pytest.mark.req("B5", "R11")
async def test_what_cannot_be_seen_is_not_healthy(lab: Lab) -> None:
    run = await broken(lab, lambda lab: setattr(lab.prober, "blind", True), 10.0)
    assert run.state is RunState.FAILED
    assert run.step("stable").state == "failed"


async def test_a_moment_of_blindness_begins_the_stable_window_anew(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    lab.later(25, lambda: setattr(lab.prober, "blind", True))
    lab.later(29, lambda: setattr(lab.prober, "blind", False))
    run = await lab.execute(run.id)
    assert run.state is RunState.DONE
    stable = run.step("stable")
    assert stable.started is not None
    assert stable.ended is not None
    assert (stable.ended - stable.started).total_seconds() > 45


@pytest.mark.req("R11")
async def test_all_at_once_puts_the_strategy_back_also_when_a_later_step_fails(lab: Lab) -> None:
    run = await rolled_back(lab, at_once=True)
    assert run.state is RunState.DONE
    assert (lab.cluster.strategy, lab.cluster.surged) == (ROLLING, "")
    assert [c.kind for c in lab.cluster.accepted] == ["template", "strategy"]

    await lab.deploy("3.0")
    lab.cluster.behave("1.0", Behaviour(ready_after_s=None, trouble="CrashLoopBackOff"))
    run = await rolled_back(lab, at_once=True)
    assert run.state is RunState.FAILED
    assert run.step("rollout").state == "failed"
    assert run.step("strategy").state == "done"
    assert (lab.cluster.strategy, lab.cluster.surged) == (ROLLING, "")
    assert run.step("health").state == "waiting"


async def test_the_strategy_is_put_back_after_an_abort_too(lab: Lab) -> None:
    from codeblue.model.event import Draft

    plan = await make_plan("quick_rollback", Request(at_once=True), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    abort = Draft("run.abort_requested", "person:ada", {}, run=run.id)
    lab.later(0.4, lambda: lab.record.append(abort))
    run = await lab.execute(run.id)
    assert run.state is RunState.ABORTED
    assert templates(lab) == 1
    assert lab.cluster.surged == ""


@pytest.mark.req("R11", "B2")
async def test_a_strategy_that_a_rollback_could_not_put_back_is_put_back_with_the_next_mark(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(at_once=True), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    put_back = lab.platform.restore_strategy
    lab.platform.restore_strategy = lambda seen: None  # type: ignore[method-assign]  # it lost its rights
    await lab.execute(run.id)
    lab.platform.restore_strategy = put_back  # type: ignore[method-assign]
    assert (await lab.platform.observe()).surged
    run = await lab.perform("known_good", KnownGoodRequest())
    assert run.state is RunState.DONE, run.why
    assert (lab.cluster.strategy, lab.cluster.surged) == (ROLLING, "")


@pytest.mark.req("R11")
@pytest.mark.parametrize("seconds", [0.0, 3.0, 25.0])
async def test_a_workload_that_was_made_anew_is_another_one(lab: Lab, seconds: float) -> None:
    """Whoever deleted and made it anew took the quarantine with it, whatever runs there now."""
    run = lab.runs.request(await make_plan("quick_rollback", Request(), lab.world), actor="watch", reason="R4")

    def anew() -> None:
        lab.cluster.uid = "another"

    if seconds:
        lab.later(seconds, anew)
    else:
        anew()
    run = await lab.execute(run.id)
    assert run.state is (RunState.FAILED if seconds else RunState.REFUSED), run.why
    assert not seconds or "made anew" in run.why


@pytest.mark.req("R11")
async def test_a_pod_that_leaves_while_it_is_asked_is_no_failure(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An autoscaler takes one away between the look at the pods and the probes of each (D8)."""
    run = lab.runs.request(await make_plan("quick_rollback", Request(), lab.world), actor="watch", reason="R4")
    get, left = lab.prober.get, False

    async def gone(place: Place, path: str, *, timeout_s: float) -> Probe:
        nonlocal left
        stable = any(s.id == "stable" and s.state == "running" for s in lab.runs.get(run.id).steps)
        if stable and not left and place.name != "service":
            left = True
            lab.cluster.scale(2)
            return Probe(place.name, path, Outcome.BREACH, None, 0.0, detail="connection refused")
        return await get(place, path, timeout_s=timeout_s)

    monkeypatch.setattr(lab.prober, "get", gone)
    run = await lab.execute(run.id)
    assert left
    assert run.state is RunState.DONE, run.why


@pytest.mark.req("R11")
async def test_without_room_it_goes_the_normal_way_and_says_so(lab: Lab) -> None:
    lab.cluster.roomy = False
    run = await rolled_back(lab, at_once=True)
    assert run.state is RunState.DONE
    assert [c.kind for c in lab.cluster.accepted] == ["template"]
    assert any(note.startswith("not all pods at once") for note in run.inputs["notes"])


@pytest.mark.req("R11")
@pytest.mark.parametrize("to", ["1", "1.0"])
async def test_a_person_can_name_a_revision_by_number_or_version(to: str) -> None:
    lab = Lab(TEMPO)
    await lab.deploy("2.0")
    run = await rolled_back(lab, to=to)
    assert run.state is RunState.DONE
    assert lab.cluster.template.version == "1.0"
    assert "named by you, unproven" in run.inputs["because"]


@pytest.mark.req("B2", "R11")
async def test_a_known_good_release_is_left_only_when_a_person_names_where_to() -> None:
    """The same command twice must not walk back through good releases, and quarantine them one by one."""
    lab = Lab(TEMPO)
    lab.good("1.0", "2.0")
    await lab.deploy("2.0")
    error = await refused(lab)
    assert "2.0" in error.message
    assert "is known-good since" in error.message
    assert "`--to 1` goes back to" in error.remedy
    assert (await lab.platform.observe()).standing(memory_template("2.0")) is Standing.KNOWN_GOOD
    run = await rolled_back(lab, to="1")
    assert run.state is RunState.DONE
    assert any("is known-good now, and will be quarantined" in note for note in run.inputs["notes"])
    assert (await lab.platform.observe()).standing(memory_template("2.0")) is Standing.BAD


@pytest.mark.req("R11")
async def test_a_rollback_that_is_asked_for_again_says_that_all_is_well(lab: Lab) -> None:
    assert (await rolled_back(lab)).state is RunState.DONE
    error = await refused(lab)
    assert "no bad release to roll back from" in error.message
    assert "no known-good revision" not in error.message


async def test_an_unknown_revision_is_refused_with_those_there_are(lab: Lab) -> None:
    error = await refused(lab, to="7")
    assert error.remedy == "The history has: 2 (2.0), 1 (1.0)."


@pytest.mark.defect("D23")
async def test_the_current_revision_is_refused(lab: Lab) -> None:
    for to in ("2", "2.0"):
        assert "is what runs already" in (await refused(lab, to=to)).message


@pytest.mark.req("B2")
async def test_a_quarantined_revision_needs_a_word_of_its_own(lab: Lab) -> None:
    lab.mark(Standing.BAD, "1.0")
    error = await refused(lab, to="1.0")
    assert "is quarantined: the lab says so" in error.message
    assert "--allow-bad" in error.remedy
    assert (await rolled_back(lab, to="1.0", allow_bad=True)).state is RunState.DONE


async def test_a_revision_that_cannot_start_is_refused(lab: Lab) -> None:
    from dataclasses import replace

    lab.cluster.revisions[1] = replace(lab.cluster.revisions[1], runnable=False, why_not="the image is gone")
    assert "cannot start: the image is gone" in (await refused(lab, to="1.0")).message
    assert "cannot start: the image is gone" in (await refused(lab)).message


async def test_inputs_survive_the_record(lab: Lab) -> None:
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor="watch", reason="R4")
    assert plan.runbook.load(dict(run.inputs)) == plan.inputs


@pytest.mark.req("R11")
@pytest.mark.defect("D8")
async def test_an_autoscaler_in_the_stable_window_is_no_failure_and_starts_it_anew(lab: Lab) -> None:
    def scaled(lab: Lab) -> None:
        lab.cluster.behave("1.0", Behaviour(ready_after_s=7.0))
        lab.cluster.scale(lab.cluster.desired + 2)

    run = await broken(lab, scaled, 20.0)
    assert run.state is RunState.DONE
    assert any("scaled meanwhile" in e.data["text"] for e in lab.events("step.progress"))
