"""The contract of `ports.flags.FlagStore`.

A subclass gives the fixtures that raise `NotImplementedError` here. What is stored is read and damaged at the store
itself, by its own tools, never through the adapter.
"""
# ruff: noqa: S101 - a contract suite is made of asserts

from collections.abc import Callable, Mapping
from enum import StrEnum

import pytest

from codeblue.model.change import Fence
from codeblue.model.errors import Unreachable
from codeblue.model.flag import FlagValue, Stored
from codeblue.ports.flags import FlagStore

SWITCH, SHARE, OTHER = "ai_diagnostics_enabled", "ai_diagnostics_rollout", "somebody_elses"
NAMES = (SWITCH, SHARE)
ON: Mapping[str, FlagValue] = {SWITCH: True, SHARE: 100}
OFF: Mapping[str, FlagValue] = {SWITCH: False, SHARE: 0}
FENCE = Fence("contract", 1)


class Harm(StrEnum):
    """What somebody did to a flag, so that it has no value that everybody gets."""

    DELETED = "deleted"
    DISABLED = "disabled"
    TARGETED = "targeted"


class FlagStoreContract:
    """Subclass it as `class TestX(FlagStoreContract)` and give the fixtures that raise `NotImplementedError`."""

    #: What can happen to a flag of this store; tests of the others say that they do not apply.
    harms: frozenset[Harm] = frozenset(Harm)

    @pytest.fixture
    def store(self) -> FlagStore:
        """The adapter under test; the store has `ON`, and OTHER, which is on."""
        raise NotImplementedError

    @pytest.fixture
    def evaluated(self) -> Callable[[str], object]:
        """What a client of the store gets for a flag, by the store's own evaluation; None for a code default."""
        raise NotImplementedError

    @pytest.fixture
    def harm(self) -> Callable[[str, Harm], None]:
        """Do that to a flag, by the store's own means."""
        raise NotImplementedError

    @pytest.fixture
    def down(self) -> Callable[[], None]:
        """From now on the store does not answer."""
        raise NotImplementedError

    async def test_what_is_stored_is_read(self, store: FlagStore) -> None:
        assert await store.read(NAMES) == {SWITCH: Stored(value=True), SHARE: Stored(100)}

    async def test_off_is_off_for_a_client_and_another_flag_keeps_its_value(
        self, store: FlagStore, evaluated: Callable[[str], object]
    ) -> None:
        await _set(store, OFF)
        assert [evaluated(SWITCH), evaluated(SHARE), evaluated(OTHER)] == [False, 0, True]
        assert await store.read(NAMES) == {SWITCH: Stored(value=False), SHARE: Stored(0)}

    async def test_and_back_to_exactly_what_was(self, store: FlagStore, evaluated: Callable[[str], object]) -> None:
        await _set(store, {SWITCH: True, SHARE: 30})
        await _set(store, OFF)
        await _set(store, {SWITCH: True, SHARE: 30})
        assert [evaluated(SWITCH), evaluated(SHARE)] == [True, 30]
        assert await store.read(NAMES) == {SWITCH: Stored(value=True), SHARE: Stored(30)}

    async def test_what_holds_is_no_change_and_what_is_sent_twice_changes_nothing(self, store: FlagStore) -> None:
        assert store.change(await store.read(NAMES), ON) is None
        change = store.change(await store.read(NAMES), OFF)
        assert change is not None
        assert SWITCH in change.summary
        await store.apply(change, FENCE)
        assert store.change(await store.read(NAMES), OFF) is None

    @pytest.mark.done("5.2")
    @pytest.mark.parametrize("how", list(Harm))
    async def test_a_flag_that_is_not_off_for_everybody_is_never_said_to_be_off(
        self, store: FlagStore, harm: Callable[[str, Harm], None], evaluated: Callable[[str], object], how: Harm
    ) -> None:
        if how not in self.harms:
            pytest.skip(f"a flag of this store cannot be {how}")
        harm(SWITCH, how)
        seen = await store.read(NAMES)
        assert seen[SWITCH].value is None
        assert seen[SWITCH].why
        assert seen[SHARE] == Stored(100)
        await _set(store, OFF)
        assert evaluated(SWITCH) is False
        assert (await store.read(NAMES))[SWITCH] == Stored(value=False)

    async def test_a_store_that_does_not_answer_is_unreachable(
        self, store: FlagStore, down: Callable[[], None]
    ) -> None:
        change = store.change(await store.read(NAMES), OFF)
        assert change is not None
        down()
        with pytest.raises(Unreachable):
            await store.read(NAMES)
        with pytest.raises(Unreachable):
            await store.apply(change, FENCE)


async def _set(store: FlagStore, wanted: Mapping[str, FlagValue]) -> None:
    change = store.change(await store.read(tuple(wanted)), wanted)
    assert change is not None
    receipt = await store.apply(change, FENCE)
    assert receipt.change == change.summary
