"""Durations and percentages as people write them, with their unit; a bare number is refused, it could mean anything.

`"10s"`, `"5m"`, `"1h"`, `"500ms"` become seconds; `"5 %"` becomes the fraction 0.05.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from codeblue.profile.refusal import refusal

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|m|h|d)", re.ASCII)
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%", re.ASCII)
_FACTOR: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_DURATION_REMEDY: Final = 'write a number with its unit: "500ms", "10s", "5m", "1h" or "7d"'
_PERCENT_REMEDY: Final = 'write a percentage with its sign: "5 %" (0 % to 100 %)'


def parse_duration(value: object) -> float:
    """A duration text as seconds.

    Args:
        value: text such as "10s"; units ms, s, m, h, d; digits with at most six decimals.

    Returns:
        Seconds, 0 or more.

    Raises:
        PydanticCustomError: for anything else, a bare number included.
    """
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return round(float(match[1]) * _FACTOR[match[2]], 6)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise refusal("a number without a unit is not a duration", _DURATION_REMEDY)
    raise refusal("is not a duration", _DURATION_REMEDY)


def parse_percent(value: object) -> float:
    """A percentage text as a fraction: "5 %" → 0.05.

    Raises:
        PydanticCustomError: for anything else; a bare 5 or 0.05 is ambiguous.
    """
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        fraction = round(float(match[1]) / 100, 9)
        if fraction <= 1:
            return fraction
        raise refusal("is more than 100 %", _PERCENT_REMEDY)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise refusal("a number without the % sign is not a percentage", _PERCENT_REMEDY)
    raise refusal("is not a percentage", _PERCENT_REMEDY)


def show_duration(seconds: float) -> str:
    """Seconds as the text that a profile would hold: 300 → "5m", 0.5 → "500ms"."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit in ("h", "m"):
        if seconds >= _FACTOR[unit] and seconds % _FACTOR[unit] == 0:
            return f"{seconds / _FACTOR[unit]:g}{unit}"
    return f"{seconds:g}s"


#: Seconds in the model, a text with its unit in the file.
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(\.\d{1,6})? ?(ms|s|m|h|d)$"}),
]

#: A fraction 0–1 in the model, a percentage text in the file.
Fraction = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}(\.\d{1,6})? ?%$"}),
]


def duration(default: str, *, description: str, ge: float, le: float) -> Any:
    """A field of `Seconds`, with its default as a profile would state it; limits in seconds."""
    return Field(
        default=parse_duration(default), ge=ge, le=le, description=description, json_schema_extra={"default": default}
    )


def percentage(default: str, *, description: str) -> Any:
    """A field of `Fraction`, with its default as a profile would state it."""
    return Field(default=parse_percent(default), description=description, json_schema_extra={"default": default})
