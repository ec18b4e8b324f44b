"""What a step would do, what it did, and by what right."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to act on a service: the lease's holder and epoch. A newer epoch at the target voids it (B3)."""

    holder: str
    epoch: int
    lease: str = ""


@dataclass(frozen=True, slots=True)
class LeaseView:
    """Who holds the lease, as seen from outside."""

    holder: str
    epoch: int
    renewed: datetime | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """One change as data: the plan shows it, the adapter applies it and renders it as shell text.

    Attributes:
        kind: the adapter's word for it ("template", "strategy", "marks").
        target: what it changes, in the platform's words.
        summary: one line for people.
        precondition: the `Workload.version` it was derived from; the target refuses it when that has moved on.
        body: what the adapter needs, JSON text. Holds references and digests, never the value of a secret.
    """

    kind: str
    target: str
    summary: str
    precondition: str
    body: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The target's own answer to a change.

    Attributes:
        accepted: what the target says it now has (for Kubernetes `resourceVersion`, `generation`).
        at: when the answer came.
    """

    change: str
    accepted: str
    at: datetime
