"""Who is paged when, over what, once (R2, R3, D21): the loop on virtual time, counted at the provider."""

import asyncio

import pytest
from tests.unit.profile.valid import PEOPLE
from tests.unit.watch.ward import ALL, INCIDENT, L1, L2, L3, L4, Ward

from codeblue.model.errors import Forbidden, LeaseLost, Unreachable
from codeblue.model.event import Draft, Event
from codeblue.model.incident import Level
from codeblue.model.page import Delivery, Fate, Page
from codeblue.record.pages import fold_pages
from codeblue.testing.memory_channel import MemoryChannel, MemoryProvider
from codeblue.watch import pager as pager_module

MIN = 60.0


@pytest.mark.req("R3")
async def test_the_levels_are_paged_at_their_minutes_each_once() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(40 * MIN)
    assert [set(ward.paged(f"L{n}")) for n in (1, 2, 3)] == [L1, L2, L3]
    assert len(ward.pages) == 5
    assert ward.at("L1") == [0.0]
    assert all(15 * MIN <= t <= 15 * MIN + 1 for t in ward.at("L2"))
    assert all(30 * MIN <= t <= 30 * MIN + 1 for t in ward.at("L3"))
    assert ward.paged("L4") == []


async def test_the_sentence_says_where_the_ladder_is() -> None:
    ward = Ward()
    assert await ward.tick() == "nobody to page: no incident is open"
    ward.open()
    assert await ward.tick() == f"incident {INCIDENT}, L1: paging on_call (L1) over pagerduty"
    assert await ward.tick() == f"incident {INCIDENT}, L1: everybody due was paged; next: L2 at 900 s"


@pytest.mark.req("R3")
async def test_the_boundaries_are_half_open() -> None:
    ward = Ward()
    ward.open()
    await ward.run(15 * MIN - 1)
    assert ward.clock.monotonic() == 15 * MIN - 1
    await ward.tick()
    assert ward.paged("L2") == []
    await ward.tick()
    assert set(ward.paged("L2")) == L2
    assert len(ward.paged("L1")) == 1  # its repetition would be due now: L1 is over


@pytest.mark.req("R3")
async def test_a_mitigated_incident_pages_nobody_more_and_the_channel_is_told() -> None:
    ward = Ward()
    ward.open()
    await ward.run(5)
    ward.event("incident.mitigated", actor="watch", why="healthy")
    await ward.run(60 * MIN)
    assert len(ward.pages) == 1
    assert ward.providers["pagerduty"].settled == [(INCIDENT, None)]
    assert ward.sentences[-1] == "nobody to page: no incident is open"


@pytest.mark.req("R3")
async def test_an_acknowledgement_stops_the_repetitions_of_its_level_and_not_the_ladder() -> None:
    ward = Ward("escalation: {repeat: 5m, ack_expires: 2h}\n")
    ward.open()
    await ward.run(11 * MIN)
    assert [p.cycle for p in ward.pages] == [0, 1, 2]
    ward.event("incident.acknowledged", level="L1")
    await ward.run(3.9 * MIN)
    assert len(ward.paged("L1")) == 3
    assert ward.providers["pagerduty"].settled == [(INCIDENT, Level.L1)]
    await ward.run(6 * MIN)
    assert set(ward.paged("L2")) == L2
    assert len(ward.paged("L2")) == 4  # nobody of L2 acknowledged: repeated after five minutes
    ward.event("incident.acknowledged")  # without a level: of all that was paged
    await ward.run(20 * MIN)
    assert len(ward.paged("L2")) == 4
    assert set(ward.paged("L3")) == L3


@pytest.mark.req("R3")
async def test_until_acknowledged_an_acknowledgement_stops_the_ladder_until_it_expires() -> None:
    ward = Ward("escalation: {until: acknowledged, ack_expires: 20m, repeat: 0s}\n")
    ward.open()
    await ward.run(5 * MIN)
    ward.event("incident.acknowledged")
    await ward.run(19.9 * MIN)
    assert len(ward.pages) == 1
    await ward.run(1 * MIN)  # 20 minutes without anything: it counts no more, and it is minute 25
    assert set(ward.paged("L2")) == L2
    await ward.run(5 * MIN)
    assert set(ward.paged("L3")) == L3


@pytest.mark.req("R3")
async def test_what_happens_after_an_acknowledgement_prolongs_it() -> None:
    ward = Ward("escalation: {until: acknowledged, ack_expires: 20m, repeat: 0s}\n")
    ward.open()
    await ward.run(5 * MIN)
    ward.event("incident.acknowledged")
    await ward.run(15 * MIN)
    ward.event("step.started", actor="engine", step="x")
    await ward.run(2 * MIN)
    ward.jump(2)
    await ward.restart()
    await ward.run(13 * MIN)
    assert len(ward.pages) == 1
    await ward.run(7 * MIN)
    assert set(ward.paged("L2")) == L2


@pytest.mark.req("R3")
@pytest.mark.parametrize("hours", [2, -2])
async def test_a_jump_before_what_happens_neither_keeps_an_acknowledgement_for_ever_nor_ends_it(hours: float) -> None:
    ward = Ward("escalation: {repeat: 5m, ack_expires: 4m, l2: {after: 1h}, l3: {after: 2h}}\n")
    ward.open()
    await ward.run(1 * MIN)
    ward.event("incident.acknowledged")
    await ward.run(2.5 * MIN)
    ward.jump(hours)
    ward.event("incident.noted", text="on it")
    await ward.run(2.9 * MIN)
    assert len(ward.paged("L1")) == 1
    await ward.run(3 * MIN)
    assert len(ward.paged("L1")) == 2


@pytest.mark.req("R3")
@pytest.mark.parametrize("hours", [2, -2])
async def test_an_acknowledgement_expires_by_the_true_time_whatever_the_clock_does(hours: float) -> None:
    ward = Ward("escalation: {repeat: 5m, ack_expires: 8m}\n")
    ward.open()
    await ward.run(1 * MIN)
    ward.event("incident.acknowledged")
    ward.event("incident.noted", text="on it")
    ward.jump(hours)
    await ward.run(8 * MIN)
    assert len(ward.paged("L1")) == 1
    await ward.run(2 * MIN)  # the note's time is an estimate of at most a minute
    assert len(ward.paged("L1")) == 2


@pytest.mark.req("R3")
@pytest.mark.parametrize("minute", [0, 7, 20, 40])
async def test_l4_comes_at_once_from_any_level(minute: int) -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(minute * MIN + 2)
    ward.event("incident.escalated", level="L4", why="a patient is at risk")
    await ward.run(3)
    assert set(ward.paged("L4")) == L4
    await ward.run(45 * MIN)
    assert {level: set(ward.paged(f"L{level}")) for level in ALL} == ALL
    assert len(ward.pages) == 7


@pytest.mark.req("R3", "R9")
async def test_patient_safety_calls_l4_and_the_clinical_lead_at_once() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open("patient-safety", actor="person:ada")
    await ward.tick()
    assert (set(ward.paged("L1")), set(ward.paged("L4")), ward.paged("notice")) == (L1, L4, ["clinical_lead"])
    assert ward.paged("L2") == []
    await ward.run(31 * MIN)
    assert len(ward.pages) == 1 + 2 + 2 + 2 + 1


@pytest.mark.req("R3", "R9")
@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ("security", ["security"]),
        ("corruption", ["clinical_lead"]),
        ("regulatory", ["clinical_lead"]),
        ("unrecoverable", []),
        ("R4", []),
    ],
)
async def test_who_is_told_outside_of_the_levels(trigger: str, told: list[str]) -> None:
    ward = Ward()
    ward.open(trigger)
    await ward.run(5)
    assert ward.paged("notice") == told
    assert set(ward.paged("L3")) == (L3 if trigger == "regulatory" else set())


@pytest.mark.req("R3")
async def test_the_clinical_lead_is_told_once_when_ai_features_are_switched_off() -> None:
    ward = Ward()
    ward.open()
    await ward.run(5)
    ward.event("flags.disabled", actor="engine")
    await ward.run(40 * MIN)
    assert ward.paged("notice") == ["clinical_lead"]


@pytest.mark.req("R1a")
async def test_a_run_that_waits_for_an_approval_is_announced() -> None:
    ward = Ward()
    ward.open()
    await ward.run(5)
    ward.event("run.waiting", actor="engine", run="run-20260105t031600z-aaaaaa", digest="d")
    await ward.run(5)
    assert ward.paged("notice") == ["on_call"]
    assert ward.pages[-1].next_step == "codeblue run approve run-20260105t031600z-aaaaaa"
    assert ("plan digest", "d") in ward.pages[-1].details  # an approval is given for this very plan
    ward.event("run.approved", actor="person:ada", run="run-20260105t031600z-aaaaaa", digest="d")
    await ward.run(60)
    assert ward.paged("notice") == ["on_call"]


async def test_an_approval_that_the_first_page_names_is_not_announced_twice() -> None:
    ward = Ward()
    ward.open()
    ward.event("run.waiting", actor="engine", run="run-20260105t031600z-aaaaaa", digest="d")
    await ward.run(60)
    assert [p.next_step for p in ward.pages] == ["codeblue run approve run-20260105t031600z-aaaaaa"]


@pytest.mark.req("R3")
async def test_the_severity_decides_where_it_starts_and_how_far_it_goes() -> None:
    ward = Ward("severity: {sev1: {starts_at: L2}}\n")
    ward.open()
    await ward.run(2)
    assert (set(ward.paged("L1")), set(ward.paged("L2"))) == (L1, L2)
    quiet = Ward()
    quiet.open(severity="SEV4")
    await quiet.run(60 * MIN)
    assert {p.level for p in quiet.pages} == {"L1"}
    quiet.event("incident.severity", severity="SEV1", why="worse")
    await quiet.run(5)
    assert {p.level for p in quiet.pages} == {"L1", "L2", "L3"}
    assert quiet.pages[-1].severity == 1


@pytest.mark.req("R3")
@pytest.mark.parametrize("hours", [0, 2, -2])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_worse_severity_pages_anew_whoever_was_told_of_less(hours: float, restarted: bool) -> None:
    """Somebody took a small incident over; that is no word about an outage."""
    ward = Ward("escalation: {repeat: 15m, ack_expires: 2h}\n")
    ward.open("R7", "SEV3")
    await ward.run(16 * MIN)
    ward.event("incident.acknowledged", level="L2")
    await ward.run(60)
    ward.jump(hours)
    ward.event("incident.severity", actor="watch", severity="SEV1", why="R4 fires as well")
    if restarted:
        await ward.restart()
    await ward.run(5)
    anew = [(p.level, p.role.value) for p in ward.pages if p.severity == 1]
    assert sorted(anew) == [("L1", "on_call"), ("L2", "ai_team"), ("L2", "devops_lead")]
    await ward.run(5 * MIN)
    assert len(ward.pages) == 6
    ward.event("incident.severity", actor="person:ada", severity="SEV2", why="better")
    ward.event("incident.acknowledged", level="L2")
    await ward.run(60)
    assert len(ward.pages) == 6
    assert ward.providers["pagerduty"].settled == [(INCIDENT, Level.L2)]
    assert [e.kind for e in ward.record.events].count("page.settled") == 2
    await ward.run(8 * MIN)
    assert set(ward.paged("L3")) == L3


@pytest.mark.req("R3")
async def test_until_acknowledged_a_worse_severity_sets_the_ladder_going_again() -> None:
    ward = Ward("escalation: {until: acknowledged, ack_expires: 2h, repeat: 0s}\n")
    ward.open("R7", "SEV3")
    await ward.run(60)
    ward.event("incident.acknowledged")
    await ward.run(20 * MIN)
    assert len(ward.pages) == 1
    ward.event("incident.severity", actor="watch", severity="SEV1", why="R4 fires as well")
    await ward.run(5)
    assert (len(ward.paged("L1")), set(ward.paged("L2"))) == (2, L2)


@pytest.mark.req("R3")
async def test_a_page_that_was_not_delivered_yet_is_replaced_by_the_worse_one() -> None:
    ward = Ward("escalation: {repeat: 0s}\n", pagerduty=MemoryProvider(way="down"))
    ward.open("R7", "SEV3")
    await ward.run(10)
    ward.event("incident.severity", actor="watch", severity="SEV1", why="R4 fires as well")
    ward.providers["pagerduty"].way = "accept"
    await ward.run(5 * MIN)
    assert [(p.level, p.cycle, int(p.severity)) for p in ward.pages] == [("L1", 1, 1)]


# --- time that does not pass as it should


@pytest.mark.req("R3")
@pytest.mark.parametrize("hours", [2, -2])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_jumps_moves_no_level(hours: float, restarted: bool) -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(10 * MIN)
    ward.jump(hours)
    if restarted:
        await ward.restart()
    await ward.run(30 * MIN)
    assert all(15 * MIN <= t <= 15 * MIN + 1 for t in ward.at("L2"))
    assert all(30 * MIN <= t <= 30 * MIN + 1 for t in ward.at("L3"))
    assert len(ward.pages) == 5


@pytest.mark.req("R3")
@pytest.mark.parametrize("hours", [2, -2])
async def test_an_incident_without_an_anchor_gets_one_at_first_sight(hours: float) -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open(anchored=False)
    await ward.tick()
    ward.jump(hours)
    await ward.restart()
    await ward.run(31 * MIN)
    assert all(15 * MIN <= t <= 15 * MIN + 1 for t in ward.at("L2"))
    assert [e.kind for e in ward.record.events].count("incident.anchored") == 1


@pytest.mark.req("R3")
async def test_after_a_reboot_the_time_of_day_counts_and_then_the_new_boot() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(10 * MIN)
    ward.clock.reboot()
    await ward.down(2 * MIN)
    await ward.tick()
    ward.jump(2)
    await ward.restart()
    await ward.run(25 * MIN)
    assert all(15 * MIN <= t <= 15 * MIN + 2 for t in ward.at("L2"))
    assert all(30 * MIN <= t <= 30 * MIN + 2 for t in ward.at("L3"))


@pytest.mark.req("R3")
async def test_a_jump_before_a_reboot_counts_no_more_after_it() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(10 * MIN)
    ward.jump(2)
    await ward.run(6 * MIN)
    ward.clock.reboot()
    await ward.down(60)
    await ward.run(15 * MIN)
    assert all(30 * MIN <= t <= 30 * MIN + 2 for t in ward.at("L3"))
    assert set(ward.paged("L3")) == L3


@pytest.mark.req("R3")
async def test_a_clock_set_back_over_a_reboot_never_goes_below_what_the_record_shows() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(16 * MIN)
    ward.clock.reboot()
    ward.jump(-2)
    await ward.down(60)
    await ward.run(15 * MIN + 2)
    assert set(ward.paged("L3")) == L3  # L2 was paged, so 15 min had passed
    assert len(ward.pages) == 5


@pytest.mark.req("R3")
async def test_no_level_is_skipped_when_the_daemon_was_down() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(5)
    await ward.down(40 * MIN)
    await ward.run(5)
    assert [set(ward.paged(f"L{n}")) for n in (1, 2, 3)] == [L1, L2, L3]
    assert len(ward.pages) == 5


# --- channels that fail


def two(primary: MemoryProvider, second: MemoryProvider) -> Ward:
    return Ward("escalation: {repeat: 0s, give_up: 10s, tries: 3}\n", pagerduty=primary, slack=second)


@pytest.mark.req("R2")
@pytest.mark.parametrize("way", ["refuse", "cut", "hang", "down", "busy"])
async def test_what_the_primary_channel_does_not_take_the_next_one_does(way: str) -> None:
    primary, second = MemoryProvider(way=way), MemoryProvider(keyed=False)
    ward = two(primary, second)
    ward.open()
    await ward.run(30)
    assert [(p.level, p.role.value) for p in second.pages] == [("L1", "on_call")]
    assert ward.at("L1")[-1] <= 13  # a provider that hangs holds it up for ten seconds, one that is down for less
    call = ward.paging.call("L1", 0, "on_call")
    assert call is not None
    assert call.delivered is not None
    assert call.delivered.channel == "slack"
    states = {a.channel: a.state for a in call.attempts}
    assert states["pagerduty"] == ("unknown" if way in ("cut", "hang") else "refused")
    tries = len(primary.requests)
    await ward.run(5 * MIN)
    assert (len(primary.requests), len(second.pages)) == (tries, 1)


@pytest.mark.req("R2")
async def test_a_provider_that_is_down_is_tried_only_so_often() -> None:
    primary, second = MemoryProvider(way="busy"), MemoryProvider()
    ward = two(primary, second)
    ward.open()
    await ward.run(60)
    assert len(primary.requests) == 3
    call = ward.paging.call("L1", 0, "on_call")
    assert call is not None
    assert call.attempts[0].why.startswith("not accepted in 3 tries within")


@pytest.mark.req("R2", "R3")
async def test_a_provider_that_comes_back_is_used_again_and_pages_once() -> None:
    """The only channel is down for five minutes: everybody is paged once, soon after it is back."""
    provider = MemoryProvider(way="down")
    ward = Ward("escalation: {repeat: 0s}\n", pagerduty=provider)
    ward.open()
    said = await ward.run(5 * MIN)
    assert "on_call (L1) is not reached yet: not accepted in" in said
    provider.way = "accept"
    await ward.run(62)
    assert [p.role.value for p in provider.pages] == ["on_call"]
    await ward.run(30 * MIN)
    assert len(provider.pages) == 5


@pytest.mark.req("R2")
async def test_refused_everywhere_is_tried_again_and_said() -> None:
    ward = two(MemoryProvider(way="refuse"), MemoryProvider(way="refuse"))
    ward.open()
    said = await ward.run(20)
    assert said.endswith("on_call (L1) is not reached yet: slack answered 400")
    ward.providers["slack"].way = "accept"
    await ward.run(2 * MIN)
    assert [p.role.value for p in ward.providers["slack"].pages] == ["on_call"]


@pytest.mark.req("B3")
async def test_a_channel_without_a_key_that_may_have_paged_is_not_used_again_while_there_is_another() -> None:
    first, second = MemoryProvider(keyed=False, way="cut"), MemoryProvider(way="down")
    ward = two(first, second)
    ward.open()
    await ward.run(10 * MIN)
    assert len(first.pages) == 1
    second.way = "accept"
    await ward.run(2 * MIN)
    assert (len(first.pages), len(second.pages)) == (1, 1)


@pytest.mark.req("R2")
async def test_a_channel_that_hangs_holds_nobody_else_up() -> None:
    def way(page: Page) -> str:
        return "hang" if page.role == "devops_lead" else "accept"

    ward = Ward("escalation: {repeat: 0s, l2: {after: 10s}, l3: {after: 12s}}\n", pagerduty=MemoryProvider(way=way))
    ward.open()
    await ward.run(15)
    assert ward.paged("L2") == ["ai_team"]
    assert set(ward.paged("L3")) == L3
    assert all(t <= 13 for t in ward.at("L3"))


async def test_a_defect_of_a_channel_is_said_recorded_and_covered_by_the_next_one() -> None:
    def broken(page: Page) -> str:
        raise KeyError("a defect of ours")

    second = MemoryProvider()
    ward = two(MemoryProvider(way=broken), second)
    ward.open()
    await ward.run(5)
    assert any("internal error KeyError in pagerduty: report the defect" in s for s in ward.sentences)
    assert "a defect of ours" not in str(ward.sentences) + str(ward.record.events)
    [attempt, _] = ward.paging.calls[0].attempts
    assert (attempt.tries, attempt.state, attempt.why) == (1, "unknown", "internal error KeyError in pagerduty")
    assert [p.role.value for p in second.pages] == ["on_call"]


@pytest.mark.req("R3")
async def test_whoever_acknowledges_in_time_is_not_paged_over_the_next_channel() -> None:
    """The acknowledgement is looked at right before each send."""
    primary, second = MemoryProvider(way="hang"), MemoryProvider()
    ward = two(primary, second)
    ward.open()
    await ward.run(5)
    ward.event("incident.acknowledged")
    await ward.run(60)
    assert second.pages == []


@pytest.mark.req("R3")
@pytest.mark.parametrize("kind", ["incident.mitigated", "incident.acknowledged"])
async def test_what_happens_at_the_last_moment_is_seen_before_the_send(kind: str) -> None:
    ward = Ward("escalation: {repeat: 0s, until: acknowledged, l2: {after: 10s}, l3: {after: 20s}}\n")
    ward.open()
    await ward.run(5)

    async def fence() -> None:
        if ward.clock.monotonic() == 10:
            ward.event(kind, why="over")

    ward.pager.fence = fence
    await ward.run(30)
    assert len(ward.pages) == 1


@pytest.mark.req("R2")
async def test_an_error_of_a_channel_that_no_retry_changes_is_a_refusal() -> None:
    def refused(page: Page) -> str:
        raise Forbidden("the key is not valid any more")

    second = MemoryProvider()
    ward = two(MemoryProvider(way=refused), second)
    ward.open()
    await ward.run(3)
    [attempt, _] = ward.paging.calls[0].attempts
    assert (attempt.state, attempt.why, attempt.tries) == ("refused", "the key is not valid any more", 1)
    assert len(second.pages) == 1


@pytest.mark.req("R3")
async def test_channels_are_those_of_the_level_then_of_the_severity_then_of_the_profile() -> None:
    people = "".join(
        f'  {role}: {{name: Ada Berg, phone: "+2106831752{n}"}}\n'
        for n, role in enumerate((*sorted(L1 | L2 | L3 | L4), "security", "clinical_lead"))
    )
    profile = (
        f"contacts:\n{people}pages: {{pagerduty_routing_key: {{env: A}}, slack_webhook: {{env: B}}, inbox: ./x, "
        "order: [slack]}\nescalation: {repeat: 0s, l2: {after: 5s, channels: [inbox]}, l3: {after: 10s}}\n"
        "severity: {sev2: {channels: [pagerduty]}}\n"
    )

    async def channels(severity: str) -> list[str]:
        ward = Ward(profile, pagerduty=MemoryProvider(), slack=MemoryProvider(), inbox=MemoryProvider())
        ward.open(severity=severity)
        await ward.run(15)
        return [a.channel for c in ward.paging.calls if c.role in ("on_call", "ai_team", "cto") for a in c.attempts]

    assert await channels("SEV1") == ["slack", "inbox", "slack"]
    assert await channels("SEV2") == ["pagerduty", "inbox", "pagerduty"]


@pytest.mark.req("R2")
async def test_somebody_without_an_address_is_said_and_recorded_and_the_others_are_paged() -> None:
    ward = Ward()
    ward.pager.channels[0]._roles = {"ai_team"}  # type: ignore[attr-defined]
    ward.open()
    await ward.run(3)
    assert "on_call (L1) is NOT paged: no channel has an address for on_call" in ward.sentences[-1]
    assert [e.kind for e in ward.record.events].count("page.unrouted") == 1
    await ward.run(16 * MIN)
    assert ward.paged("L2") == ["ai_team"]


@pytest.mark.req("R2", "R3")
@pytest.mark.parametrize(
    "narrow", ["escalation: {l1: {channels: [slack]}}\n", "severity: {sev1: {channels: [slack]}}\n"]
)
async def test_a_list_without_an_address_gives_way_to_the_wider_one(narrow: str) -> None:
    """A check refuses such a profile; what a channel really has an address for is known only here."""
    people = "".join(f'  {role}: {{name: Ada Berg, phone: "+2106831752{n}"}}\n' for n, role in enumerate(PEOPLE))
    pages = f"contacts:\n{people}pages: {{pagerduty_routing_key: {{env: A}}, slack_webhook: {{env: B}}}}\n"
    ward = Ward(pages + narrow, pagerduty=MemoryProvider(), slack=MemoryProvider())
    ward.pager.channels[1]._roles = {"cto"}  # type: ignore[attr-defined]
    ward.open()
    await ward.run(3)
    assert [(p.level, p.role.value) for p in ward.providers["pagerduty"].pages] == [("L1", "on_call")]
    assert "page.unrouted" not in [e.kind for e in ward.record.events]


# --- the record


@pytest.mark.req("R2", "B9")
async def test_every_page_is_recorded_with_its_delivery_and_its_acknowledgement() -> None:
    ward = Ward("escalation: {repeat: 0s}\n")
    ward.open()
    await ward.run(3)
    ward.event("incident.acknowledged", level="L1")
    await ward.run(3)
    call = ward.paging.call("L1", 0, "on_call")
    assert call is not None
    assert call.delivered is not None
    assert call.delivered.reference == f"codeblue:{INCIDENT}:L1:0:on_call:pagerduty"
    assert [(a.level, a.actor) for a in ward.paging.acks] == [("L1", "person:ada (ada@laptop)")]
    kinds = [e.kind for e in ward.record.events]
    assert kinds == ["incident.opened", "page.intended", "page.delivered", "incident.acknowledged", "page.settled"]


@pytest.mark.req("B8", "B9")
async def test_a_page_anchors_the_record_and_carries_typed_facts_alone() -> None:
    ward = Ward()
    ward.open()
    ward.event("incident.noted", text="patient Jane Roe in bed 7")
    await ward.run(3)
    [page] = ward.pages
    intent = next(e for e in ward.record.events if e.kind == "page.intended")
    assert page.head == f"{intent.seq}:{intent.hash}"
    assert page.summary == "SEV1 ai-diagnostics-api: the health check fails; level L1, open for 0 min"
    assert page.next_step == f"codeblue incident ack {INCIDENT}"
    assert "Jane" not in repr(page)
    assert "4 > 3" not in repr(page)  # what a probe answered is text of the service


@pytest.mark.req("B3")
async def test_nothing_is_sent_that_could_not_be_recorded_before() -> None:
    ward = Ward()
    ward.open()
    ward.record.refuses.add("page.intended")
    await ward.pager.cycle()
    with pytest.raises(Unreachable):
        await ward.pager.cycle()
    assert ward.pages == []
    ward.record.refuses.clear()
    await ward.run(3)
    assert len(ward.pages) == 1


@pytest.mark.req("B3")
@pytest.mark.parametrize("keyed", [True, False])
async def test_an_outcome_that_could_not_be_recorded_is_no_second_page(keyed: bool) -> None:
    first, second = MemoryProvider(keyed=keyed), MemoryProvider()
    ward = two(first, second)
    ward.open()
    ward.record.refuses.add("page.delivered")
    await ward.pager.cycle()
    with pytest.raises(Unreachable):
        await ward.pager.cycle()
    ward.record.refuses.clear()
    await ward.run(5)
    assert len(first.pages) == 1
    assert len(second.pages) == (0 if keyed else 1)  # whether it was sent is unknown: the next channel covers it


@pytest.mark.req("B3")
async def test_whoever_lost_the_lease_pages_nobody_more() -> None:
    ward = Ward()

    async def lost() -> None:
        raise LeaseLost("somebody else acts")

    ward.pager.fence = lost
    ward.open()
    await ward.pager.cycle()
    with pytest.raises(LeaseLost):
        await ward.pager.cycle()
    assert ward.pages == []


@pytest.mark.req("R2")
async def test_a_platform_that_does_not_answer_is_no_reason_for_silence() -> None:
    ward = Ward()

    async def away() -> None:
        raise Unreachable("the lease ran out and the API server does not answer")

    ward.pager.fence = away
    ward.open()
    await ward.run(3)
    assert len(ward.pages) == 1


@pytest.mark.req("R2", "R3")
@pytest.mark.parametrize("fate", [Fate.ACCEPTED, Fate.UNKNOWN])
@pytest.mark.parametrize(
    ("late", "restarted", "told"),
    [
        ("L1", False, ["L1", "None"]),
        ("L1", True, ["None"]),
        ("L2", False, ["L1", "L2", "L2", "None"]),
        ("L2", True, ["L1", "None"]),
    ],
)
async def test_a_page_that_arrives_after_the_end_is_ended_too(
    monkeypatch: pytest.MonkeyPatch, fate: Fate, late: str, restarted: bool, told: list[str]
) -> None:
    """The provider takes three seconds; meanwhile the incident is over, or the process dies."""
    ward, log = Ward("escalation: {l2: {after: 20s}, l3: {after: 40s}}\n"), []

    async def send(self: MemoryChannel, page: Page) -> Delivery:
        if page.level == late:
            await ward.clock.sleep(3.0)
        log.append(page.level)
        return Delivery(fate if page.level == late else Fate.ACCEPTED)

    async def settle(self: MemoryChannel, incident: str, *, acknowledged: Level | None) -> None:
        log.append(str(acknowledged))

    monkeypatch.setattr(MemoryChannel, "send", send)
    monkeypatch.setattr(MemoryChannel, "settle", settle)
    ward.open()
    await ward.run(21 if late == "L2" else 1)
    ward.event("incident.mitigated", actor="watch", why="proven healthy")
    if restarted:
        await ward.tick()
        await ward.restart()
    await ward.run(300)
    assert log == told
    assert [e.kind for e in ward.record.events].count("page.settled") == 1
    assert ward.sentences[-1] == "nobody to page: no incident is open"


@pytest.mark.req("R2", "R3")
async def test_a_page_of_another_process_that_arrives_after_the_end_is_ended_too() -> None:
    ward = Ward()
    ward.open()
    await ward.run(3)
    data = {"level": "L2", "cycle": 0, "role": "cto", "key": "k", "channel": "pagerduty", "round": 0}
    ward.event("page.intended", **data, severity="SEV1", elapsed_s=3.0)
    ward.event("incident.mitigated", why="healthy")
    ward.event("page.settled", channel="pagerduty", acknowledged=False, upto=0, why="")
    ward.event("page.delivered", **data, fate="accepted", reference="", why="", elapsed_s=4.0)
    await ward.run(20)
    assert ward.providers["pagerduty"].settled == [(INCIDENT, None)]


@pytest.mark.req("R3")
async def test_only_pages_from_before_an_acknowledgement_are_acknowledged_at_the_provider() -> None:
    """What is paged anew after it expired must ring, and another level is not its own."""
    ward = Ward("escalation: {repeat: 5m, ack_expires: 8m, l2: {after: 20m}, l3: {after: 40m}}\n")
    ward.open()
    await ward.run(60)
    ward.event("incident.acknowledged", level="L1")
    await ward.run(30 * MIN)
    assert len(ward.paged("L1")) > 2
    assert len(ward.paged("L2")) > 2
    assert ward.providers["pagerduty"].settled == [(INCIDENT, Level.L1)]
    assert [e.kind for e in ward.record.events].count("page.settled") == 1
    ward.event("incident.acknowledged", level="L2")
    ward.event("incident.acknowledged", level="L1")
    await ward.run(3)
    assert [level for _, level in ward.providers["pagerduty"].settled] == [Level.L1, Level.L2]
    asked = [(e.data["acknowledged"], e.data["upto"]) for e in ward.record.events if e.kind == "page.settled"]
    assert len(asked) == len(set(asked)) == 3


# --- a command that pages beside a daemon

ELSEWHERE = "0123456789abcdef/4711/815"


def meant_elsewhere(ward: Ward, channel: str = "pagerduty", **more: object) -> str:
    """Another process means the first page, and sends it. Returns the page's key."""
    key = f"codeblue:{INCIDENT}:L1:0:on_call:{channel}"
    data = {"level": "L1", "cycle": 0, "role": "on_call", "key": key, "channel": channel, "round": 0}
    ward.event("page.intended", **data, severity="SEV1", process=ELSEWHERE, elapsed_s=0.0, **more)
    return key


@pytest.mark.req("B3", "R2")
@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("fate", ["accepted", "refused", "", "dead"])
async def test_a_page_that_another_process_sends_is_left_to_it_while_that_can_be(keyed: bool, fate: str) -> None:
    """Never silence either: what has no outcome in time, or whose process is dead, is covered."""
    first, second = MemoryProvider(keyed=keyed), MemoryProvider()
    ward = two(first, second)
    ward.pager.gone = lambda name: fate == "dead" and name == ELSEWHERE
    ward.open()
    key = meant_elsewhere(ward)
    await ward.run(10)
    covering = first if keyed else second
    assert len(ward.pages) == (fate == "dead")
    if fate in ("accepted", "refused"):
        data = {"level": "L1", "cycle": 0, "role": "on_call", "key": key, "elapsed_s": 10.0}
        ward.event("page.delivered", **data, fate=fate, reference="", why="")
        covering = second
    await ward.run(10)
    assert len(ward.pages) == (fate != "accepted")
    assert [p.role.value for p in covering.pages] == ["on_call"] * (fate != "accepted")
    assert all(t == {"refused": 10, "": 15, "dead": 0}[fate] for t in ward.at("L1"))


@pytest.mark.req("B3")
@pytest.mark.parametrize("fate", ["accepted", ""])
async def test_of_two_processes_that_mean_a_page_in_the_same_moment_one_sends_it(fate: str) -> None:
    ward = Ward("escalation: {repeat: 0s, give_up: 1s, tries: 1}\n", pagerduty=MemoryProvider(keyed=False))
    ward.pager.gone = lambda name: False
    append = ward.record.append

    def faster(draft: Draft) -> Event:
        if draft.kind == "page.intended" and draft.actor == "pager":
            ward.record.append = append  # type: ignore[method-assign]
            meant_elsewhere(ward)
        return append(draft)

    ward.open()
    ward.record.append = faster  # type: ignore[method-assign]
    await ward.run(2)
    assert ward.pages == []
    [attempt] = ward.paging.calls[0].attempts
    assert (attempt.state, attempt.tries, attempt.process) == ("intended", 1, ELSEWHERE)
    if fate:
        data = {"level": "L1", "cycle": 0, "role": "on_call", "key": attempt.key, "elapsed_s": 3.0}
        ward.event("page.delivered", **data, fate=fate, reference="", why="")
    await ward.run(5 * MIN)
    assert len(ward.pages) == (not fate)


@pytest.mark.req("B3")
async def test_what_another_process_did_while_the_lease_was_asked_for_is_seen() -> None:
    ward = two(MemoryProvider(keyed=False), MemoryProvider())
    ward.pager.gone = lambda name: False

    async def fence() -> None:
        if not ward.paging.calls:
            meant_elsewhere(ward)

    ward.pager.fence = fence
    ward.open()
    await ward.run(5)
    assert ward.pages == []
    assert [e.kind for e in ward.record.events].count("page.intended") == 1


@pytest.mark.req("R2")
async def test_a_lease_that_does_not_answer_holds_up_no_page_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager_module, "MAY_S", 0.01)
    ward = Ward()

    async def never() -> None:
        await asyncio.Event().wait()

    ward.pager.fence = never
    ward.open()
    await ward.pager.cycle()
    await ward.pager.close(limit_s=5.0)
    assert [p.role.value for p in ward.pages] == ["on_call"]


# --- what becomes of it is told


async def test_settling_is_tried_again_until_the_channel_takes_it() -> None:
    ward = Ward()
    ward.open()
    await ward.run(2)
    ward.providers["pagerduty"].way = "down"
    channel, asked = ward.pager.channels[0], []
    settle = channel.settle

    async def counting(incident: str, *, acknowledged: Level | None) -> None:
        asked.append(incident)
        await settle(incident, acknowledged=acknowledged)

    channel.settle = counting  # type: ignore[method-assign]
    ward.event("incident.acknowledged")
    await ward.run(20)
    assert ward.providers["pagerduty"].settled == []
    assert 3 <= len(asked) <= 5  # not once a second
    ward.providers["pagerduty"].way = "accept"
    await ward.run(10)
    assert ward.providers["pagerduty"].settled == [(INCIDENT, Level.L1)]
    await ward.restart()
    ward.event("incident.resolved", reason="over")
    await ward.run(10)
    assert ward.providers["pagerduty"].settled == [(INCIDENT, Level.L1), (INCIDENT, None)]
    assert [e.kind for e in ward.record.events].count("page.settled") == 2


@pytest.mark.req("R2")
@pytest.mark.parametrize("way", ["accept", "down"])
async def test_a_page_that_somebody_asks_for_goes_out_without_an_incident(way: str) -> None:
    ward = Ward()
    id_ = "page-20260105t031500z-abcdef"
    data = {"level": "test", "role": "cto", "summary": "TEST", "next_step": "nothing"}
    ward.record.append(Draft("page.requested", "person:ada", data, incident=id_))
    ward.providers["pagerduty"].way = way
    await ward.run(100)
    [call] = fold_pages(ward.record.events)[id_].calls
    assert [(p.level, p.role.value, p.summary) for p in ward.pages] == [("test", "cto", "TEST")] * (way == "accept")
    assert (call.state == "delivered") is (way == "accept")
    ward.clock.advance(3600)
    ward.providers["pagerduty"].way = "accept"
    await ward.run(100)
    assert len(ward.pages) == (way == "accept")  # whoever asked is gone
