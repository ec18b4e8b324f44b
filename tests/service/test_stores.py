"""One contract suite for every store: SQLite, and MongoDB on a real server of its protocol (tests/mongodb.py)."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from ai_diagnostics.control import SPECS, now
from ai_diagnostics.documents import RequestRow, ResultRow, digest
from ai_diagnostics.secret import Secret
from ai_diagnostics.settings import Storage
from ai_diagnostics.store import StoreError, StoreUnreachable, Traffic, open_control, open_data


@pytest.fixture(params=["sqlite", "mongodb"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "sqlite":
        return Storage(tmp_path / "a" / "data.db", tmp_path / "b" / "control.db")
    server = request.getfixturevalue("mongodb")
    return Storage(
        tmp_path / "x",
        tmp_path / "y",
        mongodb_uri=Secret(server.uri),
        mongodb_database=server.name,
        control_database=f"{server.name}_control",
    )


@pytest.fixture
def data(storage: Storage):
    store = open_data(storage, create=True)
    store.migrate(3)
    return store


def a_request(**changes) -> RequestRow:
    body = {"patient_id": "p", "symptoms": ["s"], "labs": [], "medications": [], "requested_by": "t"}
    return replace(RequestRow(str(uuid.uuid4()), now(), False, "received", None, body, digest(body)), **changes)


def a_result(request_id: str, **changes) -> ResultRow:
    body = {"differential": [], "warnings": [], "summary": "", "inputs": {}, "nested": {"x": [1, 2.5, None, True]}}
    row = ResultRow(str(uuid.uuid4()), request_id, now(), body, digest(body), {"model_asked": "m"})
    return replace(row, **changes)


@pytest.mark.req("R62a")
@pytest.mark.req("R63")
class TestDataStore:
    """What a data store owes its callers."""

    def test_documents_come_back_as_they_went(self, data) -> None:
        request = a_request()
        data.add_request(request)
        assert data.request(request.id) == request
        assert data.request("other") is None
        assert data.result_of(request.id) is None
        result = a_result(request.id)
        data.finish(request.id, "completed", None, result)
        assert data.request(request.id) == replace(request, status="completed")
        assert data.result_of(request.id) == result
        assert digest(data.result_of(request.id).body) == result.digest
        assert list(data.requests()) == [replace(request, status="completed")]
        assert list(data.results()) == [result]

    def test_finishing_what_is_gone_is_an_error(self, data) -> None:
        with pytest.raises(StoreError):
            data.finish("gone", "failed", "x", None)

    def test_only_synthetic_documents_can_be_removed(self, data) -> None:
        real, synthetic = a_request(), a_request(synthetic=True)
        for row in (real, synthetic):
            data.add_request(row)
            data.finish(row.id, "completed", None, a_result(row.id))
        assert data.remove(real.id) == 0
        assert data.remove(synthetic.id) == 2
        assert [row.id for row in data.requests()] == [real.id]
        assert len(list(data.results())) == 1

    def test_order_is_by_time(self, data) -> None:
        rows = [a_request(created_at=f"2026-01-0{day}T00:00:00.000+00:00") for day in (3, 1, 2)]
        for row in rows:
            data.add_request(row)
        assert [row.created_at[8:10] for row in data.requests()] == ["01", "02", "03"]

    def test_probes(self, data) -> None:
        data.ping()
        for _ in range(2):
            data.write_probe("probe/x")

    def test_migrations_go_both_ways_and_keep_the_data(self, data) -> None:
        assert (data.schema_version(), list(data.drift())) == (3, [])
        request = a_request()
        data.add_request(request)
        data.finish(request.id, "completed", None, a_result(request.id))
        assert list(data.migrate(2)) == [2]
        assert (data.schema_version(), list(data.drift())) == (2, [])
        assert data.result_of(request.id).provenance is None
        other = a_request()
        data.add_request(other)
        data.finish(other.id, "completed", None, a_result(other.id))
        assert list(data.migrate(3)) == [3]
        assert list(data.drift()) == []
        assert len(list(data.results())) == 2
        assert list(data.migrate(3)) == []
        assert list(data.migrate(1)) == [2, 1]
        assert list(data.drift()) == []
        assert list(data.migrate(0)) == [0 + 0]
        assert (data.schema_version(), list(data.history())) == (0, [])
        assert list(data.drift()) != []
        with pytest.raises(StoreError):
            data.migrate(4)

    def test_two_migrations_at_once_end_in_one_schema(self, storage) -> None:
        first = open_data(storage, create=True)
        problems: list[str] = []

        def go() -> None:
            try:
                open_data(storage, create=True).migrate(3)
            except StoreError as error:
                problems.append(str(error))

        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert all("another migration is running" in text for text in problems)
        assert (first.schema_version(), list(first.drift())) == (3, [])


@pytest.mark.req("R61")
@pytest.mark.req("R63")
class TestControlStore:
    """What a control store owes its callers."""

    def test_it_begins_with_initial_values_and_keeps_them(self, storage) -> None:
        store = open_control(storage, initial={"ai_diagnostics_rollout": 7})
        state = store.read()
        assert state.value("ai_diagnostics_rollout") == 7
        assert {name: state.value(name) for name in SPECS if name != "ai_diagnostics_rollout"} == {
            name: spec.initial for name, spec in SPECS.items() if name != "ai_diagnostics_rollout"
        }
        store.change("ai_diagnostics_rollout", 9, actor="a", reason="b")
        assert open_control(storage, initial={}).read().value("ai_diagnostics_rollout") == 9

    def test_no_change_is_lost(self, storage) -> None:
        open_control(storage, initial={})
        before = open_control(storage).read().version

        def go(name: str) -> None:
            store = open_control(storage)
            for number in range(5):
                store.change(name, bool(number % 2), actor=name, reason="r")

        names = ("ai_diagnostics_enabled", "lab_integration_enabled", "fhir_integration_enabled")
        threads = [threading.Thread(target=go, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        state = open_control(storage).read()
        assert state.version == before + 15
        assert {state.settings[name].changed_by for name in names} == set(names)
        assert [state.value(name) for name in names] == [False] * 3

    def test_reports_replace_each_other_until_they_are_forgotten(self, storage) -> None:
        store = open_control(storage, initial={})
        store.report("a", 1, {"pod": "a", "pid": 1, "seen_at": 1.5})
        store.report("a", 1, {"pod": "a", "pid": 1, "seen_at": 2.5})
        store.report("b", 1, {"pod": "b", "pid": 1, "seen_at": 3.5})
        assert [report["seen_at"] for report in store.processes()] == [2.5, 3.5]
        store.forget("a", 1)
        assert [report["pod"] for report in store.processes()] == ["b"]

    def test_traffic_adds_up(self, storage) -> None:
        store = open_control(storage, initial={})
        at = 4_000_000_000
        store.add_traffic("a", 1, [Traffic(at, 10, 1, 2, 3, 1), Traffic(at + 5, 5)])
        store.add_traffic("a", 1, [Traffic(at, 1, 1)])
        store.add_traffic("b", 1, [Traffic(at, 1)])
        assert store.traffic(at) == Traffic(at, 17, 2, 2, 3, 1)
        assert store.traffic(at + 1).total == 5
        assert store.traffic(at + 6).total == 0


@pytest.mark.req("R60")
def test_what_is_not_there_is_unreachable(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "no.db", tmp_path / "no" / "control.db")
    with pytest.raises(StoreUnreachable):
        open_control(storage).read()
    with pytest.raises(StoreUnreachable):
        open_data(storage).ping()
    mongo = replace(storage, mongodb_uri=Secret("mongodb://user:hidden-password@127.0.0.1:9/"))
    with pytest.raises(StoreUnreachable) as caught:
        open_data(mongo, timeout_s=0.2).ping()
    assert "hidden-password" not in str(caught.value)
    with pytest.raises(StoreUnreachable):
        open_control(mongo, timeout_s=0.2).read()
    with pytest.raises(StoreError):
        open_data(replace(storage, mongodb_uri=Secret("mongodb://[")))
