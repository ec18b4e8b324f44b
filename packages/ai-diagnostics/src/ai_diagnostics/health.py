"""The health endpoints (R59): bounded below 5 s, 200 or 503, and every answer says which process gave it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_diagnostics import probes
from ai_diagnostics.probes import Check, Probe
from ai_diagnostics.service import Service


async def _answer(request: Request, checks: Mapping[str, Probe]) -> Response:
    service: Service = request.app.state.service
    settings, began = service.settings, time.perf_counter()
    results = await probes.run(checks)
    status = probes.overall(results)
    if settings.faults.lies:
        status = "ok"
    if settings.faults.unhealthy(time.monotonic() - settings.started):
        status, results = "failed", {**results, "release": Check("failed", detail="release fault")}
    body = {
        "status": status,
        "version": settings.version,
        "checks": {name: check.as_json() for name, check in results.items()},
        "latency_ms": round((time.perf_counter() - began) * 1000, 3),
        "pod": settings.pod,
        "pid": os.getpid(),
        "modes": {name: service.live.on(name) for name in ("read_only", "maintenance")},
    }
    return JSONResponse(body, 503 if status == "failed" else 200)


async def shallow(request: Request) -> Response:
    """GET /api/health: this process answers. It asks nobody, so a dependency that is down restarts no pod."""
    return await _answer(request, {})


async def database(request: Request) -> Response:
    """GET /api/health/database: ping, write probe, schema version; `read_only` is not a failure."""
    service: Service = request.app.state.service

    def read_only() -> bool:
        return service.control.read().value("read_only") is True

    return await _answer(request, probes.database(service.data, read_only, probes.probe_key(service.settings.pod)))


async def redis(request: Request) -> Response:
    """GET /api/health/redis: PING and set/get, or `disabled`."""
    return await _answer(request, probes.redis(request.app.state.service.cache))


async def ai_services(request: Request) -> Response:
    """GET /api/health/ai-services: OpenRouter, RxNorm, FHIR, lab, at once."""
    service: Service = request.app.state.service
    return await _answer(request, probes.external(service.systems, service.live.on))


ROUTES = [
    Route("/api/health", shallow),
    Route("/api/health/database", database),
    Route("/api/health/redis", redis),
    Route("/api/health/ai-services", ai_services),
]
