"""No text, however broken, makes the loader raise anything but a ProfileError, or spend more than a second of CPU."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.profile.faults import FAULTS, LOCAL
from tests.unit.profile.valid import full

from codeblue.profile.load import ProfileError, _validated, load_text
from codeblue.profile.source import MAX_BYTES

VALID = full()
LINES = VALID.splitlines(keepends=True)
#: What parsers trip over.
SPLINTERS = [
    *("{", "}", "[", "]", "- ", "? ", ": ", ":", "#", "&a ", "*a", "!", "!!python/name:os.system ", "|\n", ">\n"),
    *("'", '"', "%YAML 1.1\n", "---\n", "...\n", "<<: ", "\t", "\r", "\0", "\ufeff", "\u2028", "\\x00"),
    *('"\\ud800"', '"\\UFFFFFFFF"', "no", "012", "1:30", ".inf", ".nan", "1e999", "9" * 40, "2024-01-01", "null"),
    *("~", "=", "", "é", "😀", "x" * 5000),
]


def refuse_or_accept(text: str | bytes) -> None:
    with contextlib.suppress(ProfileError):
        if isinstance(text, bytes):
            _validated(text, "codeblue.yaml", Path("/"))
        else:
            load_text(text)


@pytest.mark.done(8)
@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes(raw: bytes) -> None:
    refuse_or_accept(raw)


@given(st.text(st.characters(), max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_with_lone_surrogates(text: str) -> None:
    refuse_or_accept(text)


@given(st.text(st.sampled_from("{}[]-?:,&*!|>'\"%@`#\n\t ab0.~<=\\"), max_size=120))
@settings(max_examples=400, deadline=None)
def test_any_marks_of_yaml(text: str) -> None:
    refuse_or_accept(text)


@pytest.mark.done(8)
@given(
    st.lists(
        st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(SPLINTERS)), min_size=1, max_size=4
    )
)
@settings(max_examples=250, deadline=None)
def test_a_valid_profile_with_splinters(cuts: list[tuple[int, int, str]]) -> None:
    text = VALID
    for at, removed, put in cuts:
        text = text[:at] + put + text[at + removed :]
    refuse_or_accept(text)


@given(st.permutations(LINES[:40]), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_shuffled_lines(lines: list[str], kept: int) -> None:
    refuse_or_accept("".join(lines[:kept]))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(SPLINTERS[:20]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data(), VALUES)
@settings(max_examples=300, deadline=None)
def test_any_value_at_any_key(data: st.DataObject, value: object) -> None:
    """JSON is YAML: one value of the valid profile is another."""
    keys = [n for n, line in enumerate(LINES) if ": " in line and not line.lstrip().startswith(("#", "- "))]
    at = data.draw(st.sampled_from(keys))
    lines = LINES.copy()
    lines[at] = lines[at].split(": ")[0] + ": " + json.dumps(value) + "\n"
    refuse_or_accept("".join(lines))


PARTS = [
    *(
        b"[",
        b"{",
        b"- ",
        b"? ",
        b"{a: ",
        b"[{",
        b"[\n{",
        b"[a, ",
        b"!!x ",
        b"&a ",
        b"a: &a [*a, ",
        b"{a: 1, a: ",
        b"{? ",
        b"'",
        b'"',
    ),
    *(b'"\\"', b"|\n ", b"a", b"a ", b"a: ", b"\n", b"#", b"1_", b"1:", b"://:@", b"a1+/=", b"[<{{", b"--token", b"X"),
]


@pytest.mark.done(8)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("before", [b"", LOCAL.encode() + b"flags:\n  a: ", b"contacts: {cto: {phone: '+"])
def test_the_largest_file_of_one_thing_takes_no_time(part: bytes, before: bytes) -> None:
    started = time.process_time()
    refuse_or_accept((before + part * MAX_BYTES)[:MAX_BYTES])
    assert time.process_time() - started < 1.0


def test_the_table_of_faults_holds_the_bombs() -> None:
    assert {"alias-bomb", "nested-too-deep", "nested-keys", "fifty-megabytes"} <= {fault.id for fault in FAULTS}
