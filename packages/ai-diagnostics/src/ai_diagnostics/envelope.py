"""What every request passes: identity headers, counts, logs, release faults, modes; outermost, plain ASGI."""

from __future__ import annotations

import asyncio
import os
import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ai_diagnostics import metrics
from ai_diagnostics.faults import Share
from ai_diagnostics.logs import log, where
from ai_diagnostics.service import Service

_SPARED = ("/api/health", "/api/operator/")  # health and operators must work in every mode
RETRY_AFTER_S = 30
MAX_BODY = 64 * 1024  # bytes


def failure(status: int, code: str, message: str, **more: object) -> JSONResponse:
    """An error answer in the one shape that all errors have."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return JSONResponse({"error": {"code": code, "message": message, **more}}, status, headers)


async def limited_body(request: Request) -> bytes:
    """The body of a request, at most `MAX_BODY` bytes; raises HTTPException 413 as soon as there are more."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    return bytes(body)


class Envelope:
    """Serves one request and answers for it, whatever happens inside.

    The service is found in `app.state`, because it is opened inside the event loop, after the application is built.
    """

    def __init__(self, app: ASGIApp, release: str, pod: str, errors_rate: float, slow_s: float) -> None:
        self.app = app
        self.errors = Share(errors_rate)
        self.slow_s = slow_s
        self.headers = [
            (b"x-release", release.encode("latin-1", "replace")),
            (b"x-pod", pod.encode("latin-1", "replace")),
            (b"x-pid", str(os.getpid()).encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        service: Service = scope["app"].state.service
        began, status, started, refused = time.perf_counter(), 500, False, False

        async def stamped(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message = {**message, "headers": [*message["headers"], *self.headers]}
            await send(message)

        service.in_flight += 1
        metrics.IN_FLIGHT.inc()
        try:
            early = await self._early(service, scope["path"])
            refused = early is not None and early.status_code == 503
            await (early or self.app)(scope, receive, stamped)
        except Exception as error:  # noqa: BLE001  # the last line of defence: reported and answered
            log("request_failed", method=scope["method"], **where(error))
            if not started:
                await failure(500, "internal", "the request failed; see the log")(scope, receive, stamped)
        finally:
            service.in_flight -= 1
            metrics.IN_FLIGHT.dec()
            refused = refused or scope.get("state", {}).get("refused") is True
            self._count(service, scope, status, time.perf_counter() - began, refused=refused)

    async def _early(self, service: Service, path: str) -> Response | None:
        """An answer before the route is reached: a release fault, or maintenance."""
        if not path.startswith("/api/") or path.startswith(_SPARED):
            return None
        if service.live.on("maintenance"):
            metrics.REFUSED.labels("maintenance").inc()
            return failure(503, "maintenance", "the service is in maintenance mode")
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        return failure(500, "release_fault", "this release is bad on purpose") if self.errors.hit() else None

    def _count(self, service: Service, scope: Scope, status: int, took_s: float, *, refused: bool) -> None:
        route, method, path = scope.get("route"), scope["method"], scope["path"]
        template = route.path if route is not None else "(early)" if path.startswith("/api/") else "(none)"
        metrics.REQUESTS.labels(method, template, str(status)).inc()
        metrics.DURATION.labels(method, template).observe(took_s)
        if path.startswith("/api/") and not path.startswith(_SPARED):
            service.traffic.request(status, refused=refused)
        if not path.startswith(("/api/health", "/metrics")) or status >= 500:
            log("request", method=method, route=template, status=status, ms=round(took_s * 1000, 1))
