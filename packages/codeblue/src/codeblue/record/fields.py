"""Reading the data of an event: what is not as it was written is damage, said with its event, never a traceback."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from codeblue.model.anchor import Anchor, Moment
from codeblue.model.errors import Damaged
from codeblue.model.event import Event


@contextmanager
def reading(event: Event) -> Iterator[None]:
    """Whatever is wrong with the event's data in this block comes out as `Damaged`, with its number and kind."""
    try:
        yield
    except KeyError as error:
        raise Damaged(f"event {event.seq} ({event.kind}) lacks {error}") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Damaged(f"event {event.seq} ({event.kind}) has data of another kind than it must have") from error


def text(data: Mapping[str, Any], key: str) -> str:
    """A text. Raises KeyError, TypeError."""
    value = data[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def number(data: Mapping[str, Any], key: str) -> float:
    """A finite number. Raises KeyError, TypeError, ValueError."""
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(key)
    if not math.isfinite(value):
        raise ValueError(key)
    return float(value)


def time(data: Mapping[str, Any], key: str) -> datetime:
    """An aware time. Raises KeyError, TypeError, ValueError."""
    at = datetime.fromisoformat(text(data, key))
    if at.tzinfo is None:
        raise ValueError(key)
    return at


def mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping. Raises KeyError, TypeError."""
    value = data[key]
    if not isinstance(value, Mapping):
        raise TypeError(key)
    return value


def anchor(data: Mapping[str, Any]) -> Anchor:
    """What `anchor_data` wrote. Raises KeyError, TypeError, ValueError."""
    return Anchor(text(data, "boot"), number(data, "at_s"))


def moment(event: Event) -> Moment:
    """When the event was, with its anchor where it has one. Raises KeyError, TypeError, ValueError."""
    return Moment(event.at, anchor(mapping(event.data, "anchor")) if "anchor" in event.data else None)
