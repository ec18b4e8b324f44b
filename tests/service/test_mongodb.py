"""What a MongoDB can do to the service: it is frozen, killed, or back without its data; somebody else touched the
schema, the documents or the lock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from tests import mongodb as servers

pytestmark = pytest.mark.parametrize("store_env", ["mongodb"], indirect=True)
CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"], "medications": ["warfarin"]}
DATABASE = "/api/health/database"
COMMANDS = [
    *("flags set lab_integration_enabled false", "flags status", "migrate validate", "migrate down --to 2"),
    *("db health", "integrity", "error-rate", "smoke", "verify-rollback --version 1"),
]


@pytest.mark.req("R59")
@pytest.mark.req("R61")
def test_a_frozen_server_is_told_in_time_and_nothing_is_written(launch, emulators, mongodb, until, cli) -> None:
    service = launch(**emulators.env)
    answer = service.get(DATABASE)
    assert (answer.status_code, set(answer.json()["checks"])) == (200, {"ping", "write", "schema"})
    assert answer.json()["checks"]["ping"]["detail"] == "mongodb"
    service.set("ai_diagnostics_rollout", 40)
    with mongodb.frozen():
        for _ in range(2):
            began = time.monotonic()
            answer = service.get(DATABASE)
            assert time.monotonic() - began < 5
            assert answer.status_code == 503
            assert all(check.get("unreachable") for check in answer.json()["checks"].values()), answer.text
        assert service.get("/api/health").status_code == 200, "a dependency must restart no pod"
        began = time.monotonic()
        refused = service.post(CASE)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert time.monotonic() - began < 5
        mine = service.get("/api/operator/process", headers=service.auth("operator")).json()
        assert (mine["control_reachable"], mine["flags"]["ai_diagnostics_rollout"]["value"]) == (False, 40)
    until("it is healthy again", lambda: service.get(DATABASE).status_code == 200)
    until("all processes agree again", lambda: service.processes()["agreed"])
    assert cli("integrity")[1]["data"]["totals"] == {}


@pytest.mark.req("R60")
@pytest.mark.parametrize("how", ["frozen", "refused"])
def test_every_command_ends_in_time_and_says_unreachable(cli, mongodb, how: str) -> None:
    assert cli("migrate up")[0] == 0
    before = cli("flags status")[1]["data"]["control_version"]
    uri = mongodb.uri if how == "frozen" else "mongodb://somebody:hidden-password@127.0.0.1:9/"
    with mongodb.frozen():
        began = time.monotonic()
        codes, said = cli.at_once(COMMANDS, MONGODB_URI=uri)
        took = time.monotonic() - began
    assert codes == dict.fromkeys(COMMANDS, 4), said
    assert "hidden-password" not in said
    assert took < 7, "an operation ends after 3 s"
    assert cli("flags status")[1]["data"]["control_version"] == before
    assert cli("migrate validate --version 3")[0] == 0


@pytest.mark.req("R59")
def test_a_server_that_came_back_empty_is_not_healthy(launch, cli, until) -> None:
    with servers.running() as server:
        service = launch(**server.env)
        assert service.get(DATABASE).status_code == 200
    answer = service.get(DATABASE)
    assert (answer.status_code, answer.json()["checks"]["ping"]["unreachable"]) == (503, True)
    with servers.running(server.port):
        until("the ping works", lambda: service.get(DATABASE).json()["checks"]["ping"]["status"] == "ok")
        answer = service.get(DATABASE)
        assert answer.status_code == 503
        assert answer.json()["checks"]["schema"]["detail"] == "version 0; this release works on 2 to 3"
        assert "empty" in answer.json()["checks"]["write"]["detail"]
        assert cli("migrate up", **server.env)[0] == 0
        assert service.get(DATABASE).status_code == 200


@pytest.mark.req("R60")
def test_a_schema_that_somebody_changed_is_told(cli, mongodb) -> None:
    assert cli("migrate up")[0] == 0
    with mongodb.client() as client:
        db = client[mongodb.name]
        db["diagnosticresults"].drop_index("results_by_request")
        db["diagnosticresults"].insert_one({"_id": "x"})
        db["serviceprobes"].drop()
        db["schema_migrations"].update_one({"_id": 1}, {"$set": {"checksum": "x"}})
    assert cli("migrate validate")[1]["problems"] == [
        "version 1 was applied with other statements",
        "collection serviceprobes is missing",
        "index results_by_request is missing",
        "results without provenance",
    ]


@pytest.mark.req("R60")
def test_a_lock_holds_and_ends_by_itself(cli, mongodb) -> None:
    assert cli("migrate up --to 2")[0] == 0
    with mongodb.client() as client:
        lock, now = client[mongodb.name]["schema_lock"], datetime.now(UTC)
        lock.insert_one({"_id": "migration", "until": now + timedelta(minutes=4)})
        code, answer = cli("migrate up")
        assert (code, "another migration is running" in answer["problems"][0]) == (1, True)
        assert cli("migrate status")[1]["data"]["version"] == 2
        lock.replace_one({"_id": "migration"}, {"until": now - timedelta(seconds=1)})
        assert cli("migrate up")[1]["data"]["passed"] == [3]
        assert lock.count_documents({}) == 0


@pytest.mark.req("R60")
def test_integrity_finds_more_than_a_count(cli, launch, emulators, mongodb) -> None:
    service = launch(**emulators.env)
    ids = [service.post(CASE).json()["id"] for _ in range(4)]
    code, answer = cli("integrity")
    assert (code, answer["data"]["totals"]) == (0, {"diagnosticrequests": 4, "diagnosticresults": 4})
    with mongodb.client() as client:
        requests, results = (client[mongodb.name][name] for name in ("diagnosticrequests", "diagnosticresults"))
        requests.update_one({"_id": ids[0]}, {"$set": {"body.medications": ["heparin"]}})
        requests.delete_one({"_id": ids[1]})
        results.delete_one({"requestId": ids[2]})
        results.update_one({"requestId": ids[3]}, {"$set": {"body": "x"}})
    code, answer = cli("integrity")
    assert code == 1
    assert answer["data"]["samples"]["diagnosticrequests: digest differs from the body"] == ids[:1]
    for problem in (
        "diagnosticrequests: digest differs from the body",
        "diagnosticresults: orphan: its request is gone",
        "diagnosticrequests: completed without a result",
        "diagnosticresults: digest differs from the body",
    ):
        assert answer["data"]["wrong"][problem] == 1
    assert "heparin" not in str(answer)
