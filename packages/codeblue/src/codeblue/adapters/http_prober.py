"""Asks for health over HTTP as a client would: keeps `ports.prober.Prober`.

An answer is judged by `classify`, a function that can be exchanged: where an API server's proxy stands between us and
the pod, only the Kubernetes adapter can tell the proxy's own 503 from the pod's.
"""

import asyncio
import errno
import json
import re
import socket
import ssl as tls
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx2

from codeblue.model.health import Outcome, Probe
from codeblue.ports.platform import Place
from codeblue.ports.prober import BODY_LIMIT

#: Bytes after which an answer counts as one without an end. A page of some size where health was meant is no failure
#: (a kubelet's probe takes it for success as well), a stream that never ends is.
ENDLESS = 8 * 1024 * 1024

#: What a JSON answer may say of itself that outweighs its 2xx: R59's word, and those of the health+json draft
#: (draft-inadarei-api-health-check, "fail", "error", "down").
_FAILED = frozenset({"failed", "fail", "error", "down"})

#: What a version may look like. Anything else in that field is not repeated: a body can hold patient data (B9).
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:@/-]{0,127}")


class Failure(StrEnum):
    """Why there is no complete answer."""

    REFUSED = "connection refused"
    RESET = "connection closed before the whole answer came"
    NO_CONNECTION = "no connection within the limit"
    SLOW = "no complete answer within the limit"
    GARBLED = "the answer is not HTTP"
    NAME = "the name does not resolve"
    TLS = "no TLS session"
    NETWORK = "the network did not carry the request"
    ENDLESS = "the answer has no end"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it, as `classify` judges it.

    Attributes:
        url: what was asked for.
        status: HTTP status, or None when none came.
        headers: of the answer, names in lower case.
        body: its start, `BODY_LIMIT` bytes unless more was asked for; of an answer without a content encoding. Never
            goes into a message.
        failure: why the answer is missing or incomplete, or None for a complete one.
    """

    url: httpx2.URL
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    failure: Failure | None = None

    def json(self) -> Any:
        """The body as JSON where the answer says that it is JSON; None otherwise, for damaged and for long text."""
        if len(self.body) > BODY_LIMIT:
            return None  # no health answer, and judging must stay cheap
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


#: Judges one exchange: the outcome and one line that says why, without anything from the body.
Judgement = tuple[Outcome, str]
Classify = Callable[[Exchange], Judgement]

#: Failures that only the service itself can cause once a connection stands or is refused.
_ITS_OWN = {Failure.REFUSED, Failure.RESET, Failure.SLOW, Failure.GARBLED, Failure.ENDLESS}


def direct(exchange: Exchange) -> Judgement:
    """The judgement where nothing stands between us and the service.

    A connection that never came about says nothing about the service (a dropped packet looks the same), except on
    this machine's own loopback, where only a service that hangs with a full backlog leaves a client waiting.
    """
    if exchange.failure is Failure.NO_CONNECTION and exchange.url.host in ("127.0.0.1", "::1", "localhost"):
        return Outcome.BREACH, f"{exchange.failure} on loopback"
    if exchange.failure is not None:
        said = f"status {exchange.status}, then " if exchange.status is not None else ""
        return (Outcome.BREACH if exchange.failure in _ITS_OWN else Outcome.UNKNOWN), f"{said}{exchange.failure}"
    return by_status(exchange)


def by_status(exchange: Exchange) -> Judgement:
    """The judgement of a complete answer of the service itself: 2xx is healthy, unless its JSON says that it is not."""
    if exchange.status is None or not 200 <= exchange.status < 300:
        return Outcome.BREACH, f"status {exchange.status}"
    body = exchange.json()
    said = body.get("status") if isinstance(body, dict) else None
    if isinstance(said, str) and said.lower() in _FAILED:
        return Outcome.BREACH, f"status {exchange.status}, but the answer says {said.lower()!r}"
    return Outcome.OK, f"status {exchange.status}"


class HttpProber:
    """GETs with one hard limit over everything: name, connection, TLS, headers and the whole body.

    Args:
        version_field: field of a JSON answer that names the release; "" to ask for the `X-Release` header only.
        headers: sent with each request (an `Authorization` for an API server).
        auth: adds credentials to each request, and renews them where they expire.
        ssl: the TLS context; the default checks certificates against the system's authorities.
        classify: how an exchange is judged.
        keep_alive: reuse connections. Off by default: a Service balances by connection, so that a reused one would
            ask the same pod for ever; on for an API server, which authenticates each new connection.
        transport: builds the transport in place of the default one (a unix socket, a test).
    """

    def __init__(
        self,
        version_field: str = "version",
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx2.Auth | None = None,
        ssl: tls.SSLContext | None = None,
        classify: Classify = direct,
        keep_alive: bool = False,
        transport: Callable[[], httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        self._version_field = version_field
        self._classify = classify
        sent = {"Accept": "application/json, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": "codeblue-prober"}
        if not keep_alive:
            sent["Connection"] = "close"
        self._client = httpx2.AsyncClient(
            headers={**sent, **(headers or {})},
            auth=auth,
            verify=ssl if ssl is not None else True,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # one limit over the whole exchange stands in `get`
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20 if keep_alive else 0),
            transport=transport() if transport else None,
        )

    async def get(self, place: Place, path: str, *, timeout_s: float) -> Probe:
        """One GET of `place.url + path`, judged by `classify`; see `ports.prober.Prober.get`."""
        probe, _ = await self.read(place, path, timeout_s=timeout_s)
        return probe

    async def read(self, place: Place, path: str, *, timeout_s: float, limit: int = BODY_LIMIT) -> tuple[Probe, bytes]:
        """As `get`, with the start of the body; see `ports.prober.Prober.read`."""
        started = time.perf_counter()
        exchange = await self._exchange(httpx2.URL(place.url + path), timeout_s, limit)
        latency_ms = (time.perf_counter() - started) * 1000
        outcome, why = self._classify(exchange)
        probe = Probe(
            via=place.name,
            path=path,
            outcome=outcome,
            status=exchange.status,
            latency_ms=latency_ms,
            version=self._version(exchange),
            detail=f"{why} ({latency_ms:.0f} ms of {timeout_s * 1000:.0f})",
        )
        return probe, exchange.body

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._client.aclose()

    async def _exchange(self, url: httpx2.URL, timeout_s: float, limit: int) -> Exchange:
        connected = False
        stream: Any = None
        seen = Exchange(url)

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal connected, stream
            # A reused connection has no connect event, but sends its request headers all the same.
            connected = connected or event.endswith(("connect_tcp.complete", "send_request_headers.started"))
            if event.endswith("connect_tcp.complete"):
                stream = info["return_value"]
            elif event.endswith("start_tls.failed") and stream is not None:
                await stream.aclose()  # httpcore leaves it open when the handshake is cancelled by our limit

        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream("GET", url, extensions={"trace": trace}) as answer,
            ):
                seen = Exchange(url, answer.status_code, {k.lower(): v for k, v in answer.headers.items()})
                body = await _bounded(answer, limit)
                if body is not None:
                    return Exchange(url, seen.status, seen.headers, body)
                failure = Failure.ENDLESS
        except TimeoutError:
            failure = Failure.SLOW if connected else Failure.NO_CONNECTION
        except httpx2.ConnectError as error:
            failure = _connect_failure(error, connected)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.CloseError):
            failure = Failure.RESET
        except httpx2.RemoteProtocolError as error:
            closed = "disconnected" in str(error) or "closed" in str(error)
            failure = Failure.RESET if closed or seen.status is not None else Failure.GARBLED
        except httpx2.TransportError:
            failure = Failure.NETWORK
        return Exchange(url, seen.status, seen.headers, failure=failure)

    def _version(self, exchange: Exchange) -> str:
        body = exchange.json() if self._version_field and exchange.failure is None else None
        found = body.get(self._version_field) if isinstance(body, dict) else None
        if found is None:
            found = exchange.headers.get("x-release")
        return found if isinstance(found, str) and _VERSION.fullmatch(found) else ""


async def _bounded(answer: httpx2.Response, limit: int) -> bytes | None:
    """The start of the body as it came over the wire, once all of it came; None for one without an end.

    The rest is dropped as it comes, so that nobody can fill our memory.
    """
    body, size = bytearray(), 0
    async for part in answer.aiter_raw():
        size += len(part)
        body += part[: limit - len(body)]
        if size > ENDLESS:
            return None
    return bytes(body)


def _connect_failure(error: httpx2.ConnectError, connected: bool) -> Failure:
    """What a failed connection means, from the system error at the root of the chain."""
    if connected:
        return Failure.TLS
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return Failure.NAME
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return Failure.REFUSED
        if isinstance(cause, OSError) and cause.errno == errno.ECONNRESET:
            return Failure.RESET
        cause = cause.__cause__ or cause.__context__
    return Failure.NETWORK
