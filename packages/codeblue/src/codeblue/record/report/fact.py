"""The smallest part of a report: something that events say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence or a value, and the numbers of the events that it comes from.

    Attributes:
        events: empty only where the text says that something is not recorded.
    """

    text: str
    events: tuple[int, ...]
