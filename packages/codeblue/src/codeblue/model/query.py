"""What a metrics server answered to a question in its own language (R23)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One series of an answer.

    Attributes:
        labels: its labels, `__name__` included where it has one.
        at_s: the moment that it is of, by the server's clock, seconds since the epoch.
        value: any float: a quotient can be NaN.
    """

    labels: Mapping[str, str]
    at_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The series, or why nothing is known.

    Attributes:
        unknown: "" for an answer that can be used; else why not. An empty result is one of the reasons (D34).
    """

    points: tuple[Point, ...] = ()
    unknown: str = ""
