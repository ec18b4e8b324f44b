"""Could Code Blue act now? Every procedure is planned, and the worst finding decides the exit code."""

from itertools import permutations
from pathlib import Path

import pytest
from tests.unit.world import PERSON, Lab

from codeblue.cli.check import in_words
from codeblue.cli.finding import Finding
from codeblue.cli.readiness import look, worst
from codeblue.engine.runs import make_plan
from codeblue.model.errors import ExitCode, Unreachable
from codeblue.model.release import Owner
from codeblue.runbooks.quick_rollback import Request
from codeblue.runbooks.registry import RUNBOOKS, USUAL
from codeblue.testing.memory_cluster import Behaviour


async def checked(lab: Lab) -> tuple[dict[str, Finding], ExitCode]:
    found = await look(lab.world, lab.lease)
    assert len({f.what for f in found}) == len(found)
    return {f.what: f for f in found}, worst(found)


async def good_then_bad(profile: str = "") -> Lab:
    lab = Lab(profile)
    lab.good("1.0")
    await lab.deploy("2.0")
    return lab


@pytest.mark.req("R1c")
async def test_every_registered_procedure_is_planned_or_said_to_need_arguments() -> None:
    lab = await good_then_bad()
    found, code = await checked(lab)
    assert code is ExitCode.DONE
    outcomes = {what.removeprefix("procedure "): f.outcome for what, f in found.items() if what.startswith("proc")}
    planned = ("quick_rollback", "recovery", "known_good")
    skipped = ("replace_pod", "flags_disable", "flags_restore", "incident_report")
    assert outcomes == dict.fromkeys(planned, "ok") | dict.fromkeys(skipped, "skipped")
    assert "The profile does not say where the flags are" in found["procedure flags_disable"].why
    assert outcomes.keys() == RUNBOOKS.keys() == USUAL.keys()
    assert "needs arguments" in found["procedure incident_report"].why
    assert any(line.startswith("from 2.0") for line in found["procedure quick_rollback"].lines)
    assert any("left out" in line for line in found["procedure recovery"].lines)
    assert list(lab.record.read()) == []


@pytest.mark.parametrize("at_once", [True, False])
async def test_procedures_are_planned_with_the_profiles_own_settings(at_once: bool) -> None:
    lab = await good_then_bad(f"runbooks: {{quick_rollback: {{at_once: {str(at_once).lower()}}}}}\n")
    found, _ = await checked(lab)
    assert ("all at once" in "".join(found["procedure quick_rollback"].lines)) is at_once


async def test_an_unhealthy_service_is_said_and_is_not_exit_0() -> None:
    lab = await good_then_bad()
    lab.sick("2.0")
    found, code = await checked(lab)
    assert code is ExitCode.FAILED
    assert found["health"].outcome == "no"
    assert found["health"].why.startswith("UNHEALTHY NOW: ")
    assert "status 503" in found["health"].why
    assert found["procedure quick_rollback"].outcome == "ok"


async def test_pods_that_are_not_ready_are_unhealthy_where_nobody_can_be_asked_either() -> None:
    lab = await good_then_bad()
    lab.cluster.behave("3.0", Behaviour(ready_after_s=None))
    await lab.deploy("3.0")
    found, code = await checked(lab)
    assert code is ExitCode.FAILED
    assert found["pods"].outcome == "no"
    assert "UNHEALTHY NOW: " in found["pods"].why


@pytest.mark.req("B5")
async def test_health_that_nobody_could_see_is_neither_good_nor_bad() -> None:
    lab = await good_then_bad()
    lab.prober.blind = True
    found, code = await checked(lab)
    assert (found["health"].outcome, code) == ("unknown", ExitCode.UNREACHABLE)


async def test_without_a_known_good_release_the_rollback_would_be_refused() -> None:
    lab = Lab()
    await lab.deploy("2.0")
    found, code = await checked(lab)
    assert (found["procedure quick_rollback"].outcome, code) == ("no", ExitCode.REFUSED)
    assert "no known-good revision" in found["procedure quick_rollback"].why
    assert "unproven" in found["release"].why


async def test_a_known_good_release_in_force_needs_nothing_to_go_back_to() -> None:
    lab = Lab()
    lab.good("2.0")
    await lab.deploy("2.0")
    found, code = await checked(lab)
    assert code is ExitCode.DONE
    assert found["procedure quick_rollback"].outcome == "ok"
    assert "in force, and it is known-good" in found["procedure quick_rollback"].why


@pytest.mark.parametrize("trouble", ["paused", "zero", "owned"])
async def test_a_known_good_release_in_force_excuses_no_other_refusal(trouble: str) -> None:
    lab = Lab()
    lab.good("2.0")
    await lab.deploy("2.0")
    await lab.platform.observe()
    if trouble == "paused":
        lab.cluster.paused = True
    elif trouble == "zero":
        lab.cluster.scale(0)
        await lab.clock.sleep(60)
    else:
        lab.cluster.owners = (Owner("argocd", "app", reverts=True, remedy="Suspend it."),)
    found, code = await checked(lab)
    assert (found["procedure quick_rollback"].outcome, code) == ("no", ExitCode.REFUSED)


async def test_what_is_under_way_would_have_a_second_one_refused() -> None:
    lab = await good_then_bad()
    plan = await make_plan("quick_rollback", Request(), lab.world)
    run = lab.runs.request(plan, actor=PERSON, reason="a test")
    found, code = await checked(lab)
    assert (found["runs"].outcome, code) == ("no", ExitCode.REFUSED)
    assert run.id in found["runs"].why


async def test_a_later_finding_does_not_overwrite_a_worse_one() -> None:
    lab = Lab()
    await lab.deploy("2.0")
    lab.sick("2.0")
    lab.prober.blind = True
    _, code = await checked(lab)
    assert code is ExitCode.REFUSED
    codes = (ExitCode.DONE, ExitCode.FAILED, ExitCode.UNREACHABLE, ExitCode.REFUSED)
    for order in permutations(codes):
        assert worst([Finding("x", "no", "", exit_code=c) for c in order]) is ExitCode.REFUSED
    assert worst([Finding("x", "no", "", exit_code=c) for c in codes[:3]]) is ExitCode.UNREACHABLE
    assert worst([]) is ExitCode.DONE


async def test_a_platform_that_does_not_answer_is_one_finding() -> None:
    lab = await good_then_bad()
    lab.cluster.fail("observe", Unreachable("no answer in time"))
    found, code = await checked(lab)
    assert (list(found), code) == (["platform"], ExitCode.UNREACHABLE)


async def test_each_line_of_a_plan_is_a_line_of_its_own() -> None:
    lab = await good_then_bad()
    found, _ = await checked(lab)
    finding = found["procedure quick_rollback"]
    plan = await make_plan("quick_rollback", USUAL["quick_rollback"](lab.world.profile), lab.world)  # type: ignore[misc]
    assert in_words(finding).splitlines() == [
        "✓ procedure quick_rollback: can begin, as it is planned now:",
        *(f"    {line}" for line in plan.lines),
    ]
    assert len(plan.lines) > 2


@pytest.mark.req("R1c")
async def test_what_can_be_planned_only_with_flags_is_planned_with_them() -> None:
    lab = await good_then_bad("flags: {ai_enabled: true}\n")
    found, code = await checked(lab)
    assert code is ExitCode.DONE
    assert found["procedure flags_disable"].lines[0] == "ai_enabled: on → off"


async def test_secrets_that_are_missing_are_said_before_the_daemon_needs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STATUSPAGE_KEY", raising=False)
    monkeypatch.setenv("ALERTS", "a-token-that-nobody-may-see")
    pages = "status_page: {page: kctbh9vrtdwd, api_key: {env: STATUSPAGE_KEY}}\n"
    lab = await good_then_bad(pages + "api: {listen: '127.0.0.1:8080', alerts_token: {env: ALERTS}}\n")
    found, code = await checked(lab)
    assert code is ExitCode.USAGE
    missing = found["secret status_page.api_key"]
    assert "the environment variable STATUSPAGE_KEY is not set" in missing.why
    assert found["secrets"].why == "there are api.alerts_token"
    assert "nobody-may-see" not in repr(found)
