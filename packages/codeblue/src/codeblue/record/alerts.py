"""Alerts that were sent to us, folded from their events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from codeblue.model.event import Event
from codeblue.record.fields import number, reading, text, time

RECEIVED, RESOLVED, TRUNCATED = "alert.received", "alert.resolved", "alert.truncated"

#: The kinds of event that alerts are folded from.
ALERT_KINDS = (RECEIVED, RESOLVED, TRUNCATED)

#: What the label `codeblue_trigger` may name: an alert counts as that trigger's breach (R4–R8). Others page only.
TRIGGERS = frozenset({"R4", "R5", "R6", "R7", "R8"})


class Identity(NamedTuple):
    """Which alert it is, however often it is sent: Alertmanager's fingerprint of its labels, and when it began."""

    fingerprint: str
    starts_at: str


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as the record tells it. Everything but the times came from outside: text, never to be interpreted.

    Attributes:
        trigger: "R4" … "R8" where its label names one of these, else "".
        starts_at: when it began, as its sender says.
        received: when it was recorded, the first time.
        seq: number of the event that recorded it.
    """

    identity: Identity
    name: str
    severity: str
    trigger: str
    namespace: str
    deployment: str
    pod: str
    starts_at: datetime
    received: datetime
    seq: int

    @property
    def id(self) -> str:
        """Its identity in one word."""
        return f"{self.identity.fingerprint}@{self.identity.starts_at}"


@dataclass(frozen=True, slots=True)
class Truncation:
    """A message that said that it left alerts out.

    Attributes:
        group: which group of alerts, as a digest.
        left_out: how many.
    """

    group: str
    left_out: int
    at: datetime
    seq: int


def identity_of(data: Mapping[str, Any]) -> Identity:
    """The identity in an event's data. Raises KeyError, TypeError."""
    return Identity(text(data, "fingerprint"), text(data, "starts_at"))


class AlertFold:
    """The fold, fed event by event; forgets what is over, so that it stays small however long it goes on.

    Args:
        expires_s: an alert that is older and was never resolved fires no more: its sender may be gone, or sends no
            *resolved*.

    Attributes:
        seq: number of the last event that it was fed.
    """

    def __init__(self, expires_s: float) -> None:
        self._expires = timedelta(seconds=expires_s)
        self._alerts: dict[Identity, AlertView] = {}
        self._truncations: list[Truncation] = []
        self.seq = 0

    def add(self, event: Event) -> None:
        """One more event, of whichever kind. Raises Damaged: it does not say what it must."""
        with reading(event):
            match event.kind:
                case "alert.received":
                    identity = identity_of(event.data)
                    # one that is there twice (two processes took it at once) counts once
                    self._alerts.setdefault(identity, _received(identity, event))
                case "alert.resolved":
                    self._alerts.pop(identity_of(event.data), None)
                case "alert.truncated":
                    left_out = int(number(event.data, "left_out"))
                    self._truncations.append(Truncation(text(event.data, "group"), left_out, event.at, event.seq))
        self.seq = event.seq
        while self._alerts and self._expired(next(iter(self._alerts.values())), event.at):
            del self._alerts[next(iter(self._alerts))]

    def firing(self, at: datetime) -> tuple[AlertView, ...]:
        """The alerts that fire now, oldest first."""
        return tuple(a for a in self._alerts.values() if not self._expired(a, at))

    def take_truncations(self) -> tuple[Truncation, ...]:
        """The messages that left alerts out, oldest first, since this was asked last."""
        taken, self._truncations = tuple(self._truncations), []
        return taken

    def _expired(self, alert: AlertView, at: datetime) -> bool:
        return alert.received <= at - self._expires


def breaches(alerts: Iterable[AlertView]) -> dict[str, AlertView]:
    """By trigger ("R4" … "R8"), the oldest of these alerts that names it."""
    found: dict[str, AlertView] = {}
    for alert in alerts:
        if alert.trigger:
            found.setdefault(alert.trigger, alert)
    return found


def _received(identity: Identity, event: Event) -> AlertView:
    d = event.data
    trigger = text(d, "trigger")
    return AlertView(
        identity=identity,
        name=text(d, "alertname"),
        severity=text(d, "severity"),
        trigger=trigger if trigger in TRIGGERS else "",
        namespace=text(d, "namespace"),
        deployment=text(d, "deployment"),
        pod=text(d, "pod"),
        starts_at=time(d, "starts_at"),
        received=event.at,
        seq=event.seq,
    )
