"""The hash chain (B8): whatever is done to a record afterwards is found."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.record.events import START, Story

from codeblue.model.event import Draft, Event
from codeblue.model.release import Standing
from codeblue.model.secret import Secret
from codeblue.record.chain import GENESIS, broken_at, digest, digest_of, plain, seal


def chain(length: int = 5) -> list[Event]:
    story = Story()
    for n in range(length):
        story.add("run.noted", {"n": n}, run="run-1", incident="inc-1")
    return story.events


def test_a_whole_chain_is_whole() -> None:
    assert broken_at(chain()) is None
    assert broken_at([]) is None
    events = chain()
    assert broken_at(events[2:], previous=events[1].hash, seq=2) is None


CHANGES = {
    "service": "other",
    "seq": 99,
    "at": START + timedelta(days=1),
    "kind": "run.ended",
    "actor": "somebody",
    "run": "run-2",
    "incident": "inc-2",
    "data": {"n": 77},
    "previous": "f" * 64,
    "hash": "e" * 64,
}


@pytest.mark.parametrize("name", [f.name for f in fields(Event)])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_each_field_that_is_changed_is_found_at_its_event(name: str, place: int) -> None:
    events = chain()
    events[place] = replace(events[place], **{name: CHANGES[name]})
    broken = broken_at(events)
    assert broken is not None
    assert f"event {place + 1} " in broken


def test_who_changes_an_event_and_computes_its_hash_anew_is_found_at_the_next() -> None:
    events = chain()
    forged = replace(events[2], data={"n": 77})
    events[2] = replace(forged, hash=digest(forged))
    assert broken_at(events) == "event 4 is not chained to the event before it"


@given(st.integers(2, 8), st.data())
def test_removing_and_reordering_is_found(length: int, data: st.DataObject) -> None:
    events = chain(length)
    gone = data.draw(st.integers(0, length - 2))
    assert broken_at(events[:gone] + events[gone + 1 :]) == (
        f"event {gone + 1} is missing: after {gone} comes {gone + 2}"
    )
    other = data.draw(st.permutations(events))
    assert (broken_at(other) is None) == (list(other) == events)
    assert broken_at([*events, events[-1]]) is not None


def test_a_chain_that_was_cut_has_another_head_so_an_anchored_head_finds_it() -> None:
    """A chain alone cannot know its own length; that is what the anchor outside is for."""
    events = chain()
    assert broken_at(events[:-1]) is None
    assert events[-2].hash != events[-1].hash
    assert len({e.hash for e in events}) == len(events)


@given(
    st.dictionaries(st.text(max_size=5), st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=9), max_size=4),
    st.text(max_size=9),
)
def test_different_content_has_different_hashes(data: dict[str, object], actor: str) -> None:
    def sealed(actor: str, data: dict[str, object]) -> Event:
        return seal(Draft("k", actor, data), service="s", seq=1, at=START, previous=GENESIS)

    first = sealed(actor, data)
    assert first == sealed(actor, dict(reversed(data.items())))
    assert first.hash != sealed(actor + "x", data).hash
    assert first.hash != sealed(actor, {**data, "more": 1}).hash


def test_fields_cannot_run_into_each_other() -> None:
    def sealed(run: str, incident: str) -> str:
        return seal(Draft("k", "a", {}, run, incident), service="s", seq=1, at=START, previous=GENESIS).hash

    assert sealed("ab", "c") != sealed("a", "bc")


def test_the_time_is_hashed_in_utc() -> None:
    here = START.astimezone(timezone(timedelta(hours=9)))
    draft = Draft("k", "a", {})
    assert seal(draft, service="s", seq=1, at=here, previous=GENESIS) == seal(
        draft, service="s", seq=1, at=START, previous=GENESIS
    )


@dataclass(frozen=True)
class Noun:
    name: str
    inner: object = None


def test_plain_makes_json_of_our_nouns() -> None:
    at = datetime(2026, 1, 5, 4, 0, tzinfo=timezone(timedelta(hours=1)))
    assert plain(Noun("a", Noun("b", (1, 2.5, None, True)))) == {
        "name": "a",
        "inner": {"name": "b", "inner": [1, 2.5, None, True]},
    }
    assert plain(at) == "2026-01-05T03:00:00.000000+00:00"
    assert plain({Standing.BAD: [Standing.BAD]}) == {"bad": ["bad"]}
    assert plain(at.astimezone(UTC)) == plain(at)


@pytest.mark.req("R1")
@pytest.mark.parametrize("value", [Secret("hunter2"), object(), b"bytes", Noun, {"a": Secret("x")}, [Noun("a", {1j})]])
def test_what_has_no_place_in_the_record_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be recorded") as caught:
        plain(value)
    assert "hunter2" not in str(caught.value)


def test_an_enumeration_is_its_value_even_when_that_is_a_number() -> None:
    class Level(Enum):
        HIGH = 3

    assert plain({"level": Level.HIGH}) == {"level": 3}


def test_the_digest_of_a_value_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
