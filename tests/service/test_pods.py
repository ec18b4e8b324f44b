"""Several pods that share one control store. On SQLite as two services on one machine, and on MongoDB where
MONGODB_URI names a server for tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

KINDS = ["sqlite", *(["mongodb"] if os.environ.get("MONGODB_URI") else [])]
CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"]}


@pytest.fixture(params=KINDS)
def store_env(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
        return
    from pymongo import MongoClient

    uri, name = os.environ["MONGODB_URI"], f"test_{uuid.uuid4().hex[:12]}"
    yield {"MONGODB_URI": uri, "MONGODB_DATABASE": name, "AUTO_MIGRATE": "true"}
    with MongoClient(uri) as client:
        client.drop_database(name)
        client.drop_database(f"{name}_control")


@pytest.mark.req("R21")
@pytest.mark.req("R61")
@pytest.mark.defect("D5")
@pytest.mark.defect("D27")
def test_one_command_reaches_every_process_of_every_pod(launch, cli, emulators, store_env) -> None:
    pods = [launch(**emulators.env, **store_env, POD_NAME=name, POD_UID=f"uid-{name}") for name in ("pod-a", "pod-b")]
    assert [pod.get("/api/health/database").status_code for pod in pods] == [200, 200]
    made = pods[0].post(CASE).json()
    assert made["status"] == "completed"
    assert pods[1].get(f"/api/diagnostics/{made['id']}", "/api/diagnostics/{id}", headers=pods[1].auth()).json() == made
    code, answer = cli("flags set ai_diagnostics_enabled false --wait 5", **store_env)
    assert (code, answer["data"]["processes"]) == (0, 4), answer
    for pod in pods:
        report = pod.processes()
        assert report["agreed"]
        assert {(item["pod"], item["pod_uid"]) for item in report["processes"]} == {
            ("pod-a", "uid-pod-a"),
            ("pod-b", "uid-pod-b"),
        }
        assert report["scope"] == ("all_pods" if store_env else "pod")
        assert pod.post(CASE).json()["status"] == "not_processed"
    assert cli("modes set read_only true", **store_env)[0] == 0
    assert [pod.post(CASE).status_code for pod in pods] == [503, 503]
    pods[0].process.stop()
    assert {item["pod"] for item in pods[1].processes()["processes"]} == {"pod-b"}
    assert cli("integrity", **store_env)[1]["data"]["totals"] == {"diagnosticrequests": 3, "diagnosticresults": 1}
    assert cli("migrate validate", **store_env)[0] == 0
