"""Asks the service for its health as a client would."""

from typing import Protocol

from codeblue.model.health import Probe
from codeblue.ports.platform import Place

#: Bytes of a body that are kept where nothing else is said; a health answer is far smaller (R59).
BODY_LIMIT = 64 * 1024


class Prober(Protocol):
    """HTTP GETs with a limit each; never raises for an answer, or for the lack of one."""

    async def get(self, place: Place, path: str, *, timeout_s: float) -> Probe:
        """One GET. OK: 2xx that does not say of itself that it failed. BREACH: any other answer, one without an end, or
        a connection that the service itself refused or left open past the limit. UNKNOWN: something between us and the
        service failed, so that nothing follows about it."""

    async def read(self, place: Place, path: str, *, timeout_s: float, limit: int = BODY_LIMIT) -> tuple[Probe, bytes]:
        """As `get`, with the first `limit` bytes of the body, for answers that are made for programs (metrics, flags).

        Whoever must know that nothing was cut off asks for one byte more than they accept. The body never goes into a
        message or the record: it can hold patient data (B9).
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
