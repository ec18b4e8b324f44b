"""`ai-diagnostics emulators`: serve all four stand-ins in one process until SIGTERM.

It prints one line of JSON with the variables that the service needs to use them.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from ai_diagnostics.emulators import fhir, lab, openrouter, rxnorm
from ai_diagnostics.emulators.switch import Board

OPENROUTER_KEY, FHIR_TOKEN, LAB_KEY = "sk-or-v1-emulated", "fhir-emulated", "lab-emulated"


def build(board: Board, fhir_token: str = FHIR_TOKEN, lab_key: str = LAB_KEY) -> Starlette:
    """The application with its four mounts and the control route."""

    async def not_found(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"error": {"message": "Not Found", "code": 404}}, 404)

    return Starlette(
        routes=[
            Mount("/openrouter/api/v1", routes=openrouter.routes(board)),
            Mount("/rxnorm/REST", routes=rxnorm.routes(board)),
            Mount("/fhir", routes=fhir.routes(board, fhir_token)),
            Mount("/lab/v1", routes=lab.routes(board, lab_key)),
            Route("/_control", board.control, methods=["GET", "POST"]),
        ],
        exception_handlers={404: not_found},
    )


def environment(base: str, fhir_token: str = FHIR_TOKEN, lab_key: str = LAB_KEY) -> dict[str, str]:
    """The service's variables for emulators at a base URL."""
    return {
        "OPENROUTER_BASE_URL": f"{base}/openrouter/api/v1",
        "OPENROUTER_API_KEY": OPENROUTER_KEY,
        "RXNORM_BASE_URL": f"{base}/rxnorm/REST",
        "FHIR_BASE_URL": f"{base}/fhir",
        "FHIR_TOKEN": fhir_token,
        "LAB_BASE_URL": f"{base}/lab/v1",
        "LAB_API_KEY": lab_key,
    }


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; returns the exit code."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="ai-diagnostics emulators", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="default 0: a free one")
    parser.add_argument("--log", type=Path, help="append one line of JSON per request to this file")
    options = parser.parse_args(arguments)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # see supervisor.listen
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((options.host, options.port))
        log: TextIO | None = options.log.open("a", encoding="utf-8") if options.log else None
    except OSError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    sock.listen(1024)
    port = sock.getsockname()[1]
    base = f"http://{options.host}:{port}"
    print(json.dumps({"event": "listening", "url": base, "port": port, "env": environment(base)}), flush=True)
    config = uvicorn.Config(
        build(Board(log)), loop="asyncio", http="h11", ws="none", log_config=None, timeout_graceful_shutdown=1
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again after its graceful stop
    uvicorn.Server(config).run(sockets=[sock])
    return 0
