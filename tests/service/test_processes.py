"""R61: every worker process applies flags and modes without a restart, and says so; graceful stop; replacement."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading

import httpx2
import pytest

from ai_diagnostics import __version__, processes
from ai_diagnostics.control import initial_state


def pids(service) -> set[int]:
    return {process["pid"] for process in service.processes()["processes"] if process["live"]}


@pytest.mark.req("R61")
def test_a_flag_reaches_every_worker_without_restart(launch, cli) -> None:
    service = launch()
    workers = service.each_worker()
    assert pids(service) == set(workers)
    for name, value in (
        ("ai_diagnostics_enabled", "false"),
        ("lab_integration_enabled", "false"),
        ("fhir_integration_enabled", "false"),
        ("ai_diagnostics_rollout", "0"),
    ):
        assert cli(f"flags set {name} {value}")[0] == 0
    code, answer = cli("flags set ai_diagnostics_rollout 0 --wait 5")
    assert (code, answer["data"]["processes"]) == (0, 2)
    for pid, client in workers.items():
        mine = client.get("/api/operator/process", headers=service.auth("operator"))
        service.check(mine, "/api/operator/process")
        assert mine.json()["pid"] == pid
        flags = mine.json()["flags"]
        assert [flag["value"] for flag in flags.values()] == [False, False, False, 0]
        assert {flag["reason"] for flag in flags.values()} == {"stored"}
        assert flags["ai_diagnostics_enabled"]["loaded_at"] > mine.json()["start_time"]
    report = service.processes()
    assert report["agreed"]
    assert set(workers) == {process["pid"] for process in report["processes"]}, "a worker was restarted"


def test_a_process_names_its_release_as_the_health_answers_do(launch) -> None:
    service = launch(RELEASE_VERSION="2026.1")
    assert service.get("/api/health").json()["version"] == "2026.1"
    for process in service.processes()["processes"]:
        assert (process["version"], process["code_version"]) == ("2026.1", __version__)
        assert "release" not in process, "one word per thing"


@pytest.mark.req("R60")
def test_flags_are_set_while_the_service_is_down(launch, cli) -> None:
    launch().process.stop()
    code, answer = cli("flags set ai_diagnostics_enabled false")
    assert (code, answer["data"]["before"], answer["data"]["after"]) == (0, True, False)
    code, answer = cli("flags set ai_diagnostics_rollout 0 --wait 0.1")
    assert (code, answer["problems"]) == (1, ["no process reports; is the service running?"])
    service = launch()
    assert {p["flags"]["ai_diagnostics_enabled"]["value"] for p in service.processes()["processes"]} == {False}


@pytest.mark.req("R61")
def test_a_frozen_worker_is_no_proof_and_a_killed_one_is_replaced(launch, until) -> None:
    service = launch()
    workers = service.each_worker()
    frozen, killed = sorted(workers)
    os.kill(frozen, signal.SIGSTOP)
    try:
        http = workers[killed]
        report = until(
            "the frozen worker is told",
            lambda: (
                (found := http.get("/api/operator/processes", headers=service.auth()).json())["disagreements"] and found
            ),
        )
        assert not report["agreed"]
        assert any(f"pod-a/{frozen} has not reported" in text for text in report["disagreements"])
    finally:
        os.kill(frozen, signal.SIGCONT)
    os.kill(killed, signal.SIGKILL)
    until("a new worker", lambda: service.process.output.count('"event": "ready"') == 3)
    until("it reports", lambda: len(pids(service) - {frozen, killed}) == 1)
    assert service.metric("http_requests_total") > 0
    live = {labels["pid"] for labels, _ in service.samples("process_working_set_bytes")}
    assert str(killed) not in live
    assert len(live) == 2


@pytest.mark.req("R61")
def test_a_stuck_worker_disagrees(launch, cli) -> None:
    service = launch(RELEASE_FAULT="stuck-flags:1")
    code, answer = cli("flags set lab_integration_enabled false --wait 1.5")
    assert code == 1
    assert len(answer["problems"]) == 1
    assert "applies lab_integration_enabled=True" in answer["problems"][0]
    assert not service.processes()["agreed"]
    assert cli("flags status")[0] == 1


@pytest.mark.req("R61")
def test_without_the_control_store_the_view_stays_and_says_so(launch, until, tmp_path) -> None:
    service = launch(CONTROL_SQLITE_PATH=str(tmp_path / "control" / "control.db"))
    service.set("ai_diagnostics_rollout", 40)
    for path in (tmp_path / "control").iterdir():
        path.unlink()
    (tmp_path / "control").rmdir()
    (tmp_path / "control").write_text("not a directory")
    headers = service.auth("operator")
    mine = until(
        "the loss is reported",
        lambda: (
            not (found := service.get("/api/operator/process", headers=headers).json())["control_reachable"] and found
        ),
    )
    assert mine["flags"]["ai_diagnostics_rollout"]["value"] == 40
    assert service.get("/api/operator/processes", headers=headers).status_code == 503
    refused = service.post({"patient_id": "x", "symptoms": ["cough"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable"), (
        "it wrote without knowing"
    )
    assert service.get("/api/health").status_code == 200


@pytest.mark.req("R61")
def test_a_process_that_never_saw_the_store_is_off(launch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    service = launch(CONTROL_SQLITE_PATH=str(tmp_path / "file" / "control.db"))
    flags = service.get("/api/operator/process", headers=service.auth("operator")).json()["flags"]
    assert [flag["value"] for flag in flags.values()] == [False, False, False, 0]
    assert {flag["reason"] for flag in flags.values()} == {"never_loaded"}


@pytest.mark.req("R61")
def test_a_damaged_control_store_changes_nothing_and_is_reported(launch, until, cli, tmp_path) -> None:
    service = launch()
    service.set("ai_diagnostics_rollout", 40)
    for damage in (
        "UPDATE control SET settings = '[]', version = 9",
        "UPDATE control SET settings = '{\"', version = 10",
    ):
        db = sqlite3.connect(tmp_path / "data" / "control.db")
        with db:
            db.execute(damage)
        db.close()
        mine = until(
            "the damage is reported",
            lambda: (
                not (found := service.get("/api/operator/process", headers=service.auth()).json())["control_reachable"]
                and found
            ),
        )
        assert mine["flags"]["ai_diagnostics_rollout"]["value"] == 40
        assert cli("flags status")[0] == 1
    assert service.process.output.count('"event": "ready"') == 2, "a worker died of it"


@pytest.mark.req("R59")
def test_a_graceful_stop_finishes_what_it_has_begun(launch, until) -> None:
    service = launch(RELEASE_FAULT="slow:1.5")
    answers: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: answers.append(service.http.get("/api/version")))
    thread.start()
    headers = service.auth("operator")
    _, other = service.each_worker().popitem()
    until(
        "the request is in flight",
        lambda: any(
            process["in_flight"] > (process["age_s"] == 0)
            for process in other.get("/api/operator/processes", headers=headers).json()["processes"]
        ),
    )
    assert service.process.stop() == 0
    thread.join(timeout=5)
    assert [answer.status_code for answer in answers] == [200]
    assert '"killed": false' in service.process.output


@pytest.mark.req("R61")
def test_workers_do_not_outlive_their_parent(launch, until) -> None:
    service = launch()
    workers = service.each_worker()
    service.process.popen.kill()
    service.process.popen.wait(timeout=5)

    def gone(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    until("the workers end", lambda: all(gone(pid) for pid in workers))


def test_agreement_is_never_assumed() -> None:
    state = initial_state({})
    values = {name: {"value": item.value} for name, item in state.settings.items()}
    report = {"pod": "p", "pid": 1, "seen_at": 100.0, "flags": values, "modes": {}}
    assert processes.agreement(state, [report], now=101.0).agreed
    assert not processes.agreement(state, [], now=101.0).agreed
    assert not processes.agreement(state, [report], now=100.0 + processes.FRESH_S + 0.1).agreed
    assert not processes.agreement(state, [report, {"pod": "q", "pid": 2, "seen_at": 101.0}], now=101.0).agreed
    assert processes.agreement(state, [report, {**report, "pid": 2, "seen_at": 0.0}], now=101.0).agreed, "long gone"
    other = {**report, "flags": {**values, "ai_diagnostics_enabled": {"value": 1}}}
    assert not processes.agreement(state, [{**other, "flags": {}}], now=101.0).agreed
