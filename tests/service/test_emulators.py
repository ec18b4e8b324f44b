"""R63: the emulators refuse what the originals refuse."""

from __future__ import annotations

import json

import pytest

KEY = {"Authorization": "Bearer sk-or-v1-emulated"}
FHIR = {"Authorization": "Bearer fhir-emulated"}
QUESTION = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.req("R63")
def test_openrouter(emulators) -> None:
    base = "/openrouter/api/v1"
    http = emulators.http
    for answer, status, message in (
        (http.post(f"{base}/chat/completions", json=QUESTION), 401, "No auth credentials found"),
        (http.get(f"{base}/key"), 401, "No auth credentials found"),
        (http.get(f"{base}/key", headers={"Authorization": "Bearer other"}), 401, "User not found."),
        (
            http.post(f"{base}/chat/completions", json={**QUESTION, "model": "a/b"}, headers=KEY),
            400,
            "a/b is not a valid model ID",
        ),
    ):
        assert (answer.status_code, answer.json()) == (status, {"error": {"message": message, "code": status}})
    assert http.post(f"{base}/chat/completions", json={"model": "x"}, headers=KEY).status_code == 400
    assert http.post(f"{base}/chat/completions", content=b"{", headers=KEY).status_code == 400
    assert http.get(f"{base}/health", headers=KEY).status_code == 404
    assert len(http.get(f"{base}/models").json()["data"]) == 4
    answer = http.post(f"{base}/chat/completions", json=QUESTION, headers=KEY).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] >= answer["usage"]["completion_tokens"]
    http.post("/_control", json={"name": "openrouter", "revoke": "sk-or-v1-old"})
    assert http.get(f"{base}/key", headers={"Authorization": "Bearer sk-or-v1-old"}).status_code == 401
    assert http.get(f"{base}/key", headers=KEY).status_code == 200


@pytest.mark.req("R63")
def test_rxnorm(emulators) -> None:
    http = emulators.http
    found = http.get("/rxnorm/REST/rxcui.json", params={"name": "Coumadin", "search": "2"}).json()
    assert found["idGroup"]["rxnormId"] == ["11289"]
    assert http.get("/rxnorm/REST/rxcui/11289/properties.json").json()["properties"]["name"] == "warfarin"
    assert "rxnormId" not in http.get("/rxnorm/REST/rxcui.json", params={"name": "nothing"}).json()["idGroup"]
    assert http.get("/rxnorm/REST/rxcui.json").status_code == 400
    assert http.get("/rxnorm/REST/rxcui/1/properties.json").json() == {}
    assert "version" in http.get("/rxnorm/REST/version.json").json()


@pytest.mark.req("R63")
def test_fhir(emulators) -> None:
    http = emulators.http
    assert http.get("/fhir/metadata").json()["fhirVersion"] == "4.0.1"
    for path, headers, status, code in (
        ("/fhir/Patient/pat-001", {}, 401, "login"),
        ("/fhir/Patient/none", FHIR, 404, "not-found"),
        ("/fhir/Nonsense/1", FHIR, 404, "not-supported"),
        ("/fhir/Nonsense?patient=x", FHIR, 404, "not-supported"),
        ("/fhir/Observation", FHIR, 400, "invalid"),
        ("/fhir/Observation?patient=x&colour=red", FHIR, 400, "invalid"),
    ):
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert answer.headers["content-type"].startswith("application/fhir+json")
    bundle = http.get("/fhir/MedicationRequest?patient=pat-001", headers=FHIR).json()
    assert (bundle["type"], bundle["total"]) == ("searchset", 1)
    assert bundle["entry"][0]["resource"]["subject"] == {"reference": "Patient/pat-001"}


@pytest.mark.req("R63")
def test_lab_control_and_log(emulators) -> None:
    http = emulators.http
    assert http.get("/lab/v1/results?patient=pat-002").status_code == 401
    headers = {"X-API-Key": "lab-emulated"}
    assert http.get("/lab/v1/results", headers=headers).status_code == 400
    assert len(http.get("/lab/v1/results?patient=pat-002", headers=headers).json()["results"]) == 2
    for bad in ({"name": "other"}, {"name": "lab", "mode": "sideways"}, {"name": "lab", "moode": "down"}):
        assert http.post("/_control", json=bad).status_code == 400
    emulators.set("lab", "down")
    assert http.get("/lab/v1/status", headers=headers).status_code == 503
    emulators.set("lab", "garbage")
    assert "html" in http.get("/lab/v1/status", headers=headers).text
    last = json.loads(emulators.log.read_text().splitlines()[-1])
    assert (last["system"], last["path"], last["status"], last["authenticated"]) == ("lab", "/lab/v1/status", 200, True)
    assert "lab-emulated" not in emulators.log.read_text()
