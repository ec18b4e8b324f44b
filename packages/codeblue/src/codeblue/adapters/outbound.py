"""One request to a provider over HTTPS, and what is certain about it afterwards. Retries nothing, decides nothing.

What a sender must know is not "error" but *was it taken?*: a connection that never stood took nothing; one that ended
before its answer may have taken everything. One limit is over all of it; nothing is redirected; proxies and
certificates of the environment do not count; an answer is cut at a size. Requests go to the transport itself: a client
on top of it would log their URLs, and some URLs are secrets.
"""

import asyncio
import json
import re
import ssl as tls
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

import httpx2

from codeblue.model.secret import Secret, masked

#: Bytes of an answer that are kept, where the caller does not say more.
KEPT: Final = 64 * 1024
#: Bounds of what a provider may ask us to wait.
_WAIT_S: Final = (0.5, 3600.0)
_SECONDS: Final = re.compile(r"\d{1,6}(\.\d{1,6})?", re.ASCII)


class Missing(StrEnum):
    """Why there is no whole answer."""

    NO_CONNECTION = "no connection"
    SLOW = "no answer within the limit"
    CUT = "the connection ended before the whole answer"
    GARBLED = "what came back is not HTTP"
    ENDLESS = "the answer is too large"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; None where not even that came.
        headers: names in lower case.
        body: the whole body, "" where it is not whole.
        missing: why it is not whole; None for a complete answer.
        sent: whether any byte of the request may have reached the provider. False: it certainly did not take it.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    missing: Missing | None = None
    sent: bool = True

    def json(self) -> Any:
        """The body as JSON; None for anything else, nested too deep included."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def wait_s(self) -> float | None:
        """How long `Retry-After` asks us to wait, within bounds; None where it does not say."""
        said = self.headers.get("retry-after", "")
        seconds = float(said) if _SECONDS.fullmatch(said) else _until(said, self.headers.get("date", ""))
        return None if seconds is None else min(max(seconds, _WAIT_S[0]), _WAIT_S[1])


class Outbound:
    """Requests to one provider.

    Args:
        timeout_s: limit of one request, from the name to the last byte.
        ssl: the TLS context; the default checks certificates against the authorities of the `certifi` bundle.
        kept: largest answer in bytes.
    """

    def __init__(self, *, timeout_s: float, ssl: tls.SSLContext | None = None, kept: int = KEPT) -> None:
        self.timeout_s, self._kept = timeout_s, kept
        self._transport = httpx2.AsyncHTTPTransport(
            verify=ssl if ssl is not None else True,
            trust_env=False,
            retries=0,
            # a kept connection that the provider closed meanwhile would leave a request's fate unknown for nothing
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=0),
        )

    async def ask(self, method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request.

        Args:
            body: JSON data, or None for a request without a body.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "codeblue"}
        if content is not None:
            sent["Content-Type"] = "application/json; charset=utf-8"
        begun = False
        stream: Any = None

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal begun, stream
            begun = begun or event.endswith("send_request_headers.started")
            if event.endswith("connect_tcp.complete"):
                stream = info["return_value"]
            elif event.endswith("start_tls.failed") and stream is not None:
                await stream.aclose()  # httpcore leaves it open when the handshake is cancelled by our limit

        request = httpx2.Request(
            method,
            url,
            content=content,
            headers={**sent, "Connection": "close", **(headers or {})},
            extensions={"trace": trace, "timeout": {}},
        )
        seen = Answer(sent=False)
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._transport.handle_async_request(request)
                try:
                    seen = Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()})
                    whole = await self._body(response)
                finally:
                    await response.aclose()
            missing = None if whole is not None else Missing.ENDLESS
            return Answer(seen.status, seen.headers, whole or b"", missing)
        except TimeoutError:
            missing = Missing.SLOW if begun else Missing.NO_CONNECTION
        except httpx2.RemoteProtocolError as error:
            closed = "disconnected" in str(error) or "closed" in str(error)
            missing = Missing.CUT if closed or seen.status is not None else Missing.GARBLED
        except httpx2.TransportError:
            missing = Missing.CUT if begun else Missing.NO_CONNECTION
        # made outside of the handlers: those errors hold the request, and must not hang on ours as its context
        return Answer(seen.status, seen.headers, b"", missing, sent=begun)

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._transport.aclose()

    async def _body(self, response: httpx2.Response) -> bytes | None:
        """The whole body as it came over the wire; None for one that is too large."""
        parts, size = [], 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > self._kept:
                return None
            parts.append(part)
        return b"".join(parts)


class Backoff:
    """How long to wait after failures in a row: 1, 2, 4 … seconds, at most a minute; longer where the provider asks."""

    def __init__(self, first_s: float = 1.0, most_s: float = 60.0) -> None:
        self._first_s, self._most_s, self._failures = first_s, most_s, 0

    def failed(self, answer: Answer | None = None) -> float:
        """The wait after another failure, in seconds."""
        wait_s = min(self._first_s * 2.0 ** min(self._failures, 16), self._most_s)
        self._failures += 1
        asked_s = answer.wait_s if answer is not None else None
        return max(wait_s, asked_s or 0.0)

    def worked(self) -> None:
        """Begin anew."""
        self._failures = 0


def sayable(text: object, secrets: Iterable[Secret] = (), limit: int = 160) -> str:
    """What a provider says, in one short line that shows none of our secrets; "" for anything but text."""
    if not isinstance(text, str):
        return ""
    for secret in secrets:
        text = text.replace(secret.reveal(), "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    line = masked(line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _until(said: str, date: str) -> float | None:
    """Seconds from the answer's own date to an HTTP date."""
    try:
        then, now = (parsedate_to_datetime(text).replace(tzinfo=UTC) for text in (said, date))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (then - now).total_seconds()
