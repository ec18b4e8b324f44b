"""Alerts that were sent to us, folded from their events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from codeblue.model.event import Event
from codeblue.record.fields import number, reading, text, time

RECEIVED, RESOLVED = "alert.received", "alert.resolved"

#: A group of alerts of which some were left out, or which was refused; and such a group that is sent as a whole again.
TRUNCATED, COMPLETE = "alert.truncated", "alert.complete"

#: The kinds of event that say what was sent.
ALERT_KINDS = (RECEIVED, RESOLVED, TRUNCATED, COMPLETE)

#: The kinds of event that `AlertFold` reads: an alert belongs to the incident that ends while it fires.
FOLDED_KINDS = (*ALERT_KINDS, "incident.opened", "incident.mitigated", "incident.resolved")

#: What the label `codeblue_trigger` may name: an alert counts as that trigger's breach (R4–R8). Others page only.
TRIGGERS = frozenset({"R4", "R5", "R6", "R7", "R8"})

#: Instead of a group's digest: messages that were refused as too much, whatever group they were about.
REFUSED = "refused"


class Identity(NamedTuple):
    """Which alert it is, however often it is sent: Alertmanager's fingerprint of its labels, and when it began."""

    fingerprint: str
    starts_at: str


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as the record tells it. Everything but the times came from outside: text, never to be interpreted.

    Attributes:
        trigger: "R4" … "R8" where its label names one of these, else "".
        service, namespace, deployment: whom it is about, as its labels say; "" where they do not.
        starts_at: when it began, as its sender says.
        received: when it was recorded, the first time.
        seq: number of the event that recorded it.
    """

    identity: Identity
    name: str
    severity: str
    trigger: str
    service: str
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
    """A message that said that it left alerts out, or that was refused as too much.

    Attributes:
        group: which group of alerts, as a digest; `REFUSED` for messages that were refused.
        left_out: how many; 0 where nobody knows.
    """

    group: str
    left_out: int
    at: datetime
    seq: int


def identity_of(data: Mapping[str, Any]) -> Identity:
    """The identity in an event's data. Raises KeyError, TypeError."""
    return Identity(text(data, "fingerprint"), text(data, "starts_at"))


@dataclass(slots=True)
class _Held:
    """What is known of something that fires.

    Attributes:
        seen: when its sender said so last.
        incident: whose end it outlived, "" for none. It belongs to that one until `quiet_until`.
        closed: a person closed that incident: it says nothing new for as long as it fires.
    """

    what: AlertView | Truncation
    seen: datetime
    incident: str = ""
    quiet_until: datetime | None = None
    closed: bool = False

    def counts(self, at: datetime) -> bool:
        return not self.closed and (self.quiet_until is None or at >= self.quiet_until)


class AlertFold:
    """The fold, fed event by event; forgets what is over, so that it stays small however long it goes on.

    An alert that fires when an incident of the loop's ends belongs to that incident: alerts end some time after their
    cause. It counts again when it still fires `lag_s` after the service was proven healthy, and not at all after a
    person closed the incident. The end of an incident says nothing about alerts that began after it.

    Args:
        expires_s: an alert of which nothing was heard for so long fires no more: its sender may be gone, or sends no
            *resolved*.
        lag_s: how long alerts may outlast their incident.

    Attributes:
        seq: number of the last event that it was fed.
    """

    def __init__(self, expires_s: float, *, lag_s: float) -> None:
        self._expires, self._lag = timedelta(seconds=expires_s), timedelta(seconds=lag_s)
        #: by identity and by group, that of which nothing was heard for the longest time first
        self._held: dict[Identity | str, _Held] = {}
        self._open: set[str] = set()
        self.seq = 0

    def add(self, event: Event) -> None:
        """One more event, of whichever kind. Raises Damaged: it does not say what it must."""
        with reading(event):
            match event.kind:
                case "alert.received":
                    identity = identity_of(event.data)
                    self._hold(identity, _received(identity, event), event.at)
                case "alert.resolved":
                    self._held.pop(identity_of(event.data), None)
                case "alert.truncated":
                    group, left_out = text(event.data, "group"), int(number(event.data, "left_out"))
                    self._hold(group, Truncation(group, left_out, event.at, event.seq), event.at)
                case "alert.complete":
                    self._held.pop(text(event.data, "group"), None)
                case "incident.opened" if not event.actor.startswith("person:"):
                    self._open.add(event.incident)
                case "incident.mitigated" | "incident.resolved":
                    self._ended(event)
        self.seq = event.seq
        while self._held and self._expired(next(iter(self._held.values())), event.at):
            del self._held[next(iter(self._held))]

    def firing(self, at: datetime) -> tuple[AlertView, ...]:
        """The alerts that fire now and belong to no incident that is over, oldest first."""
        return tuple(sorted((w for w in self._counting(at) if isinstance(w, AlertView)), key=lambda a: a.seq))

    def truncated(self, at: datetime) -> tuple[Truncation, ...]:
        """The same for groups of alerts of which some were left out."""
        return tuple(sorted((w for w in self._counting(at) if isinstance(w, Truncation)), key=lambda t: t.seq))

    def _counting(self, at: datetime) -> Iterable[AlertView | Truncation]:
        return (h.what for h in self._held.values() if h.counts(at) and not self._expired(h, at))

    def _hold(self, key: Identity | str, what: AlertView | Truncation, at: datetime) -> None:
        held = self._held.pop(key, None)
        if held is None or self._expired(held, at):
            held = _Held(what, at)
        # one that is there again (it still fires, or two processes took it at once) is the same one
        held.seen = at
        self._held[key] = held

    def _ended(self, event: Event) -> None:
        closed, first = event.kind == "incident.resolved", event.incident in self._open
        self._open.discard(event.incident)
        for key, held in list(self._held.items()):
            if first and held.counts(event.at):
                held.incident, held.quiet_until = event.incident, event.at + self._lag
            elif held.incident != event.incident or held.counts(event.at):
                continue
            if isinstance(held.what, AlertView):
                held.closed = held.closed or closed
            elif closed or event.actor.startswith("person:"):
                # that a group is whole again may never be sent: the person who ends its incident has seen to it
                del self._held[key]

    def _expired(self, held: _Held, at: datetime) -> bool:
        return held.seen <= at - self._expires


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
        service=text(d, "service") if "service" in d else "",
        namespace=text(d, "namespace"),
        deployment=text(d, "deployment"),
        pod=text(d, "pod"),
        starts_at=time(d, "starts_at"),
        received=event.at,
        seq=event.seq,
    )
