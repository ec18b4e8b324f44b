"""Whatever happens to daemon, machine, clock and provider: each level is paged exactly once (R3, B3)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.watch.ward import L1, L2, L3, Ward

from codeblue.testing.memory_channel import MemoryProvider
from codeblue.watch import pager as pager_module

PROFILE = "escalation: {repeat: 0s, give_up: 5s, tries: 3, l2: {after: 20s}, l3: {after: 40s}}\n"
POINTS = ("page.due", "page.intended", "page.sent", "page.delivered")


@pytest.mark.req("R3", "B3")
@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_every_point_of_every_level(
    monkeypatch: pytest.MonkeyPatch, point: str, level: str, keyed: bool
) -> None:
    first, second = MemoryProvider(keyed=keyed), MemoryProvider()
    ward = Ward(PROFILE, pagerduty=first, slack=second)
    monkeypatch.setattr(pager_module, "crashpoint", ward.crashpoint)
    ward.open()
    place = {"L1": 0, "L2": 1, "L3": 3}[level]  # so many pages before it
    ward.kill_at = 4 * place + POINTS.index(point) + 1
    await ward.run(70)
    assert ward.kill_at == 0, "it was never killed"
    who = sorted((p.level, p.role.value) for p in ward.pages)
    everybody = sorted([*(("L1", r) for r in L1), *(("L2", r) for r in L2), *(("L3", r) for r in L3)])
    if keyed or point in ("page.due", "page.delivered"):
        assert who == everybody
        assert second.pages == []
    else:
        # sent or not: without a key nobody can know, and the next channel covers it; never silence
        assert set(who) == set(everybody)
        counted = {p.key: 1 for p in first.pages}
        assert len(counted) == len(first.pages), "the channel without a key sent one page twice"
    assert all(20 <= t <= 22 for t in [*ward.at("L2")])
    assert all(40 <= t <= 42 for t in [*ward.at("L3")])


Act = tuple[str, float]
acts = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 15)),
        st.tuples(st.just("down"), st.integers(1, 60)),
        st.tuples(st.just("jump"), st.sampled_from([2.0, -2.0, 0.01, -0.01])),
        st.tuples(st.just("kill"), st.integers(1, 12)),
        st.tuples(st.just("provider"), st.sampled_from([0, 1, 2, 3, 4])),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=12,
)
WAYS = ("accept", "down", "busy", "cut", "refuse")


async def play(ward: Ward, script: list[Act]) -> None:
    for what, how in script:
        match what:
            case "run":
                await ward.run(how)
            case "down":
                await ward.down(how)
            case "jump":
                ward.jump(how)
            case "kill":
                ward.kill_at = len(ward.points) + int(how)
            case "provider":
                ward.providers["pagerduty"].way = WAYS[int(how)]
            case "restart":
                await ward.restart()
            case "reboot":
                ward.clock.reboot()
                await ward.restart()


@pytest.mark.req("R3", "B3")
@settings(max_examples=150, deadline=None)
@given(script=acts)
async def test_each_level_is_paged_exactly_once_whatever_happens(script: list[Act]) -> None:
    """One keyed channel; in the end it works again."""
    ward = Ward(PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pager_module, "crashpoint", ward.crashpoint)
        ward.open()
        await play(ward, script)
        ward.providers["pagerduty"].way, ward.kill_at = "accept", 0
        await ward.run(180)
    for level, people in (("L1", L1), ("L2", L2), ("L3", L3)):
        assert sorted(ward.paged(level)) == sorted(people), level
    assert ward.paged("L4") == []
    assert min(ward.at("L2")) >= 20
    assert min(ward.at("L3")) >= 40


@pytest.mark.req("R3")
@settings(max_examples=80, deadline=None)
@given(
    script=st.lists(
        st.one_of(
            st.tuples(st.just("run"), st.integers(1, 15)),
            st.tuples(st.just("jump"), st.sampled_from([2.0, -2.0])),
            st.tuples(st.just("kill"), st.integers(1, 12)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=10,
    )
)
async def test_with_the_daemon_up_and_the_provider_well_each_level_comes_at_its_time(script: list[Act]) -> None:
    ward = Ward(PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pager_module, "crashpoint", ward.crashpoint)
        ward.open()
        await play(ward, script)
        ward.kill_at = 0
        await ward.run(60)
    restarts = sum(what in ("kill", "restart") for what, _ in script)
    for level, start in (("L1", 0), ("L2", 20), ("L3", 40)):
        assert all(start <= t <= start + 1 + restarts for t in ward.at(level)), (level, ward.at(level))


@pytest.mark.req("R3", "B3")
@settings(max_examples=80, deadline=None)
@given(
    script=st.lists(
        st.one_of(
            st.tuples(st.just("run"), st.integers(1, 15)),
            st.tuples(st.just("down"), st.integers(1, 60)),
            st.tuples(st.just("jump"), st.sampled_from([2.0, -2.0])),
            st.tuples(st.just("reboot"), st.just(0)),
            st.tuples(st.just("kill"), st.integers(1, 12)),
        ),
        max_size=10,
    )
)
async def test_machines_that_start_anew_with_wrong_clocks_skip_no_level_and_repeat_none(script: list[Act]) -> None:
    """Only its time can be wrong then: early after a clock that is ahead, never later than the record allows."""
    ward = Ward(PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pager_module, "crashpoint", ward.crashpoint)
        ward.open()
        await play(ward, script)
        ward.kill_at = 0
        await ward.run(60)
    for level, people in (("L1", L1), ("L2", L2), ("L3", L3)):
        assert sorted(ward.paged(level)) == sorted(people), level


@pytest.mark.req("R2")
@settings(max_examples=60, deadline=None)
@given(ways=st.lists(st.sampled_from(["accept", *WAYS[1:], "hang"]), min_size=1, max_size=6), keyed=st.booleans())
async def test_it_is_never_silent_while_one_of_two_channels_works(ways: list[str], keyed: bool) -> None:
    """The primary answers differently each time; the second one works."""
    answers = itertools.cycle(ways)
    first, second = MemoryProvider(keyed=keyed, way=lambda _: next(answers)), MemoryProvider()
    ward = Ward(PROFILE, pagerduty=first, slack=second)
    ward.open()
    await ward.run(70)
    for level, people in (("L1", L1), ("L2", L2), ("L3", L3)):
        assert set(ward.paged(level)) == people
    keys = [p.key for p in first.pages]
    assert len(set(keys)) == len(keys)
