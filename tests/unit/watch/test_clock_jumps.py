"""A time of day that jumps by hours: what lasts is measured by the boot's own clock (R3): nothing is done by a jump."""

from datetime import timedelta

import pytest
from tests.unit.test_watch import Bench

from codeblue.model.anchor import Anchor, Moment
from codeblue.model.event import Draft
from codeblue.record.pages import anchor_data
from codeblue.record.runs import RunState

JUMPS = pytest.mark.parametrize("hours", [-2, 2])
HOUR = timedelta(hours=1)


def rollbacks(bench: Bench) -> int:
    return len([e for e in bench.events("run.requested") if e.data["runbook"] == "quick_rollback"])


def inhibit(bench: Bench, *, anchored: bool = True) -> None:
    data = {"kind": "declared", "why": "maintenance", "expires": (bench.clock.now() + HOUR).isoformat()}
    anchor = {"anchor": anchor_data(bench.clock.anchor())} if anchored else {}
    bench.record.append(Draft("inhibition.begun", "person:ada", {**data, **anchor}))


@pytest.mark.parametrize(
    ("hours", "rests_s", "again"), [(-2, 1800, True), (2, 0, False), (-2, 0, False), (2, 1800, True)]
)
async def test_the_cooldown_lasts_as_long_as_it_was_said(hours: int, rests_s: float, again: bool) -> None:
    bench = Bench()
    await bench.bad_release()
    await bench.story(12)
    assert bench.incidents[0].state == "mitigated"
    bench.clock.jump(timedelta(hours=hours))
    await bench.clock.sleep(rests_s)
    await bench.deploy("3.0", settle_s=20.0)
    bench.sick("3.0")
    await bench.story(6)
    assert rollbacks(bench) == (2 if again else 1)


@JUMPS
async def test_a_run_has_its_time_whatever_the_time_of_day_does_meanwhile(hours: int) -> None:
    bench = Bench()
    await bench.bad_release()
    await bench.cycles(4)
    [run] = bench.runs.unfinished()
    bench.later(1.5, lambda: bench.clock.jump(timedelta(hours=hours)))
    assert (await bench.execute(run.id)).state is RunState.DONE


@JUMPS
@pytest.mark.parametrize("anchored", [True, False])
async def test_an_inhibition_lasts_as_long_as_it_was_said(hours: int, anchored: bool) -> None:
    """One without an anchor (an older record) from when it is first seen."""
    bench = Bench()
    await bench.bad_release()
    inhibit(bench, anchored=anchored)
    await bench.cycles(5)
    bench.clock.jump(timedelta(hours=hours))
    said = await bench.cycles(340)
    assert [s for s in said if not s.startswith("inhibited: declared by person:ada: maintenance")] == []
    assert rollbacks(bench) == 0
    said = await bench.cycles(30)
    assert not said[-1].startswith("inhibited"), "nor longer"


async def test_one_that_begins_anew_knows_an_inhibition_by_its_anchor() -> None:
    """The daemon dies, and the time of day jumps before the next one looks."""
    bench = Bench()
    await bench.bad_release()
    inhibit(bench)
    bench.clock.jump(timedelta(hours=2))
    assert [s for s in await bench.cycles(10) if not s.startswith("inhibited")] == []


async def test_a_clock_that_nobody_set_changes_nothing_about_what_is_said() -> None:
    bench = Bench()
    inhibit(bench)
    until = bench.clock.now() + HOUR
    said = set(await bench.cycles(20))
    assert said == {
        f"inhibited: declared by person:ada: maintenance; no trigger counts until {until:%Y-%m-%d %H:%M:%S} UTC"
    }


def test_moments_of_one_boot_are_told_apart_by_its_clock_and_others_by_the_time_of_day() -> None:
    at = Bench().clock.now()
    first, later = Moment(at, Anchor("a", 10.0)), Moment(at - 2 * HOUR, Anchor("a", 70.0))
    assert first.until_s(later) == 60
    assert later.until_s(first) == 0
    rebooted = Moment(at + HOUR, Anchor("b", 1.0))
    assert first.until_s(rebooted) == 3600
    assert rebooted.until_s(first) == 0
    assert rebooted.until_s(first, backwards=99) == 99
    assert Moment(at).until_s(rebooted) == 3600
