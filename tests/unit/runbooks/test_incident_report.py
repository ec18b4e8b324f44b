"""The report by its run: what the record does not know is asked for once, and kept with the run (R47)."""

import re

import pytest
from tests.unit.test_watch import PROFILE, V2
from tests.unit.world import Lab

from codeblue.model.errors import Unreachable
from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.ports.reports import Form
from codeblue.record.runs import RunState
from codeblue.runbooks.incident_report import IncidentReport, Inputs, Request
from codeblue.runbooks.quick_rollback import Request as RollbackRequest
from codeblue.runbooks.recovery import Request as VerifyRequest
from codeblue.runbooks.step import Make

INCIDENT = "inc-20260105t030000z-bbbbbb"


@pytest.fixture
async def lab() -> Lab:
    """An incident of a bad release, rolled back and verified."""
    lab = Lab(PROFILE.format(mode="act"))
    lab.good("1.0")
    await lab.deploy("2.0", settle_s=20.0)
    lab.sick("2.0")
    began = lab.clock.now().isoformat()
    in_force = {"release": V2.release, "label": V2.label}
    data = {"severity": "SEV1", "trigger": "R4", "why": "4 > 3", "began": began, "in_force": in_force}
    lab.record.append(Draft("incident.opened", "watch", data, incident=INCIDENT))
    await lab.perform("quick_rollback", RollbackRequest(), incident=INCIDENT)
    await lab.perform("recovery", VerifyRequest(), incident=INCIDENT)
    return lab


async def report(lab: Lab) -> list[str]:
    run = await lab.perform("incident_report", Request(INCIDENT), incident=INCIDENT)
    assert run.state is RunState.DONE, run
    return lab.reports.texts[INCIDENT].splitlines()


def line(lines: list[str], start: str) -> str:
    [found] = [x for x in lines if x.startswith(start)]
    return found


@pytest.mark.req("R47", "B12")
async def test_the_time_of_the_bad_deployment_is_what_the_platform_says(lab: Lab) -> None:
    [bad] = [r for r in lab.cluster.revisions if r.template.version == "2.0"]
    assert bad.created is not None
    lines = await report(lab)
    asked = lab.events("run.requested")[-1].seq
    shown = f"{bad.created:%Y-%m-%d %H:%M:%S} UTC, when the platform first saw it [#{asked}](#e{asked})"
    assert line(lines, "| Deployed") == f"| Deployed | {shown} |"
    assert line(lines, "| Release in force").startswith(f"| Release in force at detection | {V2.label} [")
    assert f"It was deployed on {shown}." in lines[4]
    assert f'<a id="e{asked}">' in "\n".join(lines), "the event that it links to is in the timeline"


@pytest.mark.req("R47")
async def test_a_report_is_written_also_where_the_platform_does_not_answer(lab: Lab) -> None:
    lab.cluster.fail("history", Unreachable("no API server"))
    lines = await report(lab)
    assert line(lines, "| Deployed") == "| Deployed | not recorded |"
    assert "When it was deployed is not recorded." in lines[4]
    later = await report(lab)
    assert "when the platform first saw it" in line(later, "| Deployed"), "a later report asks again"


@pytest.mark.req("R47")
async def test_an_attempt_after_a_crash_writes_the_same(lab: Lab) -> None:
    await report(lab)
    text = lab.reports.texts[INCIDENT]
    run = lab.events("run.requested")[-1].run
    lab.record.append(Draft("incident.noted", "person:ada", {"text": "later"}, incident=INCIDENT))
    lab.reports.texts.clear()
    book = lab.runs.get(run)
    [step] = IncidentReport().steps(IncidentReport().load(dict(book.inputs)), lab.world, run)
    assert await step.make() == f"memory://{INCIDENT}.md"  # type: ignore[attr-defined]
    assert lab.reports.texts[INCIDENT] == text


def test_a_run_of_an_older_version_is_still_loaded() -> None:
    assert IncidentReport().load({"incident": INCIDENT, "upto": 3}) == Inputs(INCIDENT, 3, "")


@pytest.mark.req("R47", "B5")
async def test_every_check_that_was_left_out_is_in_the_report(lab: Lab) -> None:
    lines = await report(lab)
    verification = next(e for e in lab.events("run.requested") if e.data["runbook"] == "recovery")
    left_out = verification.data["inputs"]["left_out"]
    assert len(left_out) >= 5
    for entry in left_out:
        what, _, why = entry.partition(": ")
        assert f"| recovery | {what} | left out | {why} [#{verification.seq}](#e{verification.seq}) |" in lines
    assert f"Of its steps and checks {len(left_out)} left out" in lines[4]


@pytest.mark.req("R44")
@pytest.mark.defect("D50")
async def test_the_p95_is_said_to_be_that_of_the_health_path(lab: Lab) -> None:
    text = "\n".join(await report(lab))
    assert len(re.findall(r"p95 of \d+ requests to the health path alone is \d+ ms", text)) >= 2
    assert not re.search(r"p95 of \d+ requests is", text)


@pytest.mark.req("R47")
@pytest.mark.parametrize("form", Form)
async def test_both_files_are_proven_by_reading_them_back(lab: Lab, form: Form) -> None:
    await report(lab)
    run = lab.runs.get(lab.events("run.requested")[-1].run)
    [step] = IncidentReport().steps(IncidentReport().load(dict(run.inputs)), lab.world, run.id)
    assert isinstance(step, Make)
    kept = {f: lab.reports.find(INCIDENT, f) for f in Form}
    made = lab.events("step.made")[-1].data
    assert made["reference"] == f"memory://{INCIDENT}.md"
    assert made["digests"] == {k.place: k.sha256 for k in kept.values() if k}
    assert await step.find() == made["reference"]
    verdict = await step.prove(made["reference"])
    assert verdict.ok
    assert all(f"{k.place}, SHA-256 {k.sha256[:16]}" in verdict.why for k in kept.values() if k)

    texts = lab.reports.texts if form is Form.MARKDOWN else lab.reports.pages
    whole = texts[INCIDENT]
    for lacking in (whole[:-1], None):
        texts.pop(INCIDENT)
        if lacking is not None:
            texts[INCIDENT] = lacking
        assert await step.find() is None
        verdict = await step.prove(made["reference"])
        assert verdict.outcome is Outcome.BREACH
        assert "is not what was written" in verdict.why
        await step.make()
        assert texts[INCIDENT] == whole
