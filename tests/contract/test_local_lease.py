"""LocalLease: the shared contract on virtual time, and what a file can do to it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from codeblue.adapters.local import store
from codeblue.adapters.local.files import Layout, locked, write_json
from codeblue.adapters.local.lease import LocalLease
from codeblue.adapters.local.state import new_state, to_json
from codeblue.adapters.local.template import read_template
from codeblue.model.errors import NotFound, Unreachable
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.lease import LeaseContract


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workload that was never started: the lease needs its state alone."""
    layout = Layout(tmp_path / "home")
    layout.make()
    template = read_template({"command": ["true"]})
    at = datetime(2026, 1, 5, tzinfo=UTC)
    state = new_state("api", template, replicas=1, health_path="/", service_port=1, at=at)
    write_json(layout.state, to_json(state))
    return layout.directory


class TestLocalLease(LeaseContract):
    @pytest.fixture
    def duration_s(self) -> float:
        return 15.0

    @pytest.fixture
    def lease(self, home: Path, clock: VirtualClock) -> LocalLease:
        return LocalLease(home, clock)

    @pytest.fixture
    def rival(self, home: Path, clock: VirtualClock) -> LocalLease:
        return LocalLease(home, clock)

    @pytest.fixture
    def pause(self, clock: VirtualClock):
        return clock.sleep

    @pytest.fixture
    def monotonic(self, clock: VirtualClock):
        return clock.monotonic

    @pytest.fixture
    def stamped(self, home: Path):
        async def stamped() -> int:
            return store.load(Layout(home)).epoch

        return stamped


async def test_the_epoch_goes_on_when_somebody_removes_the_lease(home: Path, clock: VirtualClock) -> None:
    lease = LocalLease(home, clock)
    first = await lease.acquire("a")
    Layout(home).lease.unlink()
    assert (await lease.acquire("b")).epoch == first.epoch + 1


async def test_a_jump_of_the_time_of_day_ends_no_lease(home: Path, clock: VirtualClock) -> None:
    from datetime import timedelta

    lease = LocalLease(home, clock)
    fence = await lease.acquire("a")
    clock.jump(timedelta(days=400))
    await lease.renew(fence)
    clock.jump(timedelta(days=-800))
    await lease.renew(fence)


async def test_a_damaged_lease_is_said_with_its_remedy(home: Path, clock: VirtualClock) -> None:
    Layout(home).lease.write_text('{"holder": "a"}')
    with pytest.raises(Unreachable, match="damaged") as refused:
        await LocalLease(home, clock).acquire("b")
    assert "remove it" in refused.value.remedy


async def test_a_lock_that_is_never_freed_is_unreachable_not_a_hang(
    home: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codeblue.adapters.local.lease.locked", lambda path: locked(path, timeout_s=0.1))
    with locked(Layout(home).lock), pytest.raises(Unreachable, match="held"):
        await LocalLease(home, clock).acquire("a")


async def test_without_a_workload_there_is_nothing_to_hold(tmp_path: Path, clock: VirtualClock) -> None:
    with pytest.raises(NotFound):
        await LocalLease(tmp_path / "nowhere", clock).acquire("a")
