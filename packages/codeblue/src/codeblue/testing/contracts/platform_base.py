"""What a subclass of the platform's contract gives, and the words that the contract is written in."""
# ruff: noqa: S101 - a contract suite is made of asserts

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

import pytest

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Conflict
from codeblue.model.release import Mark, Revision, Standing, Template, Workload
from codeblue.ports.platform import Platform

Settled = Callable[[], Awaitable[Workload]]
NewFence = Callable[[], Awaitable[Fence]]
Pause = Callable[[float], Awaitable[None]]

_numbers = itertools.count(1)


class Deploy(Protocol):
    """What a release pipeline does: put a template in force, by its version and the name of its secret reference."""

    async def __call__(self, version: str, *, reference: str = "token-a") -> None: ...


def version() -> str:
    """A version that no test used before."""
    return f"9.0.{next(_numbers)}"


def digest() -> str:
    """A release digest that no template has."""
    return f"{next(_numbers):064x}"


def good(why: str = "healthy for 300 s of 300 s") -> Mark:
    """A mark as the watch writes it."""
    return Mark(Standing.KNOWN_GOOD, datetime(2026, 1, 5, 3, 0, tzinfo=UTC), "watch", why)


async def revision_of(platform: Platform, template: Template) -> Revision:
    """The one entry of the history that has exactly this template."""
    found = [r for r in await platform.history() if r.template.exact == template.exact]
    assert len(found) == 1, f"{template.label} is in the history {len(found)} times"
    return found[0]


def assert_settled(seen: Workload) -> None:
    """All replicas are those of the template in force, ready, and nothing else is left."""
    assert seen.observed_generation == seen.generation
    assert (seen.total, seen.updated, seen.available) == (seen.desired,) * 3
    assert len(seen.live_pods) == seen.desired
    assert {p.template for p in seen.live_pods} == {seen.template.exact}
    assert {p.release for p in seen.live_pods} == {seen.template.release}
    assert all(p.ready and not p.trouble and p.uid for p in seen.live_pods)
    assert not seen.stalled


async def back_to(platform: Platform, old: Template, *, at_once: bool = False) -> tuple[Change, Workload]:
    """The change from what is there now to `old`, and what is there now."""
    seen = await platform.observe()
    return platform.replace_template(seen, old, {}, at_once=at_once, run="run-contract"), seen


async def apply_fresh(
    platform: Platform, derive: Callable[[Workload], Change | None], right: Fence
) -> tuple[Change, Workload, Receipt]:
    """Observe, derive a change and apply it; a controller's own writes may come between, as in real use."""
    for attempt in itertools.count(1):
        seen = await platform.observe()
        change = derive(seen)
        assert change is not None
        try:
            return change, seen, await platform.apply(change, right)
        except Conflict:
            if attempt == 10:
                raise
    raise AssertionError("unreachable")


async def go_back(
    platform: Platform, old: Template, right: Fence, *, at_once: bool = False
) -> tuple[Change, Workload, Receipt]:
    """Replace the template in force by `old`."""
    return await apply_fresh(
        platform, lambda seen: platform.replace_template(seen, old, {}, at_once=at_once, run="run-contract"), right
    )


class PlatformFixtures:
    """The fixtures of `PlatformContract`; the first five have to be given."""

    @pytest.fixture
    def platform(self) -> Platform:
        """The adapter under test, on a settled workload whose secret reference is called "token-a"."""
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> Platform:
        """A second client of the same workload, that shares no memory with the first."""
        raise NotImplementedError

    @pytest.fixture
    def deploy(self) -> Deploy:
        """Deploys as a pipeline would: without our fence, in place of whatever is there."""
        raise NotImplementedError

    @pytest.fixture
    def settled(self) -> Settled:
        """Waits, with a deadline, until the rollout is complete and only its pods are left; returns what it saw."""
        raise NotImplementedError

    @pytest.fixture
    def fence(self) -> NewFence:
        """Begins a new epoch, stamps it on the workload and returns the right to act in it."""
        raise NotImplementedError

    @pytest.fixture
    def deploy_broken(self) -> Deploy:
        """Deploys a template whose pods never become ready. Skipped where the adapter's tests cannot do that."""
        pytest.skip("no broken release can be deployed here")

    @pytest.fixture
    def pause(self) -> Pause:
        """Waits on the clock that the workload's controller lives by; real seconds unless overridden."""
        return asyncio.sleep
