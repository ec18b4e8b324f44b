"""Flags as one JSON document, in a file or under a key of a ConfigMap: read, and edited in place. Pure text.

Two forms: flagd's flag definitions (https://flagd.dev/reference/flag-definitions) and a plain object {name: value}.
An edit replaces the text of the values it sets; what stands around them, other people's flags, their order, how
numbers are written and indented, stays to the byte. A document that two readers could read differently (a key twice,
NaN, bytes that are no UTF-8) is refused: what one of them takes for off may be on for the other.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NoReturn

from codeblue.model.errors import Refused
from codeblue.model.flag import FlagValue, Stored, same

#: Largest document in bytes. A ConfigMap holds no more, and flags of one service are a few kilobytes.
LIMIT: Final = 1024 * 1024
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_PERCENT: Final = range(101)
_DELETED: Final = Stored(None, "it is deleted, so the code's default applies")

Json = dict[str, Any]


class Form(StrEnum):
    """How flags are written down."""

    FLAGD = "flagd"
    PLAIN = "plain"


class _Twice(ValueError):
    """A key that stands twice in one object."""


def stored(raw: bytes, names: Iterable[str], form: Form, place: str) -> dict[str, Stored]:
    """What a document says of each of these flags.

    Args:
        raw: the document, UTF-8.
        place: where it is, for messages.

    Raises:
        Refused: it is no document of this form.
    """
    flags = _flags(_parsed(raw, place), form, place)
    read = _flagd if form is Form.FLAGD else _plain
    return {name: read(flags[name]) if name in flags else _DELETED for name in names}


def edited(raw: bytes, wanted: Mapping[str, FlagValue], form: Form, place: str) -> bytes:
    """The document in which everybody gets these values.

    OFF of flagd is an enabled flag without targeting whose default variant has the value off (semantics, "OFF that is
    off"); a variant that is missing is added, one that is there is used. A flag that is missing is written anew.

    Raises:
        Refused: it is no document of this form; or a flag is of another type: who asks for text and finds a switch
            falls back to the code's default.
    """
    _parsed(raw, place)
    text = raw.decode()
    for name, value in wanted.items():
        document = json.loads(text)
        flags, at = _flags(document, form, place), _start(text, 0)
        if form is Form.FLAGD:
            at = _members(text, at)[0]["flags"][0]
            text = _set_flagd(text, at, name, flags, value, place)
        else:
            if flags.get(name) is not None and not _alike(flags[name], value):
                _refuse_type(name, place)
            text = _put(text, at, name, value)
    new = text.encode()
    if len(new) > LIMIT:
        raise Refused(f"{place} would be larger than {LIMIT} bytes.", remedy="Remove flags that nobody uses.")
    return new


def _parsed(raw: bytes, place: str) -> Json:
    """The document, checked."""
    if len(raw) > LIMIT:
        raise Refused(
            f"{place} is larger than {LIMIT} bytes, so it is not read.", remedy="Check that it names the flags."
        )
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except _Twice as error:
        raise Refused(
            f"{place} has {error} twice in one object: which of them counts differs from reader to reader.",
            remedy="Remove one of them.",
        ) from None
    except RecursionError:
        raise Refused(f"{place} is nested too deep to be flags.", remedy="Check that it names the flags.") from None
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "its bytes"
        raise Refused(
            f"{place} is no JSON ({where}).", remedy="Correct it; whoever reads flags there cannot read it either."
        ) from None
    if not isinstance(document, dict):
        raise Refused(f"{place} is JSON, but no object of flags.", remedy="Check that it names the flags.")
    return document


def _once(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise _Twice(ascii(key)[:60])
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _flags(document: Json, form: Form, place: str) -> Json:
    """The object that has the flags by name."""
    if form is Form.PLAIN:
        return document
    flags = document.get("flags")
    if not isinstance(flags, dict):
        raise Refused(
            f'{place} has no object "flags", so it is no flag definition of flagd.',
            remedy='Check the path and the form: flagd\'s is {"flags": {"name": {"state": …, "variants": …}}}.',
        )
    return flags


def _plain(value: object) -> Stored:
    if isinstance(value, bool) or (isinstance(value, int) and value in _PERCENT):
        return Stored(value)
    return Stored(None, "its value is neither a switch nor a percentage")


def _flagd(flag: object) -> Stored:
    variants = flag.get("variants") if isinstance(flag, dict) else None
    if not isinstance(flag, dict) or not isinstance(variants, dict):
        return Stored(None, "it is no flag definition")
    if flag.get("state") != "ENABLED":
        return Stored(None, "it is not enabled, so the code's default applies")
    if flag.get("targeting", {}) != {}:
        return Stored(None, "it has targeting: who gets what differs from request to request")
    default = flag.get("defaultVariant")
    if not isinstance(default, str) or default not in variants:
        return Stored(None, "its default variant is none of its variants, so the code's default applies")
    return _plain(variants[default])


def _set_flagd(text: str, flags_at: int, name: str, flags: Json, value: FlagValue, place: str) -> str:
    flag = flags.get(name)
    if flag is None:
        key = _word(value)
        new = {"state": "ENABLED", "variants": {key: value}, "defaultVariant": key, "targeting": {}}
        return _put(text, flags_at, name, new)
    variants = flag.get("variants") if isinstance(flag, dict) else None
    if not isinstance(flag, dict) or not isinstance(variants, dict):
        raise Refused(
            f"{name} in {place} is no flag definition.", remedy='Write its "variants" as an object, or remove the flag.'
        )
    if not all(_alike(v, value) for v in variants.values()):
        _refuse_type(name, place)
    key = _variant(flag, variants, value)

    def at() -> int:
        return _members(text, flags_at)[0][name][0]

    # each edit moves what stands behind it, so the flag's place is looked up anew
    if key not in variants:
        text = _put(text, _members(text, at())[0]["variants"][0], key, value)
    if flag.get("defaultVariant") != key:
        text = _put(text, at(), "defaultVariant", key)
    if flag.get("targeting", {}) != {}:
        text = _put(text, at(), "targeting", {})
    if flag.get("state") != "ENABLED":
        text = _put(text, at(), "state", "ENABLED")
    return text


def _variant(flag: Json, variants: Json, value: FlagValue) -> str:
    """The variant that has this value: the default one before others, one that is there before a new one."""
    default = flag.get("defaultVariant")
    if isinstance(default, str) and default in variants and same(variants[default], value):
        return default
    if found := next((key for key, v in variants.items() if same(v, value)), None):
        return found
    key = _word(value)
    while key in variants:
        key += "_"
    return key


def _word(value: FlagValue) -> str:
    """The name of a new variant."""
    return ("on" if value else "off") if isinstance(value, bool) else f"{value}-percent"


def _alike(one: object, value: FlagValue) -> bool:
    """Whether both are switches, or both numbers."""
    return isinstance(one, int) and isinstance(one, bool) is isinstance(value, bool)


def _refuse_type(name: str, place: str) -> NoReturn:
    raise Refused(
        f"{name} in {place} is of another type than the value to set: a client that asks for the one and finds the "
        "other falls back to its code's default.",
        remedy="Correct the flag's type in the profile, or the flag there.",
    )


def _start(text: str, at: int) -> int:
    """Where the next token begins."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _members(text: str, at: int) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the values of the object at `at` begin and end, by key, and where its own last value ends.

    The text has been parsed before: its syntax is right.
    """
    decoder = json.JSONDecoder()
    found: dict[str, tuple[int, int]] = {}
    end = at + 1
    at = _start(text, end)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, _start(text, at + 1) if text[at] == "," else at)
        begin = _start(text, _start(text, at) + 1)
        _, end = decoder.raw_decode(text, begin)
        found[key] = (begin, end)
        at = _start(text, end)
    return found, end


def _put(text: str, at: int, key: str, value: object) -> str:
    """The text with this member in the object at `at`: its value replaced, or appended as the others are indented."""
    members, end = _members(text, at)
    new = json.dumps(value)
    if key in members:
        begin, end = members[key]
        return text[:begin] + new + text[end:]
    indent = text[at + 1 : _start(text, at + 1)] if members else ""
    return f"{text[:end]}{',' if members else ''}{indent}{json.dumps(key)}: {new}{text[end:]}"
