"""Feature flags in memory: a store of its own, and clients without state."""

from collections.abc import Mapping

from codeblue.adapters.flag_change import planned, wanted_of
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import CodeBlueError
from codeblue.model.flag import FlagValue, Stored
from codeblue.ports.clock import Clock


class MemoryFlagStore:
    """Keeps `ports.flags.FlagStore`.

    Attributes:
        values: what is stored.
        failing: raised by each read and write, where it is set.
        deaf: writes are accepted, and nothing is changed.
        writes: each accepted write.
    """

    place = "flags in memory"

    def __init__(self, clock: Clock, values: Mapping[str, FlagValue]) -> None:
        self.values: dict[str, Stored] = {name: Stored(value) for name, value in values.items()}
        self.failing: CodeBlueError | None = None
        self.deaf = False
        self.writes: list[dict[str, FlagValue]] = []
        self._clock = clock

    async def read(self, names: tuple[str, ...]) -> Mapping[str, Stored]:
        """See `FlagStore.read`."""
        if self.failing is not None:
            raise self.failing
        return {name: self.values.get(name, Stored(None, "it is deleted")) for name in names}

    def change(self, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
        """See `FlagStore.change`."""
        return planned(self.place, seen, wanted)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `FlagStore.apply`."""
        if self.failing is not None:
            raise self.failing
        new = wanted_of(change)
        self.writes.append(new)
        if not self.deaf:
            self.values |= {name: Stored(value) for name, value in new.items()}
        return Receipt(change.summary, f"{len(self.writes)} writes", self._clock.now())

    async def close(self) -> None:
        """See `FlagStore.close`."""
