"""What operators read and set over HTTP, with scope `operator` (R61). It works in every mode.

The same can be done with the operator commands while no process of the service is alive.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_diagnostics import control, metrics
from ai_diagnostics.border import NewValue, places
from ai_diagnostics.envelope import failure, limited_body
from ai_diagnostics.processes import agreement
from ai_diagnostics.service import Service


async def processes(request: Request) -> Response:
    """GET /api/operator/processes: what every worker of every pod that shares the control store applies."""
    service = _service(request)
    state = await asyncio.to_thread(service.control.read)
    reports = await asyncio.to_thread(service.control.processes)
    mine = service.report()
    others = [item for item in reports if (item.get("pod"), item.get("pid")) != (mine["pod"], mine["pid"])]
    found = agreement(state, [*others, mine])
    body = {
        "scope": "pod" if service.control.kind == "sqlite" else "all_pods",
        "control_version": state.version,
        "stored": {name: asdict(item) for name, item in state.settings.items()},
        "agreed": found.agreed,
        "disagreements": list(found.disagreements),
        "processes": list(found.processes),
    }
    return JSONResponse(body)


async def process(request: Request) -> Response:
    """GET /api/operator/process: what the answering process applies; needs no store."""
    return JSONResponse(_service(request).report())


async def change(request: Request) -> Response:
    """PUT /api/operator/control/{name}: set a flag or a mode; answers with the value before and after."""
    service = _service(request)
    caller = service.authority.caller(request.headers.get("authorization"), "operator")
    name = request.path_params["name"]
    try:
        new = NewValue.model_validate_json(await limited_body(request))
        value = control.spec(name).check(new.value)
    except ValidationError as error:
        return failure(422, "invalid", "the request is not valid", details=places(error))
    except ValueError as error:
        return failure(422, "invalid", str(error))
    before = (await asyncio.to_thread(service.control.read)).value(name)
    state = await asyncio.to_thread(
        lambda: service.control.change(name, value, actor=caller.subject, reason=new.reason)
    )
    return JSONResponse({"name": name, "before": before, "after": value, "control_version": state.version})


async def scrape(request: Request) -> Response:
    """GET /metrics: all processes of this pod."""
    return Response(await asyncio.to_thread(metrics.exposition), media_type=metrics.CONTENT_TYPE)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    service.authority.caller(request.headers.get("authorization"), "operator")
    return service


ROUTES = [
    Route("/api/operator/processes", processes),
    Route("/api/operator/process", process),
    Route("/api/operator/control/{name}", change, methods=["PUT"]),
    Route("/metrics", scrape),
]
