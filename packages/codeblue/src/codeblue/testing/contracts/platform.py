"""The contract of `ports.platform.Platform`.

A subclass gives the fixtures of `PlatformFixtures` that raise `NotImplementedError`. The workload must have at least
two replicas; it may be a fresh one for each test, or one that all tests of the class share: the suite deploys versions
that it never used before and waits before it judges.
"""
# ruff: noqa: S101 - a contract suite is made of asserts

import asyncio
from datetime import UTC, datetime

import pytest

from codeblue.model.errors import Conflict, LeaseLost
from codeblue.model.release import Mark, Standing
from codeblue.ports.platform import Platform
from codeblue.testing.contracts.platform_base import (
    Deploy,
    NewFence,
    Pause,
    PlatformFixtures,
    Settled,
    apply_fresh,
    assert_settled,
    back_to,
    digest,
    go_back,
    good,
    revision_of,
    version,
)


class PlatformContract(PlatformFixtures):
    """Subclass it as `class TestX(PlatformContract)` and give the first five fixtures."""

    # -- seeing

    async def test_a_settled_workload_is_seen_whole(self, platform: Platform, settled: Settled) -> None:
        seen = await settled()
        assert_settled(seen)
        assert seen.desired >= 2, "the suite needs two replicas"
        assert seen.name and seen.uid and seen.version and platform.target
        assert seen.template.images
        assert len({p.uid for p in seen.pods}) == len(seen.pods)
        for pod in seen.pods:
            assert pod.running_since is None or pod.running_since.tzinfo is not None

    async def test_two_clients_see_the_same(self, platform: Platform, other: Platform, settled: Settled) -> None:
        await settled()
        one, two = await platform.observe(), await other.observe()
        assert (one.uid, one.template, one.generation, one.epoch) == (two.uid, two.template, two.generation, two.epoch)
        assert platform.target == other.target

    async def test_a_deployment_of_the_pipeline_is_seen_at_once(
        self, platform: Platform, deploy: Deploy, settled: Settled
    ) -> None:
        before = await settled()
        await deploy(new := version())
        seen = await platform.observe()
        assert seen.template.version == new
        assert seen.version != before.version
        assert seen.generation == before.generation + 1
        assert_settled(await settled())

    async def test_digests_are_the_same_in_observation_history_and_pods(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled
    ) -> None:
        await deploy(version())
        seen = await settled()
        history = await other.history()
        current = [r for r in history if r.current]
        assert [r.template for r in current] == [seen.template]
        assert history[0].current, "newest first"
        assert [r.number for r in history] == sorted((r.number for r in history), reverse=True)
        await deploy(version())
        assert (await revision_of(platform, seen.template)).template == seen.template

    # -- changing

    @pytest.mark.req("R11")
    async def test_going_back_yields_pods_of_exactly_that_template(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled, fence: NewFence
    ) -> None:
        await deploy(version())
        old = (await settled()).template
        await deploy(version())
        bad = await settled()
        right = await fence()
        wanted = (await revision_of(platform, old)).template
        _, seen, receipt = await go_back(platform, wanted, right)
        assert receipt.accepted and receipt.at.tzinfo is not None
        after = await settled()
        assert_settled(after)
        assert after.template == wanted == old
        assert after.generation == seen.generation + 1
        assert not {p.uid for p in after.pods} & {p.uid for p in bad.pods}
        assert (await revision_of(other, old)).current
        assert not (await revision_of(other, bad.template)).current

    @pytest.mark.req("B3")
    async def test_the_same_change_twice_is_refused(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled, fence: NewFence
    ) -> None:
        old = (await settled()).template
        await deploy(version())
        right = await fence()
        change, seen, _ = await go_back(platform, old, right)
        for client in (platform, other):
            with pytest.raises(Conflict):
                await client.apply(change, right)
        assert (await platform.observe()).generation == seen.generation + 1

    @pytest.mark.req("B3")
    async def test_of_two_at_the_same_time_one_is_refused(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled, fence: NewFence
    ) -> None:
        old = (await settled()).template
        await deploy(version())
        await settled()
        right = await fence()
        change, seen = await back_to(platform, old)
        results = await asyncio.gather(
            platform.apply(change, right), other.apply(change, right), return_exceptions=True
        )
        assert sorted(isinstance(r, Conflict) for r in results) == [False, True], results
        assert (await platform.observe()).generation == seen.generation + 1

    @pytest.mark.req("B3")
    async def test_a_change_of_an_old_observation_is_refused(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled, fence: NewFence
    ) -> None:
        old = (await settled()).template
        await deploy(version())
        right = await fence()
        change, _ = await back_to(platform, old)
        await deploy(newest := version())
        with pytest.raises(Conflict):
            await platform.apply(change, right)
        assert (await platform.observe()).template.version == newest

    @pytest.mark.req("B3")
    @pytest.mark.defect("D7")
    async def test_a_former_epoch_is_refused(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled, fence: NewFence
    ) -> None:
        old = (await settled()).template
        await deploy(version())
        bad = await platform.observe()
        former, latest = await fence(), await fence()
        assert latest.epoch > former.epoch
        change, seen = await back_to(platform, old)
        assert seen.epoch == latest.epoch
        with pytest.raises(LeaseLost):
            await platform.apply(change, former)
        assert (await other.observe()).template == bad.template
        await go_back(platform, old, latest)
        assert (await other.observe()).template == old

    async def test_a_new_epoch_voids_what_was_seen_before_it(
        self, platform: Platform, settled: Settled, fence: NewFence
    ) -> None:
        former = await fence()
        seen = await settled()
        change = platform.mark(seen, {digest(): good()})
        assert change is not None
        await fence()
        with pytest.raises((LeaseLost, Conflict)):
            await platform.apply(change, former)

    async def test_a_change_is_data_that_depends_on_its_inputs_alone(
        self, platform: Platform, deploy: Deploy, settled: Settled
    ) -> None:
        old = (await settled()).template
        await deploy(version())
        seen = await platform.observe()
        changes = {
            platform.replace_template(seen, old, {old.release: good()}, at_once=True, run="run-a") for _ in range(3)
        }
        assert len(changes) == 1
        change = changes.pop()
        assert change.precondition == seen.version
        assert change.kind and change.target and change.summary
        assert (await platform.observe()).template == seen.template, "nothing is sent before apply"

    async def test_generation_grows_by_exactly_one_for_each_template(
        self, platform: Platform, deploy: Deploy, settled: Settled
    ) -> None:
        start = (await settled()).generation
        for count in (1, 2):
            await deploy(version())
            assert (await platform.observe()).generation == start + count
        assert (await settled()).observed_generation == start + 2

    # -- all at once

    async def test_all_at_once_keeps_the_strategy_and_puts_it_back(
        self, platform: Platform, other: Platform, deploy: Deploy, settled: Settled, fence: NewFence
    ) -> None:
        first = await settled()
        assert platform.restore_strategy(first) is None
        await deploy(version())
        second = await platform.observe()
        assert second.surged == ""
        right = await fence()
        await go_back(platform, first.template, right, at_once=True)
        surged = await settled()
        assert_settled(surged)
        assert surged.template == first.template
        assert surged.surged
        # once more: what was kept must not be overwritten by the strategy of the emergency
        await go_back(platform, second.template, right, at_once=True)
        again = await settled()
        assert again.surged == surged.surged
        await apply_fresh(other, other.restore_strategy, right)
        restored = await settled()
        assert restored.surged == ""
        assert restored.strategy == first.strategy
        assert platform.restore_strategy(restored) is None
        assert {p.uid for p in restored.live_pods} == {p.uid for p in again.live_pods}, "no pod is replaced by that"

    # -- marks

    @pytest.mark.req("B2")
    async def test_marks_survive_and_another_client_finds_them(
        self, platform: Platform, other: Platform, deploy: Deploy, fence: NewFence
    ) -> None:
        await deploy(version())
        release = (seen := await platform.observe()).template.release
        assert seen.standing(seen.template) is Standing.UNPROVEN
        right = await fence()
        marks = {release: good()}
        _, before, _ = await apply_fresh(platform, lambda seen: platform.mark(seen, marks), right)
        marked = await other.observe()
        assert marked.marks[release] == good()
        assert other.mark(marked, marks) is None
        assert marked.template == before.template, "a mark is no new specification"
        await deploy(version())
        assert (await other.observe()).standing(seen.template) is Standing.KNOWN_GOOD

    @pytest.mark.req("B2")
    async def test_a_release_is_quarantined_in_the_very_change_that_replaces_it(
        self, platform: Platform, other: Platform, deploy: Deploy, fence: NewFence
    ) -> None:
        old = (await platform.observe()).template
        await deploy(version())
        right = await fence()
        release = (await platform.observe()).template.release
        at = datetime(2026, 1, 5, 3, 15, 2, tzinfo=UTC)
        bad = {release: Mark(Standing.BAD, at, "run-contract", "4 consecutive failures > 3")}
        await apply_fresh(
            platform, lambda s: platform.replace_template(s, old, bad, at_once=False, run="run-contract"), right
        )
        after = await other.observe()
        assert after.template == old
        assert after.marks[release] == bad[release]

    # -- secrets

    @pytest.mark.req("R11")
    @pytest.mark.defect("D15")
    async def test_going_back_takes_todays_secret_reference_never_yesterdays(
        self, platform: Platform, deploy: Deploy
    ) -> None:
        old, new = version(), version()
        await deploy(old, reference="token-a")
        yesterday = (await platform.observe()).template
        await deploy(old, reference="token-b")
        rotated = (await platform.observe()).template
        assert rotated.release == yesterday.release, "a rotated secret keeps the release"
        assert rotated.exact != yesterday.exact
        await deploy(new, reference="token-b")
        today = (await platform.observe()).template
        assert today.release != yesterday.release
        overlaid = await platform.overlay(yesterday, today)
        assert overlaid.template.release == yesterday.release
        assert overlaid.template.exact == rotated.exact
        assert overlaid.notes, "what was replaced is said"
        same = await platform.overlay(rotated, today)
        assert same.template == rotated

    # -- traffic and resources

    async def test_routing_lists_only_live_pods(self, platform: Platform, deploy: Deploy, settled: Settled) -> None:
        gone = {p.name for p in (await settled()).pods}
        await deploy(version())
        live = {p.name for p in (await settled()).live_pods}
        routing = await platform.routing()
        assert {place.name for place in routing.pods} == {f"pod/{name}" for name in live}
        assert set(routing.backends) <= live
        assert not gone & set(routing.backends)
        assert routing.strangers == ()
        places = (*routing.pods, *([routing.service] if routing.service else []))
        assert all(place.url and not place.url.endswith("/") for place in places)

    async def test_a_pod_on_its_way_out_is_no_place_to_probe(
        self, platform: Platform, deploy: Deploy, settled: Settled, pause: Pause
    ) -> None:
        before = {p.name for p in (await settled()).pods}
        await deploy(version())
        for _ in range(600):
            seen = await platform.observe()
            leaving = {p.name for p in seen.pods if p.terminating}
            routing = await platform.routing()
            assert not {f"pod/{name}" for name in leaving} & {place.name for place in routing.pods}
            if not before & {p.name for p in seen.live_pods}:
                break
            await pause(0.1)
        await settled()

    async def test_usage_is_of_live_pods(self, platform: Platform, settled: Settled) -> None:
        live = {p.name for p in (await settled()).live_pods}
        usage = await platform.usage()
        if usage is not None:
            assert {u.pod for u in usage} <= live
            assert all(u.cpu_cores >= 0 and u.memory_bytes > 0 for u in usage)

    @pytest.mark.req("R7")
    async def test_facts_are_of_all_live_pods_and_what_is_unknown_is_none(
        self, platform: Platform, settled: Settled
    ) -> None:
        live = {p.name: p for p in (await settled()).live_pods}
        facts = await platform.facts()
        assert sorted(f.pod for f in facts) == sorted(live)
        for fact in facts:
            assert fact.restarts == live[fact.pod].restarts
            assert fact.oom_kills is None or fact.oom_kills >= 0
            assert fact.memory_bytes is None or fact.memory_bytes > 0
            assert fact.memory_limit is None or fact.memory_limit > 0

    async def test_room_comes_with_its_arithmetic(self, platform: Platform, settled: Settled) -> None:
        seen = await settled()
        room = await platform.room(seen.template, seen.desired)
        assert room.fits in (True, False, None)
        assert room.why

    @pytest.mark.req("R7")
    async def test_one_pod_is_replaced_by_another_of_the_same_template(
        self, platform: Platform, settled: Settled, fence: NewFence
    ) -> None:
        right = await fence()
        before = await settled()
        ill = before.live_pods[0]
        change = platform.replace_pod(before, ill)
        assert change is not None and ill.name in change.summary
        await apply_fresh(platform, lambda seen: platform.replace_pod(seen, ill), right)
        seen = await platform.observe()
        assert ill.uid not in {p.uid for p in seen.live_pods}, "it is on its way out at once"
        assert platform.replace_pod(seen, ill) is None
        after = await settled()
        assert_settled(after)
        assert after.template == before.template
        assert after.generation == before.generation
        stayed = {p.uid for p in before.live_pods} - {ill.uid}
        assert stayed <= {p.uid for p in after.live_pods}, "the others were left alone"

    @pytest.mark.req("R7", "B3")
    async def test_a_former_holder_ends_no_pod(
        self, platform: Platform, other: Platform, settled: Settled, fence: NewFence
    ) -> None:
        old = await fence()
        await fence()
        before = await settled()
        change = platform.replace_pod(before, before.live_pods[0])
        assert change is not None
        with pytest.raises(LeaseLost):
            await platform.apply(change, old)
        assert {p.uid for p in (await other.observe()).live_pods} == {p.uid for p in before.live_pods}

    # -- trouble

    @pytest.mark.req("R11")
    async def test_a_release_that_never_gets_ready_is_seen_and_left(
        self, platform: Platform, deploy_broken: Deploy, settled: Settled, fence: NewFence, pause: Pause
    ) -> None:
        before = await settled()
        await deploy_broken(version())
        stuck = await platform.observe()
        for _ in range(600):
            if stuck.updated:
                break
            await pause(0.1)
            stuck = await platform.observe()
        started = [p for p in stuck.live_pods if p.template == stuck.template.exact]
        assert started, "the controller started no pod of the new template within 60 s"
        assert not any(p.ready for p in started)
        assert stuck.available >= before.desired - 1, "those that serve stay"
        right = await fence()
        await go_back(platform, before.template, right)
        after = await settled()
        assert_settled(after)
        assert after.template == before.template

    async def test_close_may_be_called_twice(self, other: Platform) -> None:
        await other.close()
        await other.close()
