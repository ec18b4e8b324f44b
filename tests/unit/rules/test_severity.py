"""The one table from trigger and impact to severity (R3), and what the manual triggers mean (R9)."""

from pathlib import Path
from typing import get_args

import pytest
from tests.unit.profile.faults import LOCAL

from codeblue.model.incident import Impact, Level, Role, Severity
from codeblue.profile.load import load_text
from codeblue.profile.people import TriggerName
from codeblue.rules.severity import DEFAULTS, MANUAL, impact_of, plan_of, severity_of, told_of, trigger_name

PLAN = load_text(LOCAL).severity


@pytest.mark.req("R3")
def test_the_table_has_every_trigger_that_a_profile_can_name() -> None:
    assert set(DEFAULTS) == set(get_args(TriggerName))
    for row in DEFAULTS.values():
        assert list(row) == sorted(row)  # a worse impact is never a lesser severity


def test_the_documented_table_is_the_one_that_counts() -> None:
    page = (Path(__file__).parents[3] / "docs" / "escalation.md").read_text("utf-8")
    _, _, rest = page.partition("<!-- table: generated -->\n")
    table, _, _ = rest.partition("<!-- end of table -->")
    rows = [f"| `{t}` | {' | '.join(s.text for s in row)} |" for t, row in DEFAULTS.items()]
    assert table.splitlines() == ["| trigger | outage | degraded | none |", "|---|---|---|---|", *rows]


@pytest.mark.req("R3")
@pytest.mark.parametrize(
    ("trigger", "impact", "severity"),
    [
        ("R4", None, Severity.SEV1),
        ("R4", Impact.DEGRADED, Severity.SEV2),
        ("R5", None, Severity.SEV2),
        ("R7", None, Severity.SEV3),
        ("R8", Impact.OUTAGE, Severity.SEV2),
        ("patient-safety", Impact.NONE, Severity.SEV1),
        ("security", None, Severity.SEV2),
        ("unheard-of", Impact.NONE, Severity.SEV4),
    ],
)
def test_some_cells(trigger: str, impact: Impact | None, severity: Severity) -> None:
    assert severity_of(PLAN, trigger, impact) is severity


@pytest.mark.req("R3")
def test_the_profile_changes_single_cells() -> None:
    plan = load_text(LOCAL + "severity: {table: {health: {degraded: SEV4}}, sev4: {channels: null}}\n").severity
    assert severity_of(plan, "R4", Impact.DEGRADED) is Severity.SEV4
    assert severity_of(plan, "R4", Impact.OUTAGE) is Severity.SEV1
    assert plan_of(plan, Severity.SEV4).up_to == "L1"
    assert plan_of(plan, Severity.SEV1).up_to == "L3"


@pytest.mark.req("R9")
def test_the_five_manual_triggers() -> None:
    assert set(MANUAL) == {"security", "corruption", "patient-safety", "regulatory", "unrecoverable", "other"}
    assert [t for t, m in MANUAL.items() if not m.freeze] == ["other"]
    assert (MANUAL["patient-safety"].at_once, MANUAL["regulatory"].at_once) == (Level.L4, Level.L3)


@pytest.mark.req("R3")
def test_who_is_told_outside_of_the_levels() -> None:
    assert told_of("security", ai_off=False) == (Role.SECURITY,)
    assert told_of("security", ai_off=True) == (Role.SECURITY, Role.CLINICAL_LEAD)
    assert told_of("corruption", ai_off=True) == (Role.CLINICAL_LEAD,)
    assert told_of("R8", ai_off=True) == (Role.CLINICAL_LEAD,)
    assert told_of("R8", ai_off=False) == ()


def test_a_trigger_nobody_knows_is_other() -> None:
    assert trigger_name("R5") == "error_rate"
    assert trigger_name("alert") == "alert"
    assert trigger_name("B15") == "other"
    assert impact_of("R4", "none") is Impact.NONE
    assert impact_of("R4", "nonsense") is Impact.OUTAGE
