"""R61, R30, R49, R54: read-only, maintenance and the circuit breaker, as every worker applies them."""

from __future__ import annotations

import pytest

CASE = {"patient_id": "pat-001", "symptoms": ["cough", "fever"], "medications": ["Coumadin", "ASA"]}


@pytest.mark.req("R61")
def test_read_only_refuses_writes_at_once_and_serves_reads(launch, cli, emulators) -> None:
    service = launch(**emulators.env)
    made = service.post(CASE).json()
    workers = service.each_worker()
    headers = service.auth()
    assert cli("modes set read_only true")[0] == 0
    for client in workers.values():  # at once: no worker writes on an old view
        answer = client.post("/api/diagnostics", json=CASE, headers=headers)
        service.check(answer, "/api/diagnostics")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "read_only")
        assert client.get(f"/api/diagnostics/{made['id']}", headers=headers).json() == made
    code, answer = cli("smoke", **emulators.env)
    assert (code, answer["problems"]) == (1, ["read-only mode is on"]), "another writer was not stopped"
    assert cli("modes set read_only false")[0] == 0
    assert service.post(CASE).status_code == 201


@pytest.mark.req("R61")
def test_maintenance_is_seen_and_left_without_a_restart(steady) -> None:
    service = steady
    workers = service.each_worker()
    service.set("maintenance", True)
    for client in workers.values():
        answer = client.get("/api/version")
        service.check(answer, "/api/version")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "maintenance")
        assert int(answer.headers["retry-after"]) > 0
        for path in ("/api/health", "/api/health/database", "/api/health/redis", "/api/health/ai-services"):
            health = client.get(path)
            assert (health.status_code, health.json()["modes"]["maintenance"]) == (200, True)
    assert service.post(CASE).status_code == 503
    service.set("maintenance", False)
    assert {client.get("/api/version").status_code for client in workers.values()} == {200}
    assert set(service.each_worker()) == set(workers)


@pytest.mark.req("R61")
def test_breaker_opens_after_five_failures_and_closes_after_a_trial(launch, emulators, until) -> None:
    service = launch(**emulators.env, BREAKER_RESET_S="1")
    service.set("breaker_threshold", 5)
    _, client = service.each_worker().popitem()
    headers = service.auth()

    def ask() -> tuple[int, str | None]:
        answer = client.post("/api/diagnostics", json=CASE, headers=headers)
        service.check(answer, "/api/diagnostics")
        return answer.status_code, answer.json().get("error", {}).get("code")

    emulators.set("openrouter", "down")
    before = emulators.seen("openrouter")
    assert [ask() for _ in range(5)] == [(502, "ai_unavailable")] * 5
    assert ask() == (503, "breaker_open")
    assert emulators.seen("openrouter") == before + 5, "the open breaker let a call through"
    mine = client.get("/api/operator/process", headers=headers).json()
    assert mine["breaker"] == {"state": "open", "failures": 5}
    until("the trial call", lambda: ask() == (502, "ai_unavailable"))
    assert emulators.seen("openrouter") == before + 6
    assert ask()[1] == "breaker_open"
    assert service.metric("ai_failures_total", reason="breaker_open") >= 2, "an outage goes on when the breaker opens"
    assert service.metric("ai_failures_total") == service.metric("ai_requests_total")
    emulators.set("openrouter")
    until("it closes", lambda: ask()[0] == 201)
    assert client.get("/api/operator/process", headers=headers).json()["breaker"]["state"] == "closed"


def test_a_breaker_that_is_off_lets_everything_through(launch, emulators) -> None:
    service = launch(**emulators.env, INITIAL_CONTROL="breaker=false,breaker_threshold=1")
    emulators.set("openrouter", "down")
    _, client = service.each_worker().popitem()
    codes = [client.post("/api/diagnostics", json=CASE, headers=service.auth()).status_code for _ in range(3)]
    assert codes == [502, 502, 502]


@pytest.mark.req("R61")
@pytest.mark.defect("D26")
def test_control_route_takes_only_what_it_knows(steady) -> None:
    service = steady
    headers, before = service.auth("operator"), service.processes()["control_version"]
    for name, body in (
        ("ai_diagnostics_enabled", {"reason": "x"}),
        ("ai_diagnostics_enabled", {"value": 1, "reason": "x"}),
        ("ai_diagnostics_enabled", {"value": "false", "reason": "x"}),
        ("ai_diagnostics_rollout", {"value": True, "reason": "x"}),
        ("ai_diagnostics_rollout", {"value": 101, "reason": "x"}),
        ("ai_diagnostics_rollout", {"value": -1, "reason": "x"}),
        ("ai_diagnostics", {"value": False, "reason": "x"}),
        ("maintenance", {"value": True}),
    ):
        answer = service.http.put(f"/api/operator/control/{name}", json=body, headers=headers)
        service.check(answer, "/api/operator/control/{name}")
        assert answer.status_code == 422, (name, body)
    assert service.processes()["control_version"] == before
