"""The loop and alerts of somebody else's monitoring: which incident they belong to, and when they count anew."""

import pytest
from tests.unit.test_watch import Bench, alerted
from tests.unit.world import PERSON

from codeblue.model.event import Draft
from codeblue.model.release import Standing

API = "api: {alerts_token: {env: TOKEN}}\n"


@pytest.fixture
def bench() -> Bench:
    bench = Bench(more=API)
    bench.good("1.0")
    return bench


def over(bench: Bench, name: str) -> None:
    """Alertmanager says that it is resolved."""
    data = next(e.data for e in reversed(bench.events("alert.received")) if e.data["fingerprint"] == name)
    bench.record.append(Draft("alert.resolved", "alertmanager", {k: data[k] for k in ("fingerprint", "starts_at")}))


def told(bench: Bench, kind: str, incident: str) -> None:
    """A person ends an incident."""
    bench.record.append(Draft(f"incident.{kind}", PERSON, {"why": "w", "reason": "r"}, incident=incident))


def truncated(bench: Bench, group: str = "g", left_out: int = 3) -> None:
    bench.record.append(Draft("alert.truncated", "alertmanager", {"group": group, "left_out": left_out}))


def states(bench: Bench) -> list[str]:
    return [i.state for i in bench.incidents]


@pytest.mark.parametrize("trigger", ["", "R5"])
async def test_closing_an_old_incident_says_nothing_about_an_alert_that_began_after_it(trigger: str) -> None:
    bench = Bench(mode="observe", more=API)
    alerted(bench, "Old")
    await bench.story(2)
    over(bench, "Old")
    await bench.story(8)
    assert states(bench) == ["mitigated"]
    await bench.clock.sleep(3600)
    alerted(bench, "New", trigger)
    await bench.story(4)
    told(bench, "resolved", bench.incidents[0].id)
    await bench.story(8)
    assert states(bench) == ["resolved", "open"]
    told(bench, "resolved", bench.incidents[1].id)
    await bench.clock.sleep(7200)
    await bench.story(2)
    assert states(bench) == ["resolved", "resolved"], "an alert that fires on is still the one that was dealt with"


async def test_an_alert_that_outlasts_its_rollback_opens_no_second_incident(bench: Bench) -> None:
    await bench.deploy("2.0", settle_s=20.0)
    bench.sick("2.0")
    alerted(bench, "Errors", "R5")
    alerted(bench, "Slow")
    await bench.story(10)
    assert states(bench) == ["mitigated"]
    mitigated = bench.incident.mitigated
    assert mitigated is not None
    alive = await bench.cycles(int((900 - (bench.clock.now() - mitigated).total_seconds()) // 10))
    assert not any("incident" in sentence for sentence in alive)
    over(bench, "Errors")
    over(bench, "Slow")
    await bench.story(10)
    assert states(bench) == ["mitigated"]


async def test_an_alert_that_still_fires_long_after_the_rollback_counts_again(bench: Bench) -> None:
    await bench.deploy("2.0", settle_s=20.0)
    bench.sick("2.0")
    alerted(bench, "Slow")
    await bench.story(10)
    mitigated = bench.incident.mitigated
    assert mitigated is not None
    await bench.story(92)
    assert [(i.trigger, i.state) for i in bench.incidents[1:]] == [("alert", "open")]
    assert 900 <= (bench.incidents[1].opened - mitigated).total_seconds() < 910
    told(bench, "resolved", bench.incidents[0].id)
    await bench.story(4)
    assert states(bench) == ["resolved", "open"], "it belongs to the second one now"


async def test_who_closes_an_incident_while_its_alert_lingers_on_has_dealt_with_the_alert(bench: Bench) -> None:
    alerted(bench, "Slow")
    await bench.story(2)
    told(bench, "mitigated", bench.incident.id)
    await bench.story(2)
    told(bench, "resolved", bench.incident.id)
    await bench.clock.sleep(3600)
    await bench.story(2)
    assert states(bench) == ["resolved"]
    over(bench, "Slow")
    alerted(bench, "Slow")
    await bench.story(1)
    assert states(bench) == ["resolved", "open"], "it ended, and began anew"


async def test_an_alert_that_begins_right_after_the_end_of_an_incident_is_a_new_one(bench: Bench) -> None:
    alerted(bench, "Slow")
    await bench.story(1)
    told(bench, "mitigated", bench.incident.id)
    alerted(bench, "Other")
    await bench.story(2)
    assert states(bench) == ["mitigated", "open"]
    assert bench.incidents[1].why == "1 alerts fire: 'Other'"


async def test_what_a_person_declares_and_closes_says_nothing_about_alerts(bench: Bench) -> None:
    alerted(bench, "Slow")
    declared = {"severity": "SEV2", "trigger": "other", "why": "w", "began": bench.clock.now().isoformat()}
    bench.record.append(Draft("incident.opened", PERSON, declared, incident="inc-20260105t031500z-0a1b2c"))
    told(bench, "resolved", "inc-20260105t031500z-0a1b2c")
    await bench.story(3)
    assert states(bench) == ["resolved", "open"]


async def test_a_restart_changes_nothing_about_whose_an_alert_is(bench: Bench) -> None:
    alerted(bench, "Slow")
    await bench.story(1)
    told(bench, "resolved", bench.incident.id)
    alerted(bench, "Other")
    bench.watch = type(bench.watch)(bench.runs, bench)
    await bench.story(2)
    assert [i.why for i in bench.incidents[1:]] == ["1 alerts fire: 'Other'"]


@pytest.mark.parametrize("how", ["mitigated", "resolved"])
async def test_alerts_that_were_left_out_are_dealt_with_when_a_person_ends_their_incident(
    bench: Bench, how: str
) -> None:
    truncated(bench)
    await bench.story(2)
    assert bench.incident.why == "a message left 3 alerts out"
    told(bench, how, bench.incident.id)
    await bench.clock.sleep(1800)
    await bench.story(2)
    assert len(bench.incidents) == 1
    truncated(bench)
    await bench.story(2)
    assert len(bench.incidents) == 2, "it was said again"


async def test_alerts_that_were_left_out_count_until_nothing_is_heard_of_it(bench: Bench) -> None:
    truncated(bench)
    await bench.story(1)
    await bench.clock.sleep(5 * 3600)
    await bench.story(8)
    assert bench.incident.state == "open"
    await bench.clock.sleep(3600)
    await bench.story(8)
    assert bench.incident.state == "mitigated"


async def test_a_group_that_is_whole_again_lets_its_incident_end(bench: Bench) -> None:
    truncated(bench)
    truncated(bench, "h")
    await bench.story(1)
    for group in ("g", "h"):
        await bench.story(8)
        assert bench.incident.state == "open"
        bench.record.append(Draft("alert.complete", "alertmanager", {"group": group}))
    await bench.story(8)
    assert bench.incident.state == "mitigated"


async def test_alerts_that_were_left_out_beside_a_rollback_are_told_after_it(bench: Bench) -> None:
    """The incident's pages said nothing of them."""
    await bench.deploy("2.0", settle_s=20.0)
    bench.sick("2.0")
    await bench.story(4)
    truncated(bench)
    await bench.story(4)
    assert states(bench) == ["mitigated"]
    await bench.story(92)
    assert [i.why for i in bench.incidents[1:]] == ["a message left 3 alerts out"]


async def test_an_alert_about_another_service_changes_nothing_here(bench: Bench) -> None:
    await bench.deploy("2.0", settle_s=20.0)
    bench.mark(Standing.UNPROVEN, "2.0")
    data = {"fingerprint": "a", "starts_at": bench.clock.now().isoformat(), "alertname": "CodeBlueErrors"}
    data |= {
        "severity": "critical",
        "trigger": "R4",
        "service": "billing",
        "namespace": "",
        "deployment": "",
        "pod": "",
    }
    bench.record.append(Draft("alert.received", "alertmanager", data))
    await bench.story(3)
    assert bench.cluster.accepted == []
    assert (bench.incident.trigger, bench.incident.why) == (
        "alert",
        "1 alerts fire: 'CodeBlueErrors' (R4 of something else)",
    )


async def test_an_alert_that_is_repeated_keeps_its_incident_open(bench: Bench) -> None:
    alerted(bench, "Slow")
    [first] = bench.events("alert.received")
    for _ in range(4):
        await bench.story(8)
        assert states(bench) == ["open"]
        await bench.clock.sleep(2 * 3600)
        bench.record.append(Draft(first.kind, first.actor, first.data))
    await bench.clock.sleep(6 * 3600)
    await bench.story(8)
    assert states(bench) == ["mitigated"], "nothing was heard of it any more"
