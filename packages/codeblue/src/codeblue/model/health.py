"""What a probe saw, and what a round of probes adds up to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """`UNKNOWN` is an answer of its own: nothing can be concluded from a question that did not get through (B5)."""

    OK = "ok"
    BREACH = "breach"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to one place.

    Attributes:
        via: "service" or "pod/NAME".
        path: the path asked for.
        outcome: OK for a passing answer, BREACH for a failing one (a 503, a refused connection of a pod that the
            platform calls ready), UNKNOWN where the way to it failed (the API server in between is down).
        status: HTTP status, or None without an answer.
        latency_ms: until the whole answer was read.
        version: the release that says it answered, if it says so.
        detail: why, in one line, without the body (a body can hold patient data).
    """

    via: str
    path: str
    outcome: Outcome
    status: int | None
    latency_ms: float
    version: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """One attempt in the sense of R4: the health path through the Service, and per pod for diagnosis."""

    at: datetime
    service: Probe
    pods: tuple[Probe, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The attempt counts by what a client sees: through the Service."""
        return self.service.outcome
