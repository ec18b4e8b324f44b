"""The web application of one worker process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from ai_diagnostics import api, health, operator_api
from ai_diagnostics.envelope import Envelope
from ai_diagnostics.logs import log
from ai_diagnostics.service import open_service
from ai_diagnostics.settings import Settings

_THREADS = 32  # for the stores' blocking calls; a hanging dependency must not use up all of them at once


def build(settings: Settings, number: int) -> Starlette:
    """Put the application of worker `number` together; call it after the fork, it notes the pid."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "store"))
        service = open_service(settings, number)
        app.state.service = service
        await asyncio.to_thread(service.pulse.start)
        beat = asyncio.create_task(service.beat())
        log("ready", worker=number)
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.to_thread(service.pulse.stop)
            await service.systems.close()

    faults = settings.faults
    envelope = Middleware(
        Envelope,
        release=settings.version,
        pod=settings.pod,
        errors_rate=faults.errors_rate,
        slow_s=faults.slow_s,
    )
    return Starlette(
        routes=[*health.ROUTES, *api.ROUTES, *operator_api.ROUTES],
        middleware=[envelope],
        exception_handlers={**api.ERRORS, HTTPException: api.http_error},
        lifespan=lifespan,
    )
