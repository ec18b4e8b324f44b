"""R62a: the service's own work, with emulated systems: done, degraded, refused; tokens; no PHI in logs."""

from __future__ import annotations

import base64
import json
import time

import pytest

CASE = {
    "patient_id": "pat-001",
    "symptoms": ["cough", "fever"],
    "labs": [{"code": "6690-2", "value": 14.0, "unit": "10*3/uL"}],
    "medications": ["Coumadin", "acetylsalicylic acid", "no such drug"],
}


@pytest.mark.req("R62a")
def test_a_request_is_worked_off_stored_and_fetched(steady, emulators) -> None:
    service = steady
    answer = service.post(CASE)
    assert answer.status_code == 201
    made = answer.json()
    assert made["status"] == "completed"
    result = made["result"]
    assert [item["icd10"] for item in result["differential"]] == ["J18.9", "J10.1"]
    assert result["warnings"] == [{"drugs": ["aspirin", "warfarin"], "text": "Higher risk of bleeding"}]
    assert [(drug["rxcui"], drug["name"]) for drug in result["drugs"]] == [
        ("11289", "warfarin"),
        ("1191", "aspirin"),
        (None, None),
    ]
    assert result["inputs"] == {"rxnorm": "used", "fhir": "used", "lab": "used"}
    assert result["provenance"]["model_answered"] == "openai/gpt-4o-mini"
    path = answer.headers["location"]
    for client in service.each_worker().values():
        assert client.get(path, headers=service.auth("diagnostics:read")).json() == made
    asked = [json.loads(line) for line in emulators.log.read_text().splitlines()]
    question = next(json.loads(item["body"]) for item in reversed(asked) if item["path"].endswith("completions"))
    assert question["response_format"]["json_schema"]["strict"] is True
    sent = json.dumps(question["messages"])
    assert "pat-001" not in sent
    assert "1958" not in sent


@pytest.mark.req("R62a")
def test_a_source_that_is_down_or_off_is_named(steady, emulators) -> None:
    service = steady
    emulators.set("lab", "garbage")
    emulators.set("rxnorm", "down")
    service.set("fhir_integration_enabled", False)
    before = emulators.seen("fhir")
    made = service.post(CASE).json()
    assert made["status"] == "completed"
    assert made["result"]["inputs"] == {"rxnorm": "unavailable", "fhir": "disabled", "lab": "unavailable"}
    assert emulators.seen("fhir") == before
    assert [drug["rxcui"] for drug in made["result"]["drugs"]] == [None, None, None]


@pytest.mark.req("R62a")
def test_an_answer_that_may_not_be_used_fails_the_request(service, emulators) -> None:
    for mode, code in (
        ("wrong", "ai_refused"),
        ("error_in_200", "ai_unavailable"),
        ("garbage", "ai_unavailable"),
        ("down", "ai_unavailable"),
    ):
        emulators.set("openrouter", mode)
        answer = service.post(CASE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, code)
        stored = service.http.get(f"/api/diagnostics/{answer.json()['error']['id']}", headers=service.auth()).json()
        assert (stored["status"], stored["reason"], stored["result"]) == ("failed", code, None)
    reasons = {labels["reason"]: value for labels, value in service.samples("ai_failures_total") if value}
    assert reasons == {"guardrail_probability": 1, "status": 2, "invalid": 1}
    emulators.set("openrouter", answers_as="openai/gpt-4o-mini-2099")
    provenance = service.post(CASE).json()["result"]["provenance"]
    assert provenance["model_asked"] != provenance["model_answered"] == "openai/gpt-4o-mini-2099"


@pytest.mark.req("R62a")
def test_unknown_patient_and_slow_model(launch, emulators) -> None:
    service = launch(**emulators.env, AI_TIMEOUT_S="0.5")
    answer = service.post({**CASE, "patient_id": "pat-999"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unknown_patient")
    emulators.set("openrouter", "slow", seconds=20)
    began = time.monotonic()
    assert service.post(CASE).status_code == 502
    assert time.monotonic() - began < 5


def test_the_kill_switch_stops_calls_of_the_model(steady, emulators) -> None:
    service = steady
    assert service.post(CASE).json()["status"] == "completed"
    service.set("ai_diagnostics_enabled", False)
    off_at, before, calls = time.time(), emulators.seen("openrouter"), service.metric("guarded_calls_total")
    for client in service.each_worker().values():
        made = client.post("/api/diagnostics", json=CASE, headers=service.auth())
        service.check(made, "/api/diagnostics")
        assert (made.status_code, made.json()["status"]) == (201, "not_processed")
        assert made.json()["reason"] == "ai_diagnostics_enabled is off"
    assert emulators.seen("openrouter") == before
    assert service.metric("guarded_calls_total") == calls
    for process in service.processes()["processes"]:
        last = process["guarded_calls"].get("ai_diagnostics_enabled", {}).get("last_at")
        assert last is None or last < off_at
    service.set("ai_diagnostics_enabled", True)
    service.set("ai_diagnostics_rollout", 0)
    assert service.post(CASE).json()["reason"] == "outside ai_diagnostics_rollout"


@pytest.mark.req("R62a")
def test_bad_input_is_named_by_place_and_never_quoted(steady) -> None:
    service = steady
    marker = "Zebra-Marker"
    bad = {
        "patient_id": f"{marker} with spaces",
        "symptoms": [f"{marker}\n", ""],
        "labs": [{"code": marker, "value": "1", "unit": "x"}],
        "medications": marker,
        "surprise": marker,
    }
    answer = service.post(bad)
    assert answer.status_code == 422
    places = {item["path"] for item in answer.json()["error"]["details"]}
    assert {
        "patient_id",
        "symptoms.0",
        "symptoms.1",
        "labs.0.code",
        "labs.0.value",
        "medications",
        "surprise",
    } <= places
    assert marker not in answer.text
    assert service.http.post("/api/diagnostics", content=b"{", headers=service.auth()).status_code == 422
    assert service.post({**CASE, "synthetic": True}).status_code == 422
    assert marker not in service.process.output


@pytest.mark.req("R62a")
def test_no_phi_in_logs(service, emulators) -> None:
    markers = ["pat-002", "Quokka cramps", "Quokkamycin", "Quokka unit"]
    case = {
        "patient_id": markers[0],
        "symptoms": [markers[1]],
        "labs": [{"code": "1-1", "value": 987654.5, "unit": markers[3]}],
        "medications": [markers[2]],
    }
    made = service.post(case).json()
    for name, mode in (("openrouter", "wrong"), ("openrouter", "down"), ("fhir", "down"), ("rxnorm", "garbage")):
        emulators.set(name, mode)
        service.post(case)
    service.http.get(f"/api/diagnostics/{made['id']}?note=Quokka", headers=service.auth())
    service.http.get("/api/Quokka/pat-002")
    service.process.stop()
    assert '"route": "/api/diagnostics/{id}"' in service.process.output
    for marker in (*markers, "Quokka", "987654", made["id"], "tester"):
        assert marker not in service.process.output


def forged(header: dict[str, object], claims: dict[str, object]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, ""])


@pytest.mark.req("R61")
def test_tokens(launch) -> None:
    new, old = "the-new-secret-of-the-service-0123456789", "the-old-secret-of-the-service-0123456789"
    service = launch(JWT_SECRET=new)
    at = int(time.time())
    claims = {"sub": "x", "scope": "operator", "iat": at, "exp": at + 60}
    cases = {
        "token_missing": {},
        "key_unknown": service.auth("operator", env={"JWT_SECRET": old}),
        "token_invalid": {"Authorization": "Bearer " + forged({"alg": "HS256"}, claims) + "abc"},
        "scope_missing": service.auth("diagnostics:read"),
    }
    kid = json.loads(base64.urlsafe_b64decode(service.auth()["Authorization"].split()[1].split(".")[0] + "=="))["kid"]
    for name, headers in {
        **cases,
        "key_unknown ": {"Authorization": "Bearer " + forged({"alg": "HS256"}, claims)},
        "token_invalid ": {"Authorization": "Bearer " + forged({"alg": "none", "kid": kid}, claims)},
        "token_invalid  ": service.auth("operator", env={"JWT_SECRET": old, "JWT_KID": kid}),
        "token_invalid   ": {"Authorization": "Bearer a.b"},
    }.items():
        answer = service.get("/api/operator/processes", headers=headers)
        assert answer.status_code == (403 if name.startswith("scope") else 401), name
        if name in cases and name != "token_invalid":
            assert answer.json()["error"]["code"] == name
    assert service.get("/api/operator/processes", headers=service.auth("operator")).status_code == 200
    both = launch(JWT_SECRET="", JWT_KEYS=json.dumps({"old": old, "new": new}))
    for kid, secret in (("old", old), ("new", new)):
        headers = service.auth("operator", env={"JWT_SECRET": secret, "JWT_KID": kid})
        assert both.get("/api/operator/process", headers=headers).status_code == 200


@pytest.mark.req("R62a")
def test_rxnorm_answers_are_kept_in_redis(launch, emulators, redis_server, cli) -> None:
    service = launch(**emulators.env, REDIS_URL=redis_server[1])
    service.post(CASE)
    before = emulators.seen("rxnorm")
    made = service.post(CASE).json()
    assert emulators.seen("rxnorm") == before
    assert made["result"]["drugs"][0] == {"given": "Coumadin", "rxcui": "11289", "name": "warfarin"}
    code, answer = cli("cache clear", REDIS_URL=redis_server[1])
    assert (code, answer["data"]["removed_keys"]) == (0, 3)
    service.post(CASE)
    assert emulators.seen("rxnorm") > before
