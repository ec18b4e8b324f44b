"""The diagnostics API (R62a): create a request, fetch it again."""

from __future__ import annotations

import asyncio
import os
import re

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_diagnostics import metrics
from ai_diagnostics.auth import AuthError
from ai_diagnostics.border import NewDiagnostic, places
from ai_diagnostics.documents import RequestRow, ResultRow
from ai_diagnostics.envelope import failure, limited_body
from ai_diagnostics.service import Service
from ai_diagnostics.store import StoreError, WriteRefused
from ai_diagnostics.workflow import WorkflowFailed

_STATUS = {"unknown_patient": 422, "ai_unavailable": 502, "ai_refused": 502, "breaker_open": 503, "release_fault": 500}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def version(request: Request) -> Response:
    """GET /api/version: which release answers."""
    settings = request.app.state.service.settings
    body = {"version": settings.version, "pod": settings.pod, "pid": os.getpid()}
    return JSONResponse({**body, "model": settings.model, "prompt_version": settings.prompt_version})


async def create(request: Request) -> Response:
    """POST /api/diagnostics: work a request off and answer with its result."""
    service: Service = request.app.state.service
    caller = service.authority.caller(request.headers.get("authorization"), "diagnostics:write")
    try:
        new = NewDiagnostic.model_validate_json(await limited_body(request))
    except ValidationError as error:
        return failure(422, "invalid", "the request is not valid", details=places(error))
    row, result = await service.workflow.run(new, caller.subject)
    return JSONResponse(shown(row, result), 201, {"Location": f"/api/diagnostics/{row.id}"})


async def fetch(request: Request) -> Response:
    """GET /api/diagnostics/{id}: a stored request with its result."""
    service: Service = request.app.state.service
    service.authority.caller(request.headers.get("authorization"), "diagnostics:read")
    request_id = request.path_params["id"]
    row = None
    if _ID.fullmatch(request_id):
        row = await asyncio.to_thread(service.data.request, request_id)
    if row is None:
        return failure(404, "not_found", "there is no such diagnostic request")
    result = await asyncio.to_thread(service.data.result_of, request_id) if row.status == "completed" else None
    return JSONResponse(shown(row, result))


def shown(row: RequestRow, result: ResultRow | None) -> dict[str, object]:
    """A request and its result as the API gives them."""
    shown_result = None
    if result is not None:
        shown_result = {
            "id": result.id,
            "created_at": result.created_at,
            **result.body,
            "provenance": result.provenance,
        }
    return {
        "id": row.id,
        "created_at": row.created_at,
        "status": row.status,
        "reason": row.reason,
        "synthetic": row.synthetic,
        "request": row.body,
        "result": shown_result,
    }


async def refused_auth(_request: Request, error: Exception) -> Response:
    """401 or 403 for an AuthError."""
    assert isinstance(error, AuthError)  # noqa: S101  # registered for this type only
    answer = failure(error.status, error.code, str(error))
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    return answer


async def refused_write(request: Request, error: Exception) -> Response:
    """503 for a write in read-only mode."""
    request.state.refused = True
    metrics.REFUSED.labels("read_only").inc()
    return failure(503, "read_only", str(error))


async def failed_store(_request: Request, error: Exception) -> Response:
    """503 when the database is down."""
    return failure(503, "store_unavailable", type(error).__name__)


async def failed_workflow(_request: Request, error: Exception) -> Response:
    """An error with the id under which the failed request is stored."""
    assert isinstance(error, WorkflowFailed)  # noqa: S101  # registered for this type only
    answer = failure(_STATUS.get(error.reason, 500), error.reason, "the request failed", id=error.request_id)
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return answer


async def http_error(_request: Request, error: Exception) -> Response:
    """Starlette's own errors (404, 405, 413) in our shape."""
    status = getattr(error, "status_code", 500)
    names = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    return failure(status, names.get(status, "http_error"), names.get(status, "error").replace("_", " "))


ROUTES = [
    Route("/api/version", version),
    Route("/api/diagnostics", create, methods=["POST"]),
    Route("/api/diagnostics/{id}", fetch),
]
ERRORS = {
    AuthError: refused_auth,
    WriteRefused: refused_write,
    StoreError: failed_store,
    WorkflowFailed: failed_workflow,
}
