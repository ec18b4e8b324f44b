"""A server on a free port of this machine that answers as a provider does, or fails as one can."""

import asyncio
import contextlib
import json
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from starlette.applications import Starlette
from starlette.routing import Route

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: An answer that is larger than anybody needs.
HUGE = 10 * 1024 * 1024
_STARTS_WITHIN_S = 20.0


class Fail(StrEnum):
    """How a request can fail.

    DOWN: no connection. DROP: the connection ends, and nothing was done. CUT: what was asked for is done, and the
    connection ends before the answer; CUT_BODY: in the middle of it. HANG: nothing is done, and no answer comes. SLOW:
    done after a while. STATUS: another status, and nothing is done. HUGE, ENDLESS, GARBAGE, DEEP: done, and the answer
    is ten megabytes, has no end, is no JSON, is nested 10,000 deep.
    """

    DOWN = "down"
    DROP = "drop"
    CUT = "cut"
    CUT_BODY = "cut body"
    HANG = "hang"
    SLOW = "slow"
    STATUS = "status"
    HUGE = "huge"
    ENDLESS = "endless"
    GARBAGE = "garbage"
    DEEP = "deep"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that lasts until the emulator recovers.

    Attributes:
        status, headers, text: of STATUS. after_s: of SLOW.
        method: only requests of this method; "" all.
    """

    how: Fail
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    after_s: float = 0.5
    method: str = ""


@dataclass
class Received:
    """One request, whatever became of it.

    Attributes:
        status: what it was answered; None for no answer.
        done: whether it had its effect.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float
    status: int | None = None
    done: bool = False

    def json(self) -> Any:
        """Its body. Raises ValueError."""
        return json.loads(self.body)


class Window:
    """At most `limit` in any `seconds`, by key."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.seconds, self._clock = limit, seconds, clock
        self._seen: dict[str, deque[float]] = {}

    def wait_s(self, key: str) -> float:
        """0 where one more is allowed, and counted; else for how long none is."""
        now, seen = self._clock(), self._seen.setdefault(key, deque())
        while seen and seen[0] <= now - self.seconds:
            seen.popleft()
        if len(seen) >= self.limit:
            return seen[0] + self.seconds - now
        seen.append(now)
        return 0.0


def whole_seconds(wait_s: float) -> str:
    """A `Retry-After` that is not too short."""
    return str(max(1, math.ceil(wait_s)))


class Emulator:
    """A provider. Subclasses give its routes.

    Attributes:
        log: every request that came, in order.
        fault: what goes wrong at present.
        left: for how many more requests; None: until somebody says otherwise.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.log: list[Received] = []
        self.fault: Fault | None = None
        self.left: int | None = None
        self._app = Starlette(routes=list(routes))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.BaseTransport] = set()
        self._port = 0
        self._scheme = "http"
        self._config: Any = None

    # ---- running -----------------------------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return f"{self._scheme}://127.0.0.1:{self._port}"

    def start(self, cert: Path | None = None, key: Path | None = None) -> Self:
        """Listen on a free port; with a certificate over TLS only."""
        import uvicorn

        config = uvicorn.Config(
            self,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=1,
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
        config.load()
        self._config, self._scheme = config, "https" if cert else "http"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=type(self).__name__, daemon=True)
        self._thread.start()
        if not ready.wait(_STARTS_WITHIN_S):
            raise RuntimeError("the emulator did not start")
        return self

    def stop(self) -> None:
        """End it with all its connections. May be called twice."""
        if self._loop is None or self._thread is None:
            return
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STARTS_WITHIN_S)
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self if self._thread else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---- faults ------------------------------------------------------------------------------------------------------
    def fails(self, how: Fail, times: int | None = None, **how_exactly: Any) -> None:
        """Let requests fail from now on.

        Args:
            times: how many of them; None: all. DOWN lasts until `recovers`.
            how_exactly: fields of `Fault`.
        """
        was_down = self.fault is not None and self.fault.how is Fail.DOWN
        self.fault, self.left = Fault(how, **how_exactly), times
        if how is Fail.DOWN:
            self._await(self._close())
        elif was_down:
            self._await(self._listen())

    def recovers(self) -> None:
        """Answer as the provider does."""
        was_down = self.fault is not None and self.fault.how is Fail.DOWN
        self.fault, self.left = None, None
        if was_down:
            self._await(self._listen())

    def requests(self, method: str, path: str = "") -> list[Received]:
        """Requests of the log with this method, and with a path that begins so."""
        return [r for r in self.log if r.method == method and r.path.startswith(path)]

    # ---- serving -----------------------------------------------------------------------------------------------------
    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        got = Received(scope["method"], scope["path"], query, headers, body, time.time())
        self.log.append(got)
        fault = self._fault_of(got.method)
        if fault is None:
            await self._do(scope, body, got, send)
        else:
            await self._fail(fault, scope, body, got, receive, send)

    async def _do(self, scope: MutableMapping[str, Any], body: bytes, got: Received, send: Send) -> None:
        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                got.status = message["status"]
                got.done = message["status"] < 400
            await send(message)

        await self._app(scope, replay, note)

    async def _fail(
        self, fault: Fault, scope: MutableMapping[str, Any], body: bytes, got: Received, receive: Receive, send: Send
    ) -> None:
        async def unsent(_: Message) -> None:
            """The answer is not sent on."""

        async def respond(status: int, headers: Mapping[str, str], *parts: bytes, more: bool = False) -> None:
            raw = [(k.encode(), v.encode()) for k, v in headers.items()]
            got.status = status
            await send({"type": "http.response.start", "status": status, "headers": raw})
            for n, part in enumerate(parts, 1):
                await send({"type": "http.response.body", "body": part, "more_body": more or n < len(parts)})

        match fault.how:
            case Fail.SLOW:
                await asyncio.sleep(fault.after_s)
                await self._do(scope, body, got, send)
                return
            case Fail.STATUS:
                await respond(fault.status, fault.headers, fault.text.encode())
                return
            case Fail.HANG:
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            case Fail.DROP:
                _transport(send).abort()
                return
        await self._do(scope, body, got, unsent)
        json_ = {"content-type": "application/json"}
        status = got.status or 200
        match fault.how:
            case Fail.CUT:
                got.status = None
                _transport(send).abort()
            case Fail.CUT_BODY:
                await respond(status, {**json_, "content-length": "1000"}, b'{"', more=True)
                _transport(send).close()
            case Fail.HUGE:
                await respond(status, json_, *([b"[" + b" " * (1024 * 1024)] * (HUGE // (1024 * 1024))))
            case Fail.GARBAGE:
                await respond(status, {"content-type": "text/html"}, b"<html>\xff everything is fine")
            case Fail.DEEP:
                await respond(status, json_, b"[" * 10_000)
            case _:
                await respond(status, json_, b"[", more=True)
                while not _transport(send).is_closing():
                    await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})
                    await asyncio.sleep(0)

    def _fault_of(self, method: str) -> Fault | None:
        fault = self.fault
        if fault is not None and fault.method not in ("", method):
            return None
        if fault is not None and self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.fault, self.left = None, None
        return fault

    def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._listen())
        self._loop.call_soon(ready.set)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))

    def _await(self, what: Any) -> None:
        if self._loop is None:
            raise RuntimeError("the emulator does not run")
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_STARTS_WITHIN_S)

    async def _listen(self) -> None:
        from uvicorn.server import ServerState

        state, transports, config = ServerState(), self._transports, self._config

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(config=config, server_state=state, app_state={})
            made.access_log = False  # type: ignore[attr-defined]  # uvicorn asks the log's handlers, not its own switch
            begins = made.connection_made

            def connection_made(transport: asyncio.BaseTransport) -> None:
                transports.add(transport)
                begins(transport)

            made.connection_made = connection_made  # type: ignore[method-assign]
            return made

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            protocol, "127.0.0.1", self._port, ssl=config.ssl, reuse_address=True, backlog=128
        )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        for transport in self._transports:
            with contextlib.suppress(AttributeError):
                transport.abort()  # type: ignore[attr-defined]
        self._transports.clear()
        await asyncio.sleep(0)


def _transport(send: Send) -> asyncio.Transport:
    """The connection behind uvicorn's `send`: ASGI itself has no word for cutting it."""
    found: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    return found
