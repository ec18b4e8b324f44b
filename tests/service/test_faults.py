"""Releases that are bad by configuration: each fault does what faults.py says, on real processes."""

from __future__ import annotations

import re
import subprocess
import time

import httpx2
import pytest

from ai_diagnostics import faults

CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"]}


@pytest.mark.req("R59")
def test_health(launch) -> None:
    service = launch(RELEASE_FAULT="health")
    for part in ("", "/database", "/redis", "/ai-services"):
        answer = service.get(f"/api/health{part}")
        assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert service.get("/api/version").status_code == 200


def test_healthy_first_and_then_not(launch, until) -> None:
    service = launch(RELEASE_FAULT="health-after:2")
    assert service.get("/api/health").status_code == 200
    until("unhealthy", lambda: service.get("/api/health").status_code == 503)


def test_errors_and_slowness_of_the_api_only(launch) -> None:
    service = launch(RELEASE_FAULT="errors:0.2, slow:0.05")
    _, client = service.each_worker().popitem()
    codes, times = [], []
    for _ in range(20):
        began = time.perf_counter()
        codes.append(client.get("/api/version").status_code)
        times.append(time.perf_counter() - began)
    assert codes.count(500) == 4
    assert min(times) >= 0.05
    assert {client.get("/api/health").status_code for _ in range(10)} == {200}
    assert {service.get("/api/operator/process", headers=service.auth()).status_code for _ in range(10)} == {200}


def test_a_release_that_lies(launch, emulators, cli) -> None:
    service = launch(**emulators.env, RELEASE_FAULT="lies")
    emulators.set("all", "down")
    for part in ("", "/database", "/ai-services"):
        answer = service.get(f"/api/health{part}")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    emulators.set("all")
    assert service.post(CASE).status_code == 500
    code, answer = cli(f"smoke --url {service.url}")
    assert (code, answer["problems"]) == (1, ["service: status: 500 release_fault"])
    assert cli("smoke", RELEASE_FAULT="lies", **emulators.env)[0] == 1


@pytest.mark.req("R62")
def test_failing_model_calls(launch, emulators) -> None:
    service = launch(**emulators.env, RELEASE_FAULT="ai:0.5")
    _, client = service.each_worker().popitem()
    codes = [client.post("/api/diagnostics", json=CASE, headers=service.auth()).status_code for _ in range(10)]
    assert (codes.count(502), codes.count(201)) == (5, 5)
    assert service.metric("ai_requests_total") == 10
    assert service.metric("ai_failures_total") == 5


@pytest.mark.req("R62")
def test_a_leak_shows_in_the_metrics(launch, until) -> None:
    service = launch(RELEASE_FAULT="memory:200", MEMORY_LIMIT_BYTES=str(300 * 2**20))
    first = service.metric("service_memory_working_set_bytes")
    assert service.metric("service_memory_limit_bytes") == 300 * 2**20
    until(
        "growth of 40 MiB",
        lambda: service.metric("service_memory_working_set_bytes") - first > 40 * 2**20,
    )
    workers = service.samples("process_working_set_bytes")
    assert len(workers) == 2
    assert sum(value for _, value in workers) == pytest.approx(
        service.metric("service_memory_working_set_bytes"), rel=0.2
    )


def test_crashes(launch, python) -> None:
    done = subprocess.run(
        [*python, "serve", "--port", "0"], env={"RELEASE_FAULT": "crash"}, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 1
    service = launch(RELEASE_FAULT="crash-after:8")
    assert service.get("/api/health").status_code == 200
    assert service.process.wait() == 1
    with pytest.raises(httpx2.ConnectError):
        service.http.get("/api/health")


def test_a_crash_loop_of_the_workers_ends_the_service(launch, until) -> None:
    service = launch()
    for _ in range(40):
        if service.process.popen.poll() is not None:
            break
        children = [int(pid) for pid in re.findall(r'"ready", "pid": (\d+)', service.process.output)]
        ready = len(children)
        subprocess.run(["kill", "-9", *map(str, children[-2:])], check=False, capture_output=True)
        until(
            "new workers, or the end",
            lambda ready=ready: (
                service.process.output.count('"ready"') >= ready + 1 or service.process.popen.poll() is not None
            ),
        )
    assert service.process.wait() == 1
    assert '"crash_loop"' in service.process.output


def test_every_fault_is_documented_and_an_unknown_one_refuses_to_start(python) -> None:
    assert faults.__doc__ is not None
    assert set(re.findall(r"^\| `([a-z-]+)", faults.__doc__, re.M)) == set(faults.KNOWN)
    done = subprocess.run(
        [*python, "serve"],
        env={"RELEASE_FAULT": "helth,errors:2", "PORT": "x", "JWT_SECRET": "short", "AUTO_MIGRATE": "yes"},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 2
    for part in ("'helth'", "PORT='x'", "shorter than 32", "AUTO_MIGRATE"):
        assert part in done.stderr, "all errors are shown at once"
    assert "short'" not in done.stderr


def test_arguments_of_faults() -> None:
    assert faults.parse("") == faults.Faults()
    assert faults.parse("slow:35,memory:64").slow_s == 35
    for bad in ("errors", "errors:2", "errors:-1", "errors:nan", "health:1", "slow:x", "nothing", "memory:inf"):
        with pytest.raises(ValueError, match="RELEASE_FAULT"):
            faults.parse(bad)
    share = faults.Share(0.2)
    assert [share.hit() for _ in range(50)].count(True) == 10
    assert not any(faults.Share(0.0).hit() for _ in range(5))
    assert all([(every := faults.Share(1.0)).hit() for _ in range(5)] for _ in range(1))
    assert all(every.hit() for _ in range(5))
