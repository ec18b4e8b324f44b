"""What a profile must not be relied on for, and that nothing else in it is without effect."""

import ast
from pathlib import Path

import pytest
from tests.unit.profile.faults import CLUSTER, LOCAL
from tests.unit.profile.valid import PEOPLE, full

import codeblue
from codeblue.profile import schema
from codeblue.profile.caveats import UNREAD, caveats
from codeblue.profile.load import load_text

SOURCES = Path(codeblue.__file__).parent

#: Keys that the profile resolves itself, and the property that the product reads in their place.
RESOLVED = {"signals.source": "signal_source", "signals.ignore_routes": "ignored_routes"}


def read_attributes() -> set[str]:
    """Names that the product takes of an object anywhere outside of the profile's own package."""
    files = [p for p in SOURCES.rglob("*.py") if p.relative_to(SOURCES).parts[0] not in ("profile", "testing")]
    assert len(files) > 50
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


@pytest.mark.parametrize("profile", [LOCAL, CLUSTER], ids=["local", "tier-0"])
def test_a_profile_without_a_channel_is_told_that_nobody_is_paged(profile: str) -> None:
    assert caveats(load_text(profile))[0].message.startswith("Nobody is paged: the profile has no channel")


def test_with_a_channel_nothing_is_said_of_paging() -> None:
    assert caveats(load_text(full())) == ()


def test_a_directory_wakes_nobody() -> None:
    profile = full().replace("  slack_webhook: {file: /run/secrets/slack-webhook}\n", "").replace("order:", "# ")
    profile = profile.replace("  pagerduty_routing_key: {env: PAGERDUTY_ROUTING_KEY}\n", "")
    first = caveats(load_text(profile))[0]
    assert first.message.startswith("Nobody is woken: the only channel is pages.inbox")


def test_people_without_a_channel_are_named_as_not_used() -> None:
    profile, _, _ = full().partition("\npages:")
    person = 'contacts: {on_call: {name: Ada Berg, phone: "+21068317520"}}\n'
    first = caveats(load_text(f"{profile}\n{person}"))[0]
    assert first.keys == ("contacts",)
    assert "contacts in the profile" in first.message
    assert caveats(load_text(LOCAL))[0].keys == ()
    assert len(caveats(load_text(LOCAL))) == 1


def test_an_approval_that_nobody_is_paged_for_is_pointed_out() -> None:
    assert "waits unannounced" in caveats(load_text(LOCAL + "triggers: {health: {mode: ask}}\n"))[0].message
    assert "unannounced" not in caveats(load_text(LOCAL))[0].message


@pytest.mark.req("R1c")
def test_without_a_service_what_is_asked_through_it_has_no_effect() -> None:
    stated = "  port: 80\nhealth: {path: /live, interval: 5s}\ncontract: {health_redis: /redis}\n"
    [_, caveat] = caveats(load_text(CLUSTER + stated))
    assert caveat.keys == ("platform.port", "health.path", "contract.health_redis")
    assert len(caveats(load_text(CLUSTER + "  service: api\n" + stated))) == 1
    assert len(caveats(load_text(CLUSTER))) == 1


def test_every_other_key_is_read_somewhere() -> None:
    """A key that nothing reads, or one of `UNREAD` that something does read by now."""
    read = read_attributes()
    # the order of the channels is read where the profile itself puts them in order (profile.people.configured)
    keys = [r.path for r in schema.rows() if not r.path.startswith(("<", "contacts.")) and r.path != "pages.order"]
    assert len(keys) > 50
    assert set(RESOLVED.values()) <= read
    unread = {path for path in keys if path.rpartition(".")[2] not in read} - set(RESOLVED)
    assert unread == set(UNREAD)
    assert not {*PEOPLE} & read
