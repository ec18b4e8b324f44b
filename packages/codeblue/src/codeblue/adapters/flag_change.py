"""What the adapters of `ports.flags.FlagStore` share: what is still to be written, as data. No I/O."""

import json
from collections.abc import Mapping

from codeblue.model.change import Change
from codeblue.model.flag import FlagValue, Stored, same, spoken


class Seen(dict[str, Stored]):
    """What was read, and of which version of the store: a change that comes of it holds for that version alone.

    Args:
        version: the store's own word for it, or a digest.
    """

    __slots__ = ("version",)

    def __init__(self, values: Mapping[str, Stored], version: str) -> None:
        super().__init__(values)
        self.version = version


def planned(place: str, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
    """See `FlagStore.change`."""
    new = {n: v for n, v in wanted.items() if not same(seen[n].value if n in seen else None, v)}
    if not new:
        return None
    summary = ", ".join(f"{name} {spoken(value)}" for name, value in new.items())
    return Change("flags", place, summary, seen.version if isinstance(seen, Seen) else "", json.dumps(new))


def wanted_of(change: Change) -> dict[str, FlagValue]:
    """The values that a change of ours sets."""
    wanted: dict[str, FlagValue] = json.loads(change.body)
    return wanted


def missing(values: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> bool:
    """Whether any of these flags has another value than what is wanted."""
    return any(not same(values[name].value, value) for name, value in wanted.items())
