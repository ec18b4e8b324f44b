"""A FHIR R4 server: Patient, MedicationRequest, Observation; errors as OperationOutcome. All patients are invented."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_diagnostics.emulators.switch import Board

TYPE = "application/fhir+json"
_SEARCHED = ("MedicationRequest", "Observation")
# id → birth date, gender, active medications, (LOINC, text, value, unit)
PATIENTS = {
    "pat-001": ("1958-03-02", "female", ("warfarin",), (("8867-4", "Heart rate", 92, "/min"),)),
    "pat-002": ("1990-11-20", "male", (), (("8310-5", "Body temperature", 38.9, "Cel"),)),
    "pat-003": ("1974-07-15", "other", ("metformin", "lisinopril"), ()),
    "synthetic-smoke": ("1970-01-01", "unknown", ("aspirin",), (("8310-5", "Body temperature", 38.4, "Cel"),)),
}


def routes(board: Board, token: str) -> list[Route]:
    """The routes below the FHIR base; a bearer token is demanded for everything but /metadata."""

    async def read(request: Request) -> Response:
        refused = _refused(request, token)
        if refused is not None:
            return refused
        kind, resource_id = request.path_params["kind"], request.path_params["id"]
        if kind not in ("Patient", *_SEARCHED):
            return _outcome(404, "not-supported", f"Unknown resource type '{kind}'")
        if kind != "Patient" or resource_id not in PATIENTS:
            return _outcome(404, "not-found", f"Resource {kind}/{resource_id} is not known")
        born, gender, _, _ = PATIENTS[resource_id]
        patient = {"resourceType": "Patient", "id": resource_id, "gender": gender, "birthDate": born}
        return JSONResponse(patient, media_type=TYPE)

    async def search(request: Request) -> Response:
        refused = _refused(request, token)
        if refused is not None:
            return refused
        kind = request.path_params["kind"]
        if kind not in _SEARCHED:
            return _outcome(404, "not-supported", f"Unknown resource type '{kind}'")
        unknown = set(request.query_params) - {"patient", "status", "_count", "category"}
        if unknown or "patient" not in request.query_params:
            return _outcome(400, "invalid", f"Unknown search parameter or no patient: {sorted(unknown)}")
        return JSONResponse(_bundle(kind, request.query_params["patient"]), media_type=TYPE)

    return [
        Route("/metadata", board.guarded("fhir", metadata)),
        Route("/{kind}/{id}", board.guarded("fhir", read)),
        Route("/{kind}", board.guarded("fhir", search)),
    ]


async def metadata(_request: Request) -> Response:
    """GET /metadata: the CapabilityStatement, without a token."""
    resources = [{"type": kind, "interaction": [{"code": "read"}]} for kind in ("Patient", *_SEARCHED)]
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": resources}],
    }
    return JSONResponse(statement, media_type=TYPE)


def _bundle(kind: str, patient: str) -> dict[str, object]:
    _, _, drugs, values = PATIENTS.get(patient, ("", "", (), ()))
    subject = {"reference": f"Patient/{patient}"}
    resources: list[dict[str, object]] = []
    if kind == "MedicationRequest":
        common = {"resourceType": kind, "status": "active", "intent": "order", "subject": subject}
        resources = [{**common, "medicationCodeableConcept": {"text": drug}} for drug in drugs]
    else:
        for code, text, value, unit in values:
            coding = [{"system": "http://loinc.org", "code": code}]
            quantity = {"value": value, "unit": unit}
            common = {"resourceType": kind, "status": "final", "subject": subject}
            resources.append({**common, "code": {"coding": coding, "text": text}, "valueQuantity": quantity})
    for number, resource in enumerate(resources):
        resource["id"] = f"{patient}-{kind.lower()}-{number}"
    entries = [{"fullUrl": f"{item['resourceType']}/{item['id']}", "resource": item} for item in resources]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}


def _refused(request: Request, token: str) -> Response | None:
    if request.headers.get("authorization") == f"Bearer {token}":
        return None
    return _outcome(401, "login", "A valid bearer token is required")


def _outcome(status: int, code: str, text: str) -> Response:
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status, media_type=TYPE)
