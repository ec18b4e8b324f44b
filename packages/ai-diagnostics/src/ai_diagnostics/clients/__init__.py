"""Clients of the external systems. One shared HTTP client per process; errors in three kinds; no decisions here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import httpx2

    from ai_diagnostics.documents import Json

Kind = Literal["unreachable", "status", "invalid"]


class UpstreamError(Exception):
    """An external system failed.

    Attributes:
        kind: `unreachable` (no answer in time), `status` (an HTTP error), `invalid` (an answer that is not what the
            system's interface says). The message never quotes the answer, which may hold patient data.
    """

    def __init__(self, system: str, kind: Kind, detail: str) -> None:
        super().__init__(f"{system}: {kind}: {detail}")
        self.system, self.kind, self.detail = system, kind, detail


class NotFound(UpstreamError):
    """The system answered that there is no such thing."""


def http_client(timeout_s: float, *, tls: bool) -> httpx2.AsyncClient:
    """The HTTP client of one event loop; close it with `aclose`. Proxies of the environment are not used.

    Args:
        tls: whether any URL is https. Without it the authorities' certificates are not loaded (60 ms at the start);
            an https URL then fails, because nothing can be verified.
    """
    import ssl

    import httpx2

    timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, 3.0))
    if tls:
        return httpx2.AsyncClient(timeout=timeout, trust_env=False)
    return httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def get_json(
    http: httpx2.AsyncClient, system: str, url: str, *, headers: dict[str, str] | None = None, timeout_s: float
) -> Json:
    """GET a JSON document.

    Raises:
        NotFound: 404. UpstreamError: everything else that is no JSON with status 200.
    """
    return await send_json(http, system, "GET", url, headers=headers, timeout_s=timeout_s)


async def send_json(
    http: httpx2.AsyncClient,
    system: str,
    method: str,
    url: str,
    *,
    body: Json = None,
    headers: dict[str, str] | None = None,
    timeout_s: float,
) -> Json:
    """Send a request and read a JSON answer; the whole exchange ends after `timeout_s`. Raises as `get_json`."""
    import asyncio

    import httpx2

    try:
        async with asyncio.timeout(timeout_s):
            answer = await http.request(method, url, json=body, headers=headers)
    except TimeoutError:
        raise UpstreamError(system, "unreachable", f"no answer within {timeout_s:g} s") from None
    except httpx2.HTTPError as error:
        raise UpstreamError(system, "unreachable", type(error).__name__) from None
    if answer.status_code == 404:
        raise NotFound(system, "status", "404")
    if answer.status_code != 200:
        raise UpstreamError(system, "status", str(answer.status_code))
    try:
        document: Json = answer.json()
    except ValueError:
        raise UpstreamError(system, "invalid", "the answer is no JSON") from None
    return document
