"""YAML text → plain values with the place of each: only the part of YAML that everybody reads in the same way.

One document of mappings, lists and scalars. Anchors, aliases, merge keys, tags, directives, further documents,
duplicate keys and scalars that YAML 1.1 and 1.2 read differently (`no`, `012`, `1_000`, `1:30`) are refused, each
with its place. Size, depth and number of nodes are bounded, so that no text keeps an emergency waiting.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 12
MAX_NODES: Final = 2000
MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a file of this form may be: bytes, values, and characters of one value."""

    what: str
    max_bytes: int
    max_nodes: int
    max_text: int


#: Those of a profile.
PROFILE: Final = Bounds("a profile", MAX_BYTES, MAX_NODES, MAX_TEXT)

_TOO_DEEP: Final = (f"nested deeper than {MAX_DEPTH} levels", "a profile has at most 4 levels")
#: A pile of brackets: the parser would read far ahead, at a cost that grows with the square of its height.
_NEST: Final = re.compile(rf"(?:[\[{{][ \n]{{0,9}}){{{MAX_DEPTH + 1}}}")

#: Keys from the top to a value; positions in lists as text.
KeyPath = tuple[str, ...]

_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_BOOLEAN_1_1: Final = frozenset(("y", "n", "yes", "no", "on", "off"))
#: Numbers to some readers and text or other numbers to others: octal, hexadecimal, binary, grouped, base 60, dates.
_AMBIGUOUS: Final = re.compile(
    r"[-+]?0[0-9_]+|[-+]?0[xXoObB][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?|[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?"
    r"|[-+]?\.[0-9]+|[-+]?[0-9]+\.([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|=",
    re.ASCII,
)
#: Characters that no editor shows, or that break lines for some readers only.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\u3000\ud800-\udfff"
    "\ufdd0-\ufdef\ufeff\ufff9-\uffff]|\r(?!\n)"
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the file, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in the text that is not accepted. `path` is where it was found, as far as that is known."""

    place: Place
    message: str
    remedy: str
    path: KeyPath = ()


class Unreadable(Exception):
    """The text ends here: a flaw that keeps the rest from being read."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


def _unreadable(place: Place, message: str, remedy: str) -> Unreadable:
    return Unreadable(Flaw(place, message, remedy))


@dataclass(slots=True)
class Tree:
    """The values of a profile and their places.

    Attributes:
        value: dicts, tuples, str, int, float, bool, None.
        keys: place of each key (and of each item of a list).
        values: place of each value.
        flaws: everything that was refused without making the rest unreadable.
    """

    value: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """Where to point for a path: a scalar itself, the key of a section, else the nearest section that exists."""
        while path:
            if path in self.values:
                return self.values[path]
            if path in self.keys:
                return self.keys[path]
            path = path[:-1]
        return self.keys.get((), self.values.get((), Place(1, 1)))


def decode(raw: bytes, bounds: Bounds = PROFILE) -> str:
    """The bytes of a profile, or of another file in its form, as text.

    Raises:
        Unreadable: too large, not UTF-8, or with characters that cannot be seen.
    """
    if len(raw) > bounds.max_bytes:
        raise _unreadable(
            Place(1, 1),
            f"the file is larger than {bounds.max_bytes // 1024} KiB",
            f"{bounds.what} has a few KiB: name the right file, or delete what does not belong in it",
        )
    try:
        text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        raise _unreadable(
            _place(before, len(before)), "is not UTF-8 text", "save the file with the encoding UTF-8"
        ) from None
    if unseen := _UNSEEN.search(text):
        raise _unreadable(
            _place(text, unseen.start()),
            f"holds the invisible character U+{ord(unseen[0]):04X}",
            "delete it, or write a plain space or line end instead",
        )
    return text


def _place(text: str, offset: int) -> Place:
    return Place(text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


def read(text: str, bounds: Bounds = PROFILE) -> Tree:
    """The tree of a text from `decode`.

    Raises:
        Unreadable: the text is not YAML, or uses what makes the rest unreadable. Milder ones are in `Tree.flaws`.
    """
    if nest := _NEST.search(text):
        raise _unreadable(_place(text, nest.start()), *_TOO_DEEP)
    reader = YAML(typ="safe", pure=True)
    composer = _Composer(reader.parse(text), bounds)
    try:
        return composer.document()
    except MarkedYAMLError as error:
        inside_quotes = error.context is not None and "quoted scalar" in error.context
        mark = (error.context_mark if inside_quotes else None) or error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise _unreadable(place, *explain(error)) from None
    except (YAMLError, ValueError, OverflowError):  # the last two: escapes like "\U7fffffff"
        raise _unreadable(composer.reached, "is not YAML", "compare the line with docs/profile.md") from None


def explain(error: MarkedYAMLError) -> tuple[str, str]:
    """Our words for the parser's problem; its own text can quote the file, and so is not shown."""
    problem, context = error.problem or "", error.context or ""
    if "'\\t'" in problem or "\t" in problem or "tab" in problem:
        return "a tab stands where spaces are expected", "indent with spaces"
    if "cannot start any token" in problem:
        return "a value cannot begin with this character", "put the value in quotes"
    if "mapping values are not allowed" in problem:
        return "a ':' stands where no key can be", "check the indentation, or put the value in quotes"
    if "directive" in context or "directive" in problem:
        return "a line begins with %", "delete the line, or put the value in quotes"
    if "quoted scalar" in context:
        return "the quotes of this value do not end, or hold an unknown escape", "close the quotes; \\ begins an escape"
    if "simple key" in context or "could not find expected ':'" in problem:
        return "this line is no 'key: value'", "write a key, a colon, a space and the value"
    if "flow" in context:
        return "a bracket is not closed, or a comma is missing", "close the [ or {, and put commas between the items"
    if "block" in context:
        return "the indentation does not fit the lines above", "indent the keys of one section by the same spaces"
    return "is not YAML", "compare the line with docs/profile.md"


class _Composer:
    """Events → Tree, within bounds.

    Attributes:
        reached: where the latest event began, for errors that come without a place.
    """

    def __init__(self, events: Iterator[Event], bounds: Bounds) -> None:
        self._events, self._bounds = events, bounds
        self._tree = Tree()
        self._nodes = 0
        self.reached = Place(1, 1)

    def _next(self) -> Event:
        event = next(self._events)
        self.reached = _start(event)
        if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            self._mild(event, "holds a directive (%YAML, %TAG)", "delete the line", ())
        return event

    def document(self) -> Tree:
        next(self._events)  # the start of the stream
        event = self._next()
        if isinstance(event, StreamEndEvent):
            raise _unreadable(Place(1, 1), "the file is empty", "begin with version: 1, service: and platform:")
        event = self._next()
        self._tree.value = self._node(event, ())
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, StreamEndEvent):
            self._mild(event, "a second document begins here", "keep one document; delete the line with ---", ())
        return self._tree

    def _mild(self, event: Event, message: str, remedy: str, path: KeyPath) -> None:
        self._tree.flaws.append(Flaw(_start(event), message, remedy, path))

    def _node(self, event: Event, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > self._bounds.max_nodes:
            raise _unreadable(
                _start(event),
                f"more than {self._bounds.max_nodes} values",
                f"delete what does not belong in {self._bounds.what}",
            )
        if len(path) > MAX_DEPTH:
            raise _unreadable(_start(event), *_TOO_DEEP)
        if isinstance(event, AliasEvent):
            self._mild(
                event, "is an alias (*), which profiles do not have", "write the value itself, or quote it", path
            )
            return REFUSED
        if not isinstance(event, (ScalarEvent, SequenceStartEvent, MappingStartEvent)):
            raise _unreadable(_start(event), "is not YAML", "compare the line with docs/profile.md")
        if event.anchor is not None:
            self._mild(event, "has an anchor (&), which profiles do not have", "delete it, or quote the value", path)
        if event.tag is not None:
            self._mild(event, "has a tag (!), which profiles do not have", "delete it, or quote the value", path)
        if isinstance(event, ScalarEvent):
            self._tree.values[path] = _start(event)
            return self._scalar(event, path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(event, path)
        return self._mapping(event, path)

    def _sequence(self, event: Event, path: KeyPath) -> tuple[Any, ...]:
        self._tree.keys.setdefault(path, _start(event))
        items: list[Any] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            here = (*path, str(len(items)))
            self._tree.keys[here] = _start(event)
            items.append(self._node(event, here))
        return tuple(items)

    def _mapping(self, event: Event, path: KeyPath) -> dict[str, Any]:
        self._tree.keys.setdefault(path, _start(event))
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, path)
            if key is None or key in found:
                if key is not None:
                    first = self._tree.keys[(*path, key)]
                    self._mild(
                        event, f"is given twice, first in line {first.line}", "keep one of the two", (*path, key)
                    )
                self._discard(self._next(), (*path, key or "?"))
                continue
            here = (*path, key)
            self._tree.keys[here] = _start(event)
            found[key] = self._node(self._next(), here)
        return found

    def _discard(self, event: Event, path: KeyPath) -> None:
        """Read a value whose key was refused; only its flaws remain."""
        tree, self._tree = self._tree, Tree(flaws=self._tree.flaws)
        self._node(event, path)
        self._tree = tree

    def _key(self, event: Event, path: KeyPath) -> str | None:
        if not isinstance(event, ScalarEvent):
            remedy = "write a word, a colon, a space and the value; put a template's {{ }} in quotes"
            raise _unreadable(_start(event), "a key is not a single word", remedy)
        if event.anchor is not None or event.tag is not None:
            self._mild(event, "a key has an anchor or tag, which profiles do not have", "delete it", path)
        if event.value == "<<" and event.style is None:
            self._mild(event, "is a merge key (<<), which profiles do not have", "write the keys themselves", path)
            return None
        if event.value == "":
            self._mild(event, "a key is empty", "write a key before the colon", path)
            return None
        key = self._scalar(event, path)
        if isinstance(key, str):
            return key
        if key is not REFUSED:
            self._mild(event, "a key is no name", "write a name, or put it in quotes", path)
        return None

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Any:
        text: str = event.value
        if _UNPRINTABLE.search(text):
            self._mild(event, "holds a character that cannot be printed", "delete the escape that makes it", path)
            return REFUSED
        if len(text) > self._bounds.max_text:
            self._mild(event, f"is a text of more than {self._bounds.max_text} characters", "write a shorter one", path)
            return REFUSED
        if event.style is not None:
            return text
        return self._plain(event, text, path)

    def _plain(self, event: ScalarEvent, text: str, path: KeyPath) -> Any:
        if text == "":
            place = self._tree.keys.get(path) or _start(event)
            remedy = "write the value (null for none), or delete the key"
            self._tree.flaws.append(Flaw(place, "has no value", remedy, path))
            return REFUSED
        if text in ("null", "Null", "NULL", "~"):
            return None
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        if text.lower() in _BOOLEAN_1_1:
            self._mild(
                event,
                "is a switch to some YAML readers and a word to others",
                f'write true or false for a switch, "{text}" in quotes for a word',
                path,
            )
            return REFUSED
        if _INT.fullmatch(text):
            if len(text) <= 18:
                return int(text)
            self._mild(event, "is a very large number", "put it in quotes if it is a text", path)
            return REFUSED
        if _FLOAT.fullmatch(text) and "inf" not in repr(float(text)):
            return float(text)
        if len(text) < 100 and _AMBIGUOUS.fullmatch(text):
            self._mild(
                event,
                "is a number that YAML readers understand differently",
                "write a plain decimal number, or put a text in quotes",
                path,
            )
            return REFUSED
        return text


class Refused:
    """The value of something that has its flaw already: whatever else is wrong with it is not worth a second one."""


REFUSED: Final = Refused()


def _start(event: Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)
