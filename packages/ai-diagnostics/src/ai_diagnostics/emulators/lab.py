"""A laboratory system with a small REST interface behind X-API-Key. All values are invented."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_diagnostics.emulators.switch import Board

RESULTS = {
    "pat-001": (("6301-6", 3.4, "{INR}"),),
    "pat-002": (("6690-2", 15.2, "10*3/uL"), ("1988-5", 88.0, "mg/L")),
    "synthetic-smoke": (("6690-2", 12.8, "10*3/uL"),),
}


def routes(board: Board, key: str) -> list[Route]:
    """The routes below the laboratory's base; all of them demand the key."""

    async def results(request: Request) -> Response:
        if request.headers.get("x-api-key") != key:
            return JSONResponse({"error": "invalid API key"}, 401)
        patient = request.query_params.get("patient")
        if not patient:
            return JSONResponse({"error": "patient is required"}, 400)
        found = [{"code": code, "value": value, "unit": unit} for code, value, unit in RESULTS.get(patient, ())]
        return JSONResponse({"results": found})

    async def status(request: Request) -> Response:
        if request.headers.get("x-api-key") != key:
            return JSONResponse({"error": "invalid API key"}, 401)
        return JSONResponse({"status": "up"})

    return [Route("/results", board.guarded("lab", results)), Route("/status", board.guarded("lab", status))]
