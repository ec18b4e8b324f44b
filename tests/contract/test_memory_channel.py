"""The channel in memory keeps the contract of channels, keyed or not."""

from collections.abc import Sequence

import pytest

from codeblue.model.incident import Role
from codeblue.model.page import Page
from codeblue.testing.clock import VirtualClock
from codeblue.testing.contracts.channel import Answer, ChannelContract, Received, Way
from codeblue.testing.memory_channel import MemoryChannel, MemoryProvider


def text(page: Page) -> str:
    return f"{page.summary}\n{page.next_step}"


class TestKeyed(ChannelContract):
    keyed = True

    @pytest.fixture
    def provider(self) -> MemoryProvider:
        return MemoryProvider(keyed=self.keyed)

    @pytest.fixture
    def channel(self, provider: MemoryProvider) -> MemoryChannel:
        return MemoryChannel(provider, VirtualClock(), roles={Role.ON_CALL})

    @pytest.fixture
    def again(self, provider: MemoryProvider) -> MemoryChannel:
        return MemoryChannel(provider, VirtualClock(), roles={Role.ON_CALL})

    @pytest.fixture
    def answer(self, provider: MemoryProvider) -> Answer:
        def answer(way: Way) -> None:
            provider.way = way.value

        return answer

    @pytest.fixture
    def received(self, provider: MemoryProvider) -> Received:
        def received() -> Sequence[str]:
            return [text(p) for p in provider.pages]

        return received


class TestUnkeyed(TestKeyed):
    keyed = False
