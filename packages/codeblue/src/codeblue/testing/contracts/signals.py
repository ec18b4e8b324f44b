"""The contract of `ports.signals.Signals`.

A subclass gives the fixtures that raise `NotImplementedError` here.
"""
# ruff: noqa: S101 - a contract suite is made of asserts

import time
from collections.abc import Sequence

import pytest

from codeblue.model.signal import Sampling
from codeblue.ports.platform import Place
from codeblue.ports.signals import Signals


def assert_well_formed(sampling: Sampling) -> None:
    """What holds of every sampling: one reading of a pod for each moment, oldest first, no value that is no count."""
    moments = [(r.pod, r.at_s) for r in sampling.readings]
    assert len(set(moments)) == len(moments)
    assert [at_s for _, at_s in moments] == sorted(at_s for _, at_s in moments)
    for reading in sampling.readings:
        values = (
            *(reading.requests, reading.errors, reading.ai_calls, reading.ai_failures),
            *(reading.working_set_bytes, reading.memory_limit_bytes, reading.oom_kills),
            *(count for _, count in reading.buckets),
        )
        assert all(value is None or 0 <= value < float("inf") for value in values)
        bounds = [bound for bound, _ in reading.buckets]
        assert bounds == sorted(bounds) and (not bounds or bounds[-1] == float("inf"))
    assert all(why and "\n" not in why for why in sampling.unknown.values())


class SignalsContract:
    """Subclass it as `class TestX(SignalsContract)`."""

    @pytest.fixture
    def signals(self) -> Signals:
        """The adapter under test, with a source that answers."""
        raise NotImplementedError

    @pytest.fixture
    def pods(self) -> Sequence[Place]:
        """Pods that the source knows, at least one."""
        raise NotImplementedError

    @pytest.fixture
    def dead(self) -> Signals:
        """The adapter with a source that does not answer."""
        raise NotImplementedError

    @pytest.fixture
    def limit_s(self) -> float:
        """A time within which `dead` has to be through: its own limit and a little more."""
        return 10.0

    async def test_the_pods_are_read(self, signals: Signals, pods: Sequence[Place]) -> None:
        sampling = await signals.sample(pods)
        assert_well_formed(sampling)
        assert {r.pod for r in sampling.readings} == {place.name.removeprefix("pod/") for place in pods}
        assert sampling.unknown == {}

    async def test_a_later_look_goes_on(self, signals: Signals, pods: Sequence[Place]) -> None:
        first, second = await signals.sample(pods), await signals.sample(pods)
        assert second.at_s >= first.at_s
        for pod in {r.pod for r in first.readings}:
            assert max(r.at_s for r in second.readings if r.pod == pod) >= max(
                r.at_s for r in first.readings if r.pod == pod
            )

    @pytest.mark.req("B5")
    async def test_a_source_that_does_not_answer_is_unknown_in_time(
        self, dead: Signals, pods: Sequence[Place], limit_s: float
    ) -> None:
        began = time.monotonic()
        sampling = await dead.sample(pods)
        assert time.monotonic() - began < limit_s
        assert_well_formed(sampling)
        assert sampling.readings == ()
        assert sampling.unknown

    async def test_it_can_be_closed_twice(self, signals: Signals) -> None:
        await signals.close()
        await signals.close()
