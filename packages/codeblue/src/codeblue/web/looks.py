"""GET /healthz, /v1/status, /metrics: for those who look at Code Blue itself."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from codeblue.engine.overview import overview
from codeblue.model.secret import Secret
from codeblue.web.answers import Problem, errors
from codeblue.web.desk import Desk, require_token
from codeblue.web.metrics import Numbers


class Alive(BaseModel):
    """That the loop lives. What it sees of the service is not for everybody who can reach this port."""

    acting: bool = Field(description="This process holds the lease; false: it stands by.")
    last_cycle_age_s: float = Field(description="Seconds since the loop ended its last cycle.")


def looks(desk: Desk, numbers: Numbers) -> APIRouter:
    """The endpoints that need no token."""
    router = APIRouter()
    limit_s = desk.profile.watchdog.silent_after
    scraping = asyncio.Lock()

    @router.get("/healthz", summary="Whether the loop lives", responses=errors(503))
    async def get_healthz() -> Alive:
        """200 while the last cycle of the loop is younger than `watchdog.silent_after`, else 503: for a probe that
        starts a hanging process anew."""
        pulse = desk.loop.pulse()
        if pulse.age_s > limit_s:
            raise Problem(
                503,
                f"The loop has said nothing for {pulse.age_s:.0f} s > {limit_s:g} s: it hangs.",
                "Start this process anew; what it did goes on from the record.",
            )
        return Alive(acting=pulse.acting, last_cycle_age_s=round(pulse.age_s, 3))

    @router.get(
        "/metrics",
        summary="Code Blue's own metrics, as Prometheus reads them",
        response_class=PlainTextResponse,
        responses=errors(503),
    )
    async def get_metrics() -> PlainTextResponse:
        """Counts only: no names of patients, pods or people."""
        async with scraping:
            text = await desk.with_record(lambda: generate_latest(numbers.registry))
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


def status(desk: Desk, token: Secret) -> APIRouter:
    """What is going on, for those who have the token."""
    router = APIRouter()
    profile = desk.profile
    directory = None if profile.state.database is not None else profile.state.directory

    @router.get(
        "/v1/status",
        summary="What `codeblue status --json` says",
        responses=errors(401, 503),
        openapi_extra={"security": [{"status": []}]},
    )
    async def get_status(request: Request) -> dict[str, Any]:
        """The open incident, the run under way, the last runs (schema codeblue/status/1)."""
        require_token(request, token)
        seen = await desk.with_record(lambda: overview(desk.record, directory))
        document: dict[str, Any] = seen.document(
            service=profile.service, target=profile.target.text, place=desk.place, present=True, others=()
        )
        return document

    return router
