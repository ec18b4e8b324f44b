"""Edits of documents of flags: only what is set changes, and everybody gets it."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeblue.adapters.flag_document import Form, edited, stored
from codeblue.model.errors import Refused
from codeblue.model.flag import FlagValue, Stored

NAMES = st.text(max_size=8) | st.sampled_from(["a", "b", "flags", "state", '"', "\\", "ä", "{", "}"])
VALUES = st.booleans() | st.integers(0, 100)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["ENABLED", "DISABLED"]) | JSON,
        "variants": st.dictionaries(NAMES | st.sampled_from(["on", "off"]), st.booleans()) | JSON,
        "defaultVariant": st.sampled_from(["on", "off"]) | JSON,
        "targeting": st.just({}) | JSON,
        "metadata": JSON,
    },
)
INDENTS = st.sampled_from([None, 0, 2, "\t", " \r\n "])


def text_of(document: object, indent: int | str | None, ascii_only: bool) -> bytes:
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")


@given(st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(NAMES, VALUES, max_size=3), INDENTS, st.booleans())
def test_plain_values_are_set_and_nothing_else(
    document: dict[str, Any], wanted: dict[str, FlagValue], indent: int | str | None, ascii_only: bool
) -> None:
    raw = text_of(document, indent, ascii_only)
    before = json.loads(raw)
    try:
        after = edited(raw, wanted, Form.PLAIN, "here")
    except Refused:
        assert any(before.get(name) is not None for name in wanted)
        return
    assert json.loads(after) == {**before, **wanted}
    assert stored(after, wanted, Form.PLAIN, "here") == {n: Stored(v) for n, v in wanted.items()}
    assert edited(after, wanted, Form.PLAIN, "here") == after


@given(
    st.dictionaries(NAMES, FLAGS | JSON, max_size=4),
    st.dictionaries(NAMES, JSON, max_size=2),
    st.dictionaries(NAMES, VALUES, max_size=3),
    INDENTS,
    st.booleans(),
)
def test_definitions_are_set_and_nothing_else(
    flags: dict[str, Any],
    rest: dict[str, Any],
    wanted: dict[str, FlagValue],
    indent: int | str | None,
    ascii_only: bool,
) -> None:
    raw = text_of({**rest, "flags": flags}, indent, ascii_only)
    before = json.loads(raw)
    try:
        after = edited(raw, wanted, Form.FLAGD, "here")
    except Refused:
        assert any(before["flags"].get(name) is not None for name in wanted)
        return
    now = json.loads(after)
    assert {**now, "flags": {}} == {**before, "flags": {}}
    assert {n: f for n, f in now["flags"].items() if n not in wanted} == {
        n: f for n, f in before["flags"].items() if n not in wanted
    }
    assert stored(after, wanted, Form.FLAGD, "here") == {n: Stored(v) for n, v in wanted.items()}
    for name in wanted:
        was, is_ = before["flags"].get(name) or {}, now["flags"][name]
        assert {k: v for k, v in is_.items() if k == "metadata"} == {k: v for k, v in was.items() if k == "metadata"}
        assert was.get("variants", {}).items() <= is_["variants"].items()
    assert edited(after, wanted, Form.FLAGD, "here") == after


@given(st.binary(max_size=64) | st.text(string.printable, max_size=64).map(str.encode), st.sampled_from(list(Form)))
def test_any_bytes_are_read_or_refused(raw: bytes, form: Form) -> None:
    try:
        seen = stored(raw, ("a",), form, "here")
    except Refused as refused:
        assert refused.remedy
    else:
        assert set(seen) == {"a"}


def test_what_would_grow_too_large_is_refused() -> None:
    raw = b'{"x": "' + b"x" * (1024 * 1024 - 12) + b'"}'
    with pytest.raises(Refused, match="would be larger") as refused:
        edited(raw, {"a": False}, Form.PLAIN, "here")
    assert refused.value.remedy
