"""The web application of one worker process."""

from __future__ import annotations

import os
import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ai_diagnostics import __version__
from ai_diagnostics.faults import Share
from ai_diagnostics.settings import Settings


class Envelope:
    """Every answer says which release and which process gave it: X-Release, X-Pod, X-Pid."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.errors = Share(settings.faults.errors_rate)
        self.headers = [
            (b"x-release", settings.version.encode()),
            (b"x-pod", settings.pod.encode()),
            (b"x-pid", str(os.getpid()).encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self.headers]}
            await send(message)

        path: str = scope["path"]
        if path.startswith("/api/") and not path.startswith("/api/health") and self.errors.hit():
            await JSONResponse({"error": {"code": "release_fault"}}, 500)(scope, receive, stamped)
            return
        await self.app(scope, receive, stamped)


def build(settings: Settings) -> Starlette:
    """Put the application of one worker together; call it after the fork, it notes the pid."""
    pid = os.getpid()

    async def health(_request: Request) -> Response:
        began = time.perf_counter()
        bad = settings.faults.unhealthy(time.monotonic() - settings.started)
        body = {
            "status": "failed" if bad else "ok",
            "version": __version__,
            "release": settings.version,
            "checks": {},
            "latency_ms": round((time.perf_counter() - began) * 1000, 3),
            "pod": settings.pod,
            "pid": pid,
        }
        return JSONResponse(body, 503 if bad else 200)

    async def version(_request: Request) -> Response:
        return JSONResponse({"version": __version__, "release": settings.version, "pod": settings.pod, "pid": pid})

    routes = [Route("/api/health", health), Route("/api/version", version)]
    routes += [Route(f"/api/health/{part}", health) for part in ("database", "redis", "ai-services")]
    app = Starlette(routes=routes)
    app.add_middleware(Envelope, settings=settings)  # type: ignore[arg-type]
    return app
