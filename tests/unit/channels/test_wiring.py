"""A profile's channels are those that the wiring opens: each pages somebody at its emulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.profile.faults import LOCAL
from tests.unit.profile.valid import PEOPLE

from codeblue.model.errors import UsageError
from codeblue.model.event import Draft
from codeblue.model.incident import Level, Role
from codeblue.model.page import Fate
from codeblue.profile.load import ProfileError, load_text
from codeblue.profile.model import Profile
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.channel import INCIDENT, page
from codeblue.testing.emulators.pagerduty import PagerDuty
from codeblue.testing.emulators.slack import Slack
from codeblue.testing.memory_record import MemoryRecord
from codeblue.wiring import open_channels, open_status_page

KEY, CTO = "a1b2" * 8, "f" * 32
TOKEN = "xoxb-1-2-three"
CONTACTS = "contacts:\n" + "".join(f'  {r}: {{name: Ada B, phone: "+2106831752{n}"}}\n' for n, r in enumerate(PEOPLE))


def profile(pages: str) -> Profile:
    return load_text(LOCAL + CONTACTS + pages)


@pytest.fixture
def pagerduty(monkeypatch: pytest.MonkeyPatch) -> Iterator[PagerDuty]:
    monkeypatch.setenv("PD", KEY)
    monkeypatch.setenv("PD_CTO", CTO)
    with PagerDuty((KEY, CTO)) as emulator:
        yield emulator


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with Slack(TOKEN, ("C0PAGES77",), hook="T0/B0/hook") as emulator:
        monkeypatch.setenv("SLACK", TOKEN)
        monkeypatch.setenv("HOOK", f"{emulator.url}/services/T0/B0/hook")
        yield emulator


def pages_of(pagerduty: PagerDuty) -> str:
    keys = "routing_key: {env: PD}, roles: {cto: {env: PD_CTO}}"
    return f"pages:\n  pagerduty: {{{keys}, api: '{pagerduty.url}'}}\n"


@pytest.mark.req("R2")
async def test_pagerduty_by_role(pagerduty: PagerDuty) -> None:
    [channel] = open_channels(profile(pages_of(pagerduty)))
    assert channel.name == "pagerduty"
    for role in (Role.ON_CALL, Role.CTO):
        assert (await channel.send(page(role))).fate is Fate.ACCEPTED
    assert [a.routing_key for a in pagerduty.alerts] == [KEY, CTO]
    assert pagerduty.alerts[0].payload["source"] == "ai-diagnostics-api"


@pytest.mark.req("R2")
async def test_pagerduty_settles_what_an_earlier_process_paged_again(pagerduty: PagerDuty) -> None:
    record = MemoryRecord(VirtualClock())
    [channel] = open_channels(profile(pages_of(pagerduty)), record)
    sent = page(cycle=2)
    await channel.send(sent)
    meant = {"level": "L1", "cycle": 2, "role": "on_call", "channel": "pagerduty"}
    for data in (meant, meant | {"channel": "slack", "cycle": 9}):
        record.append(Draft("page.intended", "pager", data, incident=INCIDENT))
    [later] = open_channels(profile(pages_of(pagerduty)), record)
    await later.settle(INCIDENT, acknowledged=Level.L1)
    assert pagerduty.alerts[0].status == "acknowledged"
    asked = {r.json()["dedup_key"] for r in pagerduty.log}
    assert f"codeblue:{INCIDENT}:L1:9" not in asked, "a page of another channel is none of PagerDuty's"


async def test_slack_by_token_and_by_webhook(slack: Slack) -> None:
    by_token = f"pages:\n  slack: {{token: {{env: SLACK}}, channel: C0PAGES77, api: '{slack.api}'}}\n"
    for pages in (by_token, "pages:\n  slack: {webhook: {env: HOOK}}\n", "pages:\n  slack_webhook: {env: HOOK}\n"):
        [channel] = open_channels(profile(pages))
        assert (await channel.send(page())).fate is Fate.ACCEPTED
    assert [channel for channel, _, _ in slack.messages] == ["C0PAGES77", "hook", "hook"]


def test_apprise_by_role_with_one_url_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text("json://127.0.0.1:1/a\n\njson://127.0.0.1:1/b\n")
    file.chmod(0o600)
    everybody = "".join(f"    {role}: {{file: {file}}}\n" for role in PEOPLE if role != "cmo")
    with pytest.raises(ProfileError, match="no channel reaches cmo"):
        profile(f"pages:\n  apprise:\n{everybody}")
    [channel] = open_channels(profile(f"pages:\n  apprise:\n{everybody}    cmo: {{file: {file}}}\n"))
    assert channel.reaches(page(Role.CMO))
    assert channel.name == "apprise"


@pytest.mark.req("R3")
@pytest.mark.parametrize(
    ("pages", "reached"),
    [
        ("pagerduty: {routing_key: {env: A}, roles: {cto: {env: B}}}", True),
        ("pagerduty: {roles: {cto: {env: B}}}", False),
        ("slack: {webhook: {env: A}, roles: [on_call]}", False),
        ("slack: {webhook: {env: A}}", True),
        ("apprise: {}", False),
    ],
)
def test_every_level_reaches_somebody_or_the_profile_is_refused(pages: str, reached: bool) -> None:
    if reached:
        profile(f"pages:\n  {pages}\n")
    else:
        with pytest.raises(ProfileError, match="no channel reaches"):
            profile(f"pages:\n  {pages}\n")


def test_the_order_of_the_profile_is_that_of_the_channels(pagerduty: PagerDuty, slack: Slack) -> None:
    both = "  pagerduty_routing_key: {env: PD}\n  slack_webhook: {env: HOOK}\n"
    assert [c.name for c in open_channels(profile(f"pages:\n{both}"))] == ["pagerduty", "slack"]
    assert [c.name for c in open_channels(profile(f"pages:\n  order: [slack]\n{both}"))] == ["slack", "pagerduty"]


def test_a_secret_that_is_missing_is_said_at_the_start() -> None:
    with pytest.raises(UsageError, match=r"pages\.pagerduty\.routing_key: the environment variable NO_SUCH"):
        open_channels(profile("pages:\n  pagerduty: {routing_key: {env: NO_SUCH}}\n"))


def test_without_pages_there_is_no_channel_and_without_a_page_no_status_page() -> None:
    assert open_channels(load_text(LOCAL)) == ()
    assert open_status_page(load_text(LOCAL)) is None
