"""Several pods that share one control store: on SQLite as two services on one machine, and on MongoDB."""

from __future__ import annotations

import pytest
from tests.service.support.stores import on_every_store

CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"]}


@on_every_store
@pytest.mark.req("R61")
def test_one_command_reaches_every_process_of_every_pod(launch, cli, emulators, store_env) -> None:
    pods = [launch(**emulators.env, POD_NAME=name, POD_UID=f"uid-{name}") for name in ("pod-a", "pod-b")]
    assert [pod.get("/api/health/database").status_code for pod in pods] == [200, 200]
    made = pods[0].post(CASE).json()
    assert made["status"] == "completed"
    assert pods[1].get(f"/api/diagnostics/{made['id']}", "/api/diagnostics/{id}", headers=pods[1].auth()).json() == made
    code, answer = cli("flags set ai_diagnostics_enabled false --wait 5")
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
    assert cli("modes set read_only true")[0] == 0
    assert [pod.post(CASE).status_code for pod in pods] == [503, 503]
    pods[0].process.stop()
    assert {item["pod"] for item in pods[1].processes()["processes"]} == {"pod-b"}
    assert cli("integrity")[1]["data"]["totals"] == {"diagnosticrequests": 3, "diagnosticresults": 1}
    assert cli("migrate validate")[0] == 0
