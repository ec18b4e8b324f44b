"""The flags in memory keep their port's contract."""

from collections.abc import Callable

import pytest

from codeblue.model.errors import Unreachable
from codeblue.model.flag import Stored
from codeblue.ports.flags import FlagStore
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.flags import ON, OTHER, FlagStoreContract, Harm
from codeblue.testing.memory_flags import MemoryFlagStore


class TestMemoryFlags(FlagStoreContract):
    """See the module."""

    @pytest.fixture
    def store(self) -> FlagStore:
        self.flags = MemoryFlagStore(VirtualClock(), {**ON, OTHER: True})
        return self.flags

    @pytest.fixture
    def evaluated(self, store: FlagStore) -> Callable[[str], object]:
        return lambda name: self.flags.values[name].value

    @pytest.fixture
    def harm(self, store: FlagStore) -> Callable[[str, Harm], None]:
        def do(name: str, how: Harm) -> None:
            self.flags.values[name] = Stored(None, f"it is {how}")

        return do

    @pytest.fixture
    def down(self, store: FlagStore) -> Callable[[], None]:
        def do() -> None:
            self.flags.failing = Unreachable("It does not answer.")

        return do
