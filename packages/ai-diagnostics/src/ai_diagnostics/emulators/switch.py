"""Fault switches and the request log of the emulators."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

SYSTEMS = ("openrouter", "rxnorm", "fhir", "lab")
MODES = ("ok", "down", "slow", "garbage", "wrong", "error_in_200")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Switch:
    """How one emulator behaves.

    Attributes:
        mode: ok; down (503); slow (`seconds` later, then ok); garbage (200, but no JSON); and for OpenRouter also
            wrong (JSON that breaks the guardrails) and error_in_200 (an error object with status 200).
        rate: the share of the requests that the mode applies to.
        answers_as: the model id that OpenRouter says has answered, instead of the one that was asked.
        revoked: keys that are refused.
    """

    mode: str = "ok"
    seconds: float = 30.0
    rate: float = 1.0
    answers_as: str = ""
    revoked: set[str] = field(default_factory=set)


@dataclass
class Board:
    """All switches, the log, and the number of requests seen."""

    log: TextIO | None
    switches: dict[str, Switch] = field(default_factory=lambda: {name: Switch() for name in SYSTEMS})
    seen: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYSTEMS, 0))
    _random: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311  # chance, not security

    def applies(self, system: str, mode: str) -> bool:
        """Whether this request meets the mode."""
        switch = self.switches[system]
        return switch.mode == mode and (switch.rate >= 1 or self._random.random() < switch.rate)

    def guarded(self, system: str, handler: Handler) -> Handler:
        """Wrap a handler: count, switch, log."""

        async def serve(request: Request) -> Response:
            self.seen[system] += 1
            body = await request.body()
            answer = await self._answer(system, handler, request)
            self._write(system, request, body, answer.status_code)
            return answer

        return serve

    async def _answer(self, system: str, handler: Handler, request: Request) -> Response:
        if self.applies(system, "down"):
            return PlainTextResponse("upstream connect error", 503)
        if self.applies(system, "slow"):
            await asyncio.sleep(self.switches[system].seconds)
        if self.applies(system, "garbage"):
            return PlainTextResponse("<html>It works!</html>", media_type="text/html")
        return await handler(request)

    def _write(self, system: str, request: Request, body: bytes, status: int) -> None:
        if self.log is None:
            return
        line = {
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "system": system,
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "status": status,
            "authenticated": any(name in request.headers for name in ("authorization", "x-api-key")),
            "body": body.decode("utf-8", "replace"),
        }
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()

    async def control(self, request: Request) -> Response:
        """POST /_control {name, mode, seconds?, rate?, answers_as?, revoke?}; GET tells the state."""
        if request.method == "POST":
            problem = self._set(await request.json())
            if problem:
                return JSONResponse({"error": problem}, 400)
        state = {name: {**vars(item), "revoked": len(item.revoked)} for name, item in self.switches.items()}
        return JSONResponse({"switches": state, "seen": self.seen})

    def _set(self, asked: dict[str, object]) -> str:
        names = list(SYSTEMS) if asked.get("name") == "all" else [str(asked.get("name"))]
        unknown = set(asked) - {"name", "mode", "seconds", "rate", "answers_as", "revoke"}
        if unknown or not set(names) <= set(SYSTEMS):
            return f"unknown {sorted(unknown) or names}; names are {', '.join(SYSTEMS)}, all"
        if asked.get("mode", "ok") not in MODES:
            return f"unknown mode; modes are {', '.join(MODES)}"
        for name in names:
            switch = self.switches[name]
            switch.mode = str(asked.get("mode", switch.mode))
            switch.seconds = float(str(asked.get("seconds", switch.seconds)))
            switch.rate = float(str(asked.get("rate", 1.0)))
            switch.answers_as = str(asked.get("answers_as", ""))
            if "revoke" in asked:
                switch.revoked.add(str(asked["revoke"]))
        return ""
