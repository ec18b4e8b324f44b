"""The sections of the profile about whom to page, and the lint that every level reaches somebody (R2, R3, D21)."""

import pytest
from tests.unit.profile.faults import LOCAL
from tests.unit.profile.valid import PEOPLE, full

from codeblue.profile.load import ProfileError, load_text
from codeblue.profile.people import CHANNELS, configured

INBOX = "pages: {inbox: ./pages}\n"


def people(*but: str) -> str:
    return "contacts:\n" + "".join(
        f'  {role}: {{name: Ada Berg, phone: "+2106831752{n}"}}\n' for n, role in enumerate(PEOPLE) if role not in but
    )


def problem(text: str) -> tuple[int, str, str, str]:
    with pytest.raises(ProfileError) as caught:
        load_text(text)
    [found] = caught.value.problems
    return found.line, found.path, found.message, found.remedy


@pytest.mark.req("R3")
@pytest.mark.defect("D21")
@pytest.mark.parametrize("role", PEOPLE)
def test_everybody_whom_a_level_names_is_required_once_there_is_a_channel(role: str) -> None:
    line, path, message, remedy = problem(LOCAL + people(role) + INBOX)
    assert (line, path) == (6, "contacts")
    assert message.startswith("a level reaches nobody: 1 of the people")
    assert f"{role} (" in message
    assert remedy == f"add contacts.{role} with name and phone"
    load_text(LOCAL + people(role))
    load_text(LOCAL + people() + INBOX)


@pytest.mark.req("R3")
def test_without_contacts_the_problem_stands_at_the_channels() -> None:
    line, path, message, remedy = problem(LOCAL + INBOX)
    assert (line, path) == (6, "pages")
    assert "9 of the people" in message
    assert "cto (L3)" in message
    assert "security (told outside of the levels)" in message
    assert remedy.startswith("add contacts.on_call")


@pytest.mark.req("R3")
def test_other_roles_at_a_level_need_no_contact_of_the_former() -> None:
    text = LOCAL + people("cto", "clinical_director") + INBOX + "escalation: {l3: {roles: [ceo]}}\n"
    assert load_text(text).escalation.l3.roles == ("ceo",)


@pytest.mark.req("R3")
@pytest.mark.parametrize(
    ("text", "path", "message", "remedy"),
    [
        ("escalation: {l2: {channels: [slack]}}\n", "escalation.l2.channels", "names slack", "pages.slack_webhook"),
        ("severity: {sev2: {channels: [pagerduty]}}\n", "severity.sev2.channels", "names pagerduty", "only inbox"),
        ("escalation: {l1: {channels: []}}\n", "escalation.l1.channels", "nobody would be paged", "null"),
        ("escalation: {l1: {roles: []}}\n", "escalation.l1.roles", "names nobody", "on_call"),
        ("escalation: {l1: {roles: [cto, cto]}}\n", "escalation.l1.roles", "something twice", "once"),
        ("escalation: {l1: {roles: on_call}}\n", "escalation.l1.roles", "is not a list", "[one, another]"),
        ("escalation: {l1: {roles: [janitor]}}\n", "escalation.l1.roles[0]", "not one of", "on_call"),
        ("escalation: {l2: {after: 40m}}\n", "escalation.l3.after", "not later than level 2", "longer"),
        ("escalation: {l3: {after: 15m}}\n", "escalation.l3.after", "not later than level 2 (900 s ≤ 900 s)", "longer"),
        ("escalation: {until: later}\n", "escalation.until", "not one of", "mitigated"),
        ("severity: {sev1: {starts_at: L2, up_to: L1}}\n", "severity.sev1.up_to", "is below starts_at", "higher"),
        ("severity: {sev1: {starts_at: L4}}\n", "severity.sev1.starts_at", "not one of", "L1"),
        ("severity: {table: {weather: {none: SEV1}}}\n", "severity.table.weather", "not one of", "health"),
        ("severity: {table: {health: {none: SEV5}}}\n", "severity.table.health.none", "not one of", "SEV1"),
    ],
)
def test_what_is_refused_has_its_place_and_its_remedy(text: str, path: str, message: str, remedy: str) -> None:
    found = problem(LOCAL + people() + INBOX + text)
    assert found[1] == path
    assert found[0] >= 17
    assert message in found[2]
    assert remedy in found[3]


LISTS = "pages: {pagerduty: {routing_key: {env: A}}, apprise: {on_call: {env: B}}}\n"


@pytest.mark.req("R3")
@pytest.mark.defect("D21")
@pytest.mark.parametrize(
    ("text", "path", "missed"),
    [
        ("escalation: {l2: {channels: [apprise]}}\n", "escalation.l2.channels", "devops_lead, ai_team (L2)"),
        ("escalation: {l4: {channels: [apprise]}}\n", "escalation.l4.channels", "ceo, cmo (L4)"),
        ("severity: {sev3: {channels: [apprise]}}\n", "severity.sev3.channels", "devops_lead, ai_team (L2)"),
        (
            "severity: {sev3: {channels: [apprise]}}\nescalation: {l2: {channels: [pagerduty]}, l3: {channels: "
            "[pagerduty]}, l4: {channels: [pagerduty]}}\n",
            "severity.sev3.channels",
            "security, clinical_lead (told outside of the levels)",
        ),
    ],
)
def test_a_list_of_channels_reaches_everybody_who_is_paged_over_it(text: str, path: str, missed: str) -> None:
    line, at, message, remedy = problem(LOCAL + people() + LISTS + text)
    assert (line, at) == (17, path)
    assert f"reaches nobody of {missed}: apprise has no address of theirs" in message
    assert remedy.endswith("in pages.apprise, or add pagerduty to the list")
    load_text(LOCAL + people() + LISTS + text.replace("[apprise]", "[apprise, pagerduty]"))
    load_text(LOCAL + people() + LISTS + "escalation: {l1: {channels: [apprise]}}\n")


def test_channels_come_in_the_order_of_the_profile_and_then_in_ours() -> None:
    pages = load_text(full()).pages
    assert configured(pages) == ("pagerduty", "slack", "inbox")
    assert configured(None) == ()
    assert set(CHANNELS) >= {"pagerduty", "slack", "apprise", "inbox"}


@pytest.mark.req("R3")
def test_a_profile_that_says_nothing_has_the_document_s_ladder() -> None:
    profile = load_text(LOCAL)
    assert (profile.escalation.l2.after, profile.escalation.l3.after) == (900, 1800)
    assert profile.escalation.until == "mitigated"
    assert profile.severity.sev4.up_to == "L1"
