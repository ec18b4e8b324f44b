"""Feature flags: what a store has, and what OFF is (R20, R21; semantics, "OFF that is off")."""

from dataclasses import dataclass
from typing import TypeAlias

#: A switch, or a share of the requests in percent.
FlagValue: TypeAlias = bool | int


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of one flag.

    Attributes:
        value: what everybody gets, whoever they are; None where that cannot be said: the flag is deleted, disabled at
            the provider (the code's default applies, which may be on), or differs from user to user.
        why: why it is None, in a few words; "" otherwise.
    """

    value: FlagValue | None
    why: str = ""


def off(value: FlagValue) -> FlagValue:
    """OFF of a flag that is like this one: false, or 0 %."""
    return False if isinstance(value, bool) else 0


def same(one: object, other: FlagValue) -> bool:
    """Whether a value, as it was reported, is exactly the other: 1 is not true, and 0 is not false."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def spoken(value: FlagValue | None) -> str:
    """In words: "on", "off", "30 %", "not known"."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value} %"
