"""The file of a local template → plain data, within bounds: a faulty one is refused before anything is done."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, Final

from codeblue.model.errors import UsageError

MAX_BYTES: Final = 64 * 1024
#: A template is a mapping of lists and mappings of texts.
MAX_DEPTH: Final = 4
#: A pile of brackets: the parser would read far ahead, at a cost that grows with the square of its height.
_PILE: Final = re.compile(r"(?:[\[{]\s{0,9}){13}")

_REMEDY: Final = "A template has command, env, secrets and version (docs/local-platform.md)."


def read_template_file(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file; what its fields must be is `read_template`'s to say.

    Raises:
        UsageError: it cannot be read, is too large or too deep, or no mapping. Never quotes the file: it may hold
            secrets.
    """
    text = _text(path)
    data = _json(text) if text.lstrip().startswith("{") else None
    if data is None:
        data = _yaml(path, text)
    if not isinstance(data, dict):
        raise _wrong(str(path), "is not a mapping")
    return data


def _text(path: Path) -> str:
    try:
        # O_NONBLOCK: a named pipe in the place of the file must not keep us waiting
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _wrong(str(path), f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise _wrong(repr(str(path)), "is no name of a file") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _wrong(str(path), "is not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _wrong(str(path), f"cannot be read: {error.strerror}") from error
    finally:
        os.close(handle)
    if len(raw) > MAX_BYTES:
        raise _wrong(str(path), f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(str(path), "is not UTF-8 text") from error


def _json(text: str) -> Any:
    """The value of a JSON text, None for what is none or too deep: as YAML it gets its error."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is given twice")
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    return None if _deeper(value, MAX_DEPTH) else value


def _deeper(value: Any, levels: int) -> bool:
    """Whether more mappings and lists than this lie in one another."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inside is not None and (levels == 0 or any(_deeper(each, levels - 1) for each in inside))


def _yaml(path: Path, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    from codeblue.profile.source import explain

    _refuse_depth(path, text)
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        what, remedy = (
            ("is given twice", "keep one of the two") if "duplicate" in str(error.problem) else explain(error)
        )
        raise UsageError(f"The template {place}: {what}. Nothing was touched.", remedy=f"{remedy}.") from None
    except (YAMLError, ValueError, OverflowError, TypeError):  # the last three: escapes and dates that are none
        raise _wrong(str(path), "is not YAML or JSON") from None


def _refuse_depth(path: Path, text: str) -> None:
    """Raise for a text whose nesting the parser would follow down to the end of its stack."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    too_deep = _PILE.search(text) is not None
    try:
        for event in YAML(typ="safe", pure=True).parse(text) if not too_deep else ():
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MAX_DEPTH:
                too_deep = True
                break
    except (YAMLError, ValueError, OverflowError):
        return  # told when it is loaded
    if too_deep:
        raise _wrong(str(path), f"is nested deeper than {MAX_DEPTH} levels")


def _wrong(place: str, what: str) -> UsageError:
    return UsageError(f"The template {place} {what}. Nothing was touched.", remedy=_REMEDY)
