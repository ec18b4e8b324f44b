"""What comes back from a page: it is read only where a button of ours wrote it."""

import json
from dataclasses import replace

import pytest

from codeblue.model.page import Page
from codeblue.model.reply import (
    ACKNOWLEDGE_ACTION,
    APPROVE_ACTION,
    DIGEST_DETAIL,
    RUN_DETAIL,
    Acknowledge,
    Approve,
    approval_of,
    incident_key,
    read_button,
    read_incident_key,
)
from codeblue.testing.contracts.channel import INCIDENT, page

RUN = "run-20260105t031500z-0a1b2c"
ACK = Acknowledge(INCIDENT, "L2")
APPROVE = Approve(RUN, "ab" * 32, INCIDENT)


def test_what_a_button_says_is_read_again() -> None:
    assert read_button(ACKNOWLEDGE_ACTION, ACK.value) == ACK
    assert read_button(APPROVE_ACTION, APPROVE.value) == APPROVE
    assert max(len(ACK.value), len(APPROVE.value)) < 2000


@pytest.mark.parametrize(
    ("action", "value"),
    [
        (APPROVE_ACTION, ACK.value),
        (ACKNOWLEDGE_ACTION, APPROVE.value),
        ("codeblue.approve.all", APPROVE.value),
        (ACKNOWLEDGE_ACTION, ""),
        (ACKNOWLEDGE_ACTION, "[" * 5000),
        (ACKNOWLEDGE_ACTION, "[" * 1999),
        (ACKNOWLEDGE_ACTION, "null"),
        (ACKNOWLEDGE_ACTION, json.dumps({"do": "acknowledge", "incident": "../../etc", "level": "L1"})),
        (ACKNOWLEDGE_ACTION, json.dumps({"do": "acknowledge", "incident": INCIDENT, "level": "L5"})),
        (ACKNOWLEDGE_ACTION, json.dumps({"do": "acknowledge", "incident": INCIDENT, "level": 1})),
        (ACKNOWLEDGE_ACTION, json.dumps({"do": "acknowledge", "incident": INCIDENT, "level": "L1", "run": "x"})),
        (APPROVE_ACTION, json.dumps({"do": "approve", "run": RUN, "digest": "", "incident": INCIDENT})),
        (APPROVE_ACTION, json.dumps({"do": "approve", "run": RUN, "digest": "ab" * 31, "incident": INCIDENT})),
        (APPROVE_ACTION, json.dumps({"do": "approve", "run": "$(id)", "digest": "ab" * 32, "incident": INCIDENT})),
    ],
)
def test_nothing_else_is_a_click(action: str, value: str) -> None:
    assert read_button(action, value) is None


@pytest.mark.req("R1a")
def test_an_approval_names_the_plan_that_the_person_saw() -> None:
    asked = page(details=((RUN_DETAIL, RUN), (DIGEST_DETAIL, "ab" * 32)))
    assert approval_of(asked) == APPROVE
    assert approval_of(page()) is None
    assert approval_of(page(details=((RUN_DETAIL, RUN),))) is None, "no approval of a plan that nobody named"


def test_a_level_is_one_incident_of_the_provider_and_a_repeated_page_another() -> None:
    first: Page = page(cycle=0)
    assert incident_key(first) == f"codeblue:{INCIDENT}:L1"
    assert incident_key(replace(first, cycle=2)) == f"codeblue:{INCIDENT}:L1:2"
    for cycle in (0, 2):
        assert read_incident_key(incident_key(replace(first, cycle=cycle))) == Acknowledge(INCIDENT, "L1")


@pytest.mark.parametrize(
    "key",
    ["", "codeblue", f"other:{INCIDENT}:L1", f"codeblue:{INCIDENT}:L9", f"codeblue:{INCIDENT}:L1:x", "codeblue:../x:L1",
     f"codeblue:{INCIDENT}:L1\n", "codeblue:" + "a" * 300 + ":L1"],
)  # fmt: skip
def test_a_key_of_somebody_else_is_none_of_ours(key: str) -> None:
    assert read_incident_key(key) is None
