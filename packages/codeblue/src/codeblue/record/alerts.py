"""Alerts that were sent to us, folded from their events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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
        resolved: when its end was recorded.
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
    resolved: datetime | None = None

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


def fold_alerts(events: Iterable[Event]) -> dict[Identity, AlertView]:
    """All alerts among the events, oldest first; an alert that is there twice counts once.

    Raises:
        Damaged: an event does not say what it must.
    """
    alerts: dict[Identity, AlertView] = {}
    for event in events:
        if event.kind not in (RECEIVED, RESOLVED):
            continue
        with reading(event):
            identity = identity_of(event.data)
            known = alerts.get(identity)
            if event.kind == RECEIVED and known is None:
                alerts[identity] = _received(identity, event)
            elif event.kind == RESOLVED and known is not None and known.resolved is None:
                alerts[identity] = replace(known, resolved=event.at)
    return alerts


def firing(events: Iterable[Event], at: datetime, *, expires_s: float) -> tuple[AlertView, ...]:
    """The alerts that fire now, oldest first.

    Args:
        at: now.
        expires_s: an alert that is older and was never resolved counts no more: its sender may be gone, or sends no
            *resolved*.

    Raises:
        Damaged: as `fold_alerts`.
    """
    oldest = at - timedelta(seconds=expires_s)
    return tuple(a for a in fold_alerts(events).values() if a.resolved is None and a.received > oldest)


def breaches(alerts: Iterable[AlertView]) -> dict[str, AlertView]:
    """By trigger ("R4" … "R8"), the oldest of these alerts that names it."""
    found: dict[str, AlertView] = {}
    for alert in alerts:
        if alert.trigger:
            found.setdefault(alert.trigger, alert)
    return found


def truncations(events: Iterable[Event]) -> tuple[Truncation, ...]:
    """The messages that left alerts out, oldest first: whoever is on call has to look at the sender.

    Raises:
        Damaged: an event does not say what it must.
    """
    found: list[Truncation] = []
    for event in events:
        if event.kind == TRUNCATED:
            with reading(event):
                left_out = int(number(event.data, "left_out"))
                found.append(Truncation(text(event.data, "group"), left_out, event.at, event.seq))
    return tuple(found)


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
