"""R59: the health endpoints, against real dependencies that are well, down, slow or frozen."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

ENDPOINTS = ("/api/health", "/api/health/database", "/api/health/redis", "/api/health/ai-services")


@pytest.mark.req("R59")
@pytest.mark.req("R62a")
def test_starts_without_any_configuration(launch, tmp_path: Path) -> None:
    service = launch(JWT_SECRET="", DATA_DIR="", POD_NAME="", TMPDIR=str(tmp_path))
    for path in ENDPOINTS:
        answer = service.get(path)
        assert answer.status_code == 200
        body = answer.json()
        assert body["status"] == "ok"
        assert str(body["pid"]) == answer.headers["x-pid"]
        assert "release" not in body, "one word per thing"
        assert body["version"] == answer.headers["x-release"] == "0.1.0"
    assert {check["status"] for check in service.get(ENDPOINTS[3]).json()["checks"].values()} == {"disabled"}
    assert service.get(ENDPOINTS[2]).json()["checks"]["redis"]["status"] == "disabled"
    assert service.get("/api/operator/processes").json()["error"]["code"] == "token_missing"
    assert (tmp_path / f"ai-diagnostics-{os.getuid()}" / "ai-diagnostics.db").stat().st_mode & 0o077 == 0


@pytest.mark.req("R59")
def test_all_healthy_with_real_dependencies(launch, emulators, redis_server) -> None:
    service = launch(**emulators.env, REDIS_URL=redis_server[1], RELEASE_VERSION="2026.1")
    for path in ENDPOINTS:
        answer = service.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok"), answer.text
        assert answer.headers["x-release"] == answer.json()["version"] == "2026.1"
        assert {check["status"] for check in answer.json()["checks"].values()} <= {"ok"}
    assert set(service.get(ENDPOINTS[1]).json()["checks"]) == {"ping", "write", "schema"}
    assert set(service.get(ENDPOINTS[3]).json()["checks"]) == {"openrouter", "rxnorm", "fhir", "lab"}


@pytest.mark.req("R59")
@pytest.mark.defect("D35")
def test_each_dependency_is_reported_apart_and_bounded(launch, emulators) -> None:
    service = launch(**emulators.env)
    emulators.set("rxnorm", "slow", seconds=30)
    emulators.set("fhir", "garbage")
    emulators.set("lab", "down")
    began = time.monotonic()
    answer = service.get(ENDPOINTS[3])
    assert time.monotonic() - began < 5
    checks = answer.json()["checks"]
    assert answer.status_code == 503
    assert checks["openrouter"]["status"] == "ok"
    assert checks["openrouter"]["latency_ms"] < 2500
    assert checks["rxnorm"]["unreachable"]
    assert "no JSON" in checks["fhir"]["detail"]
    assert checks["lab"]["detail"] == "status: 503"
    assert service.get("/api/health").status_code == 200


@pytest.mark.req("R59")
def test_refused_key_and_switched_off_dependency(launch, emulators) -> None:
    service = launch(**{**emulators.env, "OPENROUTER_API_KEY": "sk-wrong"})
    assert service.get(ENDPOINTS[3]).json()["checks"]["openrouter"]["detail"] == "status: 401"
    emulators.set("lab", "down")
    service.set("ai_diagnostics_enabled", False)
    service.set("lab_integration_enabled", False)
    answer = service.get(ENDPOINTS[3])
    assert answer.status_code == 200
    checks = answer.json()["checks"]
    assert (checks["openrouter"]["status"], checks["lab"]["status"]) == ("disabled", "disabled")


@pytest.mark.req("R59")
def test_database_gone_and_locked(launch, tmp_path: Path) -> None:
    service = launch()
    path = tmp_path / "data" / "ai-diagnostics.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    answer = service.get(ENDPOINTS[1])
    assert (answer.status_code, answer.json()["checks"]["write"]["unreachable"]) == (503, True)
    assert time.monotonic() - began < 5
    holder.execute("ROLLBACK")
    holder.close()
    assert service.get(ENDPOINTS[1]).status_code == 200
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    answer = service.get(ENDPOINTS[1])
    assert answer.status_code == 503
    assert not path.exists(), "a health check made a new, empty database"
    assert service.get("/api/health").status_code == 200


@pytest.mark.req("R59")
def test_redis_frozen_and_back(launch, redis_server) -> None:
    process, url = redis_server
    service = launch(REDIS_URL=url)
    assert service.get(ENDPOINTS[2]).status_code == 200
    process.popen.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert service.get(ENDPOINTS[2]).status_code == 503
    assert time.monotonic() - began < 5
    assert service.get(ENDPOINTS[1]).status_code == 200
    process.popen.send_signal(signal.SIGCONT)
    assert service.get(ENDPOINTS[2]).status_code == 200


@pytest.mark.req("R59")
@pytest.mark.req("R61")
def test_read_only_is_not_a_failure(steady) -> None:
    service = steady
    service.set("read_only", True)
    answer = service.get(ENDPOINTS[1])
    assert (answer.status_code, answer.json()["status"]) == (200, "read_only")
    assert answer.json()["checks"]["write"]["status"] == "read_only"
    assert answer.json()["modes"] == {"read_only": True, "maintenance": False}


@pytest.mark.req("R59")
def test_unknown_routes_and_methods_answer_in_one_shape(steady) -> None:
    service = steady
    for answer, status in (
        (service.http.get("/nothing"), 404),
        (service.http.delete("/api/diagnostics"), 405),
        (service.http.post("/api/diagnostics", content=b"x" * 70_000, headers=service.auth()), 413),
    ):
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"code", "message"}
        assert answer.headers["x-release"]
