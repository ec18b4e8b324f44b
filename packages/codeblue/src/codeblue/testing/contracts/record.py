"""What every store of the record owes (ports/record.py); adapters subclass it and give two fixtures."""
# ruff: noqa: S101 - a contract suite is made of asserts

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from codeblue.model.event import Draft
from codeblue.model.release import Standing
from codeblue.ports.record import RecordStore
from codeblue.record.chain import GENESIS, broken_at

Opened = Callable[..., RecordStore]


def draft(kind: str = "run.noted", run: str = "", incident: str = "", **data: object) -> Draft:
    """An event of the suite's own."""
    return Draft(kind, "suite", data, run=run, incident=incident)


class RecordContract:
    """The suite. Every test gets a store of its own, empty."""

    @pytest.fixture
    def opened(self) -> Opened:
        """Opens the store once more, as another process would; argument: the service's name (default "api")."""
        raise NotImplementedError

    @pytest.fixture
    def record(self, opened: Opened) -> RecordStore:
        """The store under test."""
        return opened()

    def test_an_event_gets_its_place_in_the_chain(self, record: RecordStore) -> None:
        first, second = record.append(draft(n=1)), record.append(draft(n=2))
        assert (first.seq, first.previous) == (1, GENESIS)
        assert (second.seq, second.previous) == (2, first.hash)
        assert (first.service, first.kind, first.actor, first.data) == ("api", "run.noted", "suite", {"n": 1})
        assert first.at.utcoffset() is not None
        assert broken_at(record.read()) is None

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "ß → 漢字 🩺 \u2028",
            "nul \0 and \x1b",
            0,
            -(2**53) + 1,
            0.1,
            1.0,
            1e-9,
            True,
            None,
            [],
            {"a": [{"b": None}]},
            ["'; DROP TABLE events; --"],
        ],
    )
    def test_what_is_read_is_what_was_written(self, record: RecordStore, opened: Opened, value: object) -> None:
        event = record.append(draft(value=value))
        assert list(record.read()) == [event]
        assert list(opened().read()) == [event]
        assert broken_at(opened().read()) is None

    def test_nouns_become_plain_values(self, record: RecordStore) -> None:
        record.append(draft(standing=Standing.BAD, pair=(1, 2)))
        assert record.read()[0].data == {"standing": "bad", "pair": [1, 2]}

    def test_an_event_that_cannot_be_recorded_leaves_no_trace(self, record: RecordStore) -> None:
        record.append(draft(n=1))
        with pytest.raises(TypeError):
            record.append(draft(n=object()))
        assert record.append(draft(n=2)).seq == 2

    def test_reading_filters_by_everything_it_names(self, record: RecordStore) -> None:
        for n in range(1, 13):
            kind = ("run.requested", "step.progress", "run.ended")[n % 3]
            record.append(draft(kind, run=f"run-{n % 2}", incident=f"inc-{n % 4}", n=n))

        def numbers(**wanted: object) -> list[int]:
            return [e.seq for e in record.read(**wanted)]  # type: ignore[arg-type]

        assert numbers() == list(range(1, 13))
        assert numbers(after=10) == [11, 12]
        assert numbers(after=12) == []
        assert numbers(limit=2) == [1, 2]
        assert numbers(limit=2, after=5) == [6, 7]
        assert numbers(run="run-1") == [1, 3, 5, 7, 9, 11]
        assert numbers(incident="inc-3") == [3, 7, 11]
        assert numbers(kinds=("run.requested",)) == [3, 6, 9, 12]
        assert numbers(kinds=("run.ended", "run.requested")) == [2, 3, 5, 6, 8, 9, 11, 12]
        assert numbers(kinds={"nothing"}) == []
        assert numbers(run="run-1", incident="inc-3", kinds=("step.progress",), after=3, limit=1) == [7]
        assert numbers(run="run-1' OR '1'='1") == []

    def test_the_last_event_is_that_at_the_end_of_the_chain(self, record: RecordStore, opened: Opened) -> None:
        assert record.last() is None
        opened("other").append(draft(n=0))
        assert record.last() is None
        for n in range(12):
            event = record.append(draft(("run.requested", "page.requested")[n % 2], n=n))
            assert record.last() == opened().last() == event

    def test_services_are_apart(self, record: RecordStore, opened: Opened) -> None:
        other = opened("other")
        record.append(draft(n=1))
        assert other.read() == []
        assert other.append(draft(n=2)).seq == 1
        assert [e.data["n"] for e in record.read()] == [1]

    def test_two_clients_write_one_chain(self, record: RecordStore, opened: Opened) -> None:
        other = opened()
        for n in range(6):
            (record, other)[n % 2].append(draft(n=n))
        assert [e.data["n"] for e in record.read()] == list(range(6))
        assert list(record.read()) == list(other.read())
        assert broken_at(other.read()) is None

    def test_threads_may_share_one_object(self, record: RecordStore) -> None:
        def work(n: int) -> int:
            record.append(draft(n=n))
            return len(record.read(after=n // 2))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(64)))
        events = record.read()
        assert sorted(e.data["n"] for e in events) == list(range(64))
        assert broken_at(events) is None

    def test_a_probe_adds_nothing_to_the_chain(self, record: RecordStore, opened: Opened) -> None:
        record.probe()
        first = record.append(draft(n=1))
        for _ in range(3):
            record.probe()
            opened("other").probe()
        assert list(record.read()) == [first]
        assert record.append(draft(n=2)).seq == 2
        assert broken_at(opened().read()) is None

    def test_closing_twice_is_fine(self, record: RecordStore) -> None:
        record.append(draft())
        record.close()
        record.close()
