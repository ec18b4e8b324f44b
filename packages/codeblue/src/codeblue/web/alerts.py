"""POST /v1/alerts: what Alertmanager tells (its webhook, version 4) becomes events in the record."""

import hashlib
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.functional_validators import AfterValidator, BeforeValidator

from codeblue.engine.crashpoint import crashpoint
from codeblue.model.event import Draft
from codeblue.model.secret import Secret, masked
from codeblue.record.alerts import (
    ALERT_KINDS,
    COMPLETE,
    RECEIVED,
    REFUSED,
    RESOLVED,
    TRIGGERS,
    TRUNCATED,
    identity_of,
)
from codeblue.record.fields import text as text_of
from codeblue.web.answers import Problem, TooMuch, errors
from codeblue.web.bounds import ALERTS_BYTES, Bucket, read_body
from codeblue.web.desk import Desk, require_token

ACTOR: Final = "alertmanager"

#: Alerts of one message; more are refused. `max_alerts: 1000` in Alertmanager keeps below it.
MOST_ALERTS: Final = 1000
#: Messages of one token in a minute.
MESSAGES_PER_MINUTE: Final = 600
#: Bodies that are read and understood at the same time.
AT_ONCE: Final = 4
#: Commas and opening brackets of a body: each value that they part takes some 75 bytes until it is understood. What
#: Alertmanager sends has some 40 an alert.
MOST_PARTS: Final = 200_000
#: Characters that are kept of a label's value: as many as the longest name in Kubernetes has.
KEPT: Final = 253
#: Alerts whose identity is remembered here; older ones are in the record all the same.
REMEMBERED: Final = 100_000
#: Groups of alerts that were not whole, likewise.
REMEMBERED_GROUPS: Final = 1000
#: A group of alerts that is always too large is recorded so often at most, in seconds.
TRUNCATED_AGAIN_S: Final = 3600.0
#: The same for messages that are refused as too much: each can be about another group.
REFUSED_AGAIN_S: Final = 600.0
#: What fires is recorded again when so much of the time after which it would count no more has passed.
SAID_AGAIN: Final = 0.25

UNHEARD: Final = "None of its alerts was recorded, only that it was refused."
LESS: Final = f"Set max_alerts of the webhook to {MOST_ALERTS} or fewer."

_RFC_3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}):(\d{2})(?:\.(\d{1,30}))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def _time(text: str) -> str:
    """A time of RFC 3339 as the record writes times, whatever its zone and however many decimals it has."""
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError("is no time as RFC 3339 writes them")
    day, minute, second, decimals, zone = found.groups()
    second = "59" if second == "60" else second  # a leap second
    offset = "+00:00" if zone in "Zz" else zone
    at = datetime.fromisoformat(f"{day}T{minute}:{second}.{(decimals or '0')[:6]:0<6}{offset}")
    try:
        at = at.astimezone(UTC)
    except OverflowError:  # the first or last hours of the calendar
        at = at.replace(tzinfo=UTC)
    return at.isoformat(timespec="microseconds")


def _whole(value: object) -> object:
    """JSON has one kind of number: 7.0 is 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Alert(BaseModel):
    """One alert of the message. What else it holds (annotations, links) is not kept: free text never is (B9)."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    status: Literal["firing", "resolved"] = Field(description="resolved ones never make anything happen.")
    labels: dict[str, str] = Field(
        description="Kept: alertname, severity, codeblue_trigger (R4 … R8), service, namespace, deployment, pod; as "
        "text."
    )
    startsAt: Annotated[str, AfterValidator(_time)] = Field(  # Alertmanager's name
        description="When it began; with the fingerprint this is its identity.",
        max_length=100,
        json_schema_extra={"format": "date-time"},
    )
    fingerprint: str = Field(description="Which alert it is.", pattern="^[0-9A-Za-z]{1,64}$")


class Message(BaseModel):
    """A message of Alertmanager's webhook."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    version: Literal["4"] = Field(description="Version of the format.")
    alerts: list[Alert] = Field(description="The alerts of one group.", max_length=MOST_ALERTS)
    truncatedAlerts: Annotated[int, BeforeValidator(_whole)] = Field(  # Alertmanager's name
        default=0, ge=0, le=2**53 - 1, description="How many were left out of it: more than none pages."
    )
    groupKey: str = Field(default="", description="Which group.")  # Alertmanager's name


class Taken(BaseModel):
    """What became of the message."""

    recorded: int = Field(description="Alerts that were not known to fire, recorded and committed.")
    resolved: int = Field(description="Known alerts whose end was recorded.")
    known: int = Field(description="Alerts of which nothing new was said.")


class Inbox:
    """Takes messages, one at a time; knows which alerts the record has."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._lock = desk, threading.Lock()
        self._bucket = Bucket(desk.api.alerts_per_hour, 3600.0, desk.clock.monotonic)
        self._expires = timedelta(seconds=desk.api.alert_expires)
        self._again = self._expires * SAID_AGAIN
        #: digest of the identity → when it was last recorded that it fires, None where it is resolved
        self._known: dict[bytes, datetime | None] = {}
        #: group that is not whole → when that was last recorded
        self._short: dict[str, datetime] = {}
        self._read_up_to = 0

    def take(self, message: Message) -> Taken:
        """Record what is new of it. It may be sent again, also to another process: then nothing is new.

        What still fires is recorded again from time to time: its sender is not gone.

        Raises:
            Problem: too many new alerts; those before are recorded. Errors as `RecordStore.append`.
        """
        with self._lock:
            return self._take(message)

    def refused(self) -> None:
        """Record that a message was refused as too much, so that people hear of it: its sender does not repeat it.

        Raises:
            Errors as `RecordStore.append`.
        """
        with self._lock:
            self._catch_up()
            self._left_out(REFUSED, 0, REFUSED_AGAIN_S)

    def _take(self, message: Message) -> Taken:
        self._catch_up()
        recorded = resolved = 0
        for alert in message.alerts:
            identity = {"fingerprint": alert.fingerprint, "starts_at": alert.startsAt}
            key = _key(identity)
            known = self._known.get(key)
            if alert.status == "resolved":
                if known is not None:
                    self._desk.record.append(Draft(RESOLVED, ACTOR, identity))
                    self._note(key, None)
                    resolved += 1
                continue
            age = None if known is None else self._desk.clock.now() - known
            if age is None or age >= self._expires:
                self._note(key, self._record(identity | _kept(alert.labels)))
                recorded += 1
            elif age >= self._again:
                self._note(key, self._desk.record.append(Draft(RECEIVED, ACTOR, identity | _kept(alert.labels))).at)
        group = hashlib.sha256(message.groupKey.encode("utf-8", "replace")).hexdigest()[:16]
        if message.truncatedAlerts:
            self._left_out(group, message.truncatedAlerts, TRUNCATED_AGAIN_S)
        elif group in self._short:
            self._desk.record.append(Draft(COMPLETE, ACTOR, {"group": group}))
            del self._short[group]
        return Taken(recorded=recorded, resolved=resolved, known=len(message.alerts) - recorded - resolved)

    def _record(self, data: dict[str, str]) -> datetime:
        if not self._bucket.take():
            # not 429: Alertmanager drops what is answered with any 4xx, and repeats what is answered with 5xx
            raise Problem(
                503,
                f"More than {self._desk.api.alerts_per_hour} new alerts in an hour. What was recorded until now stays; "
                "the rest is not recorded yet.",
                "Let the sender try again, and group its alerts; api.alerts_per_hour is the limit.",
                headers={"Retry-After": str(self._bucket.wait_s())},
            )
        try:
            return self._desk.record.append(Draft(RECEIVED, ACTOR, data)).at
        except BaseException:
            self._bucket.give_back()
            raise

    def _left_out(self, group: str, count: int, again_s: float) -> None:
        last = self._short.get(group)
        again = min(timedelta(seconds=again_s), self._again)
        if last is None or self._desk.clock.now() - last >= again:
            event = self._desk.record.append(Draft(TRUNCATED, ACTOR, {"group": group, "left_out": count}))
            self._note_short(group, event.at)

    def _catch_up(self) -> None:
        """What was recorded since the last time, by whichever process: the one before us may have died answering."""
        while events := self._desk.record.read(after=self._read_up_to, kinds=ALERT_KINDS, limit=1000):
            for event in events:
                if event.kind in (RECEIVED, RESOLVED):
                    key = _key(identity_of(event.data)._asdict())
                    self._note(key, event.at if event.kind == RECEIVED else None)
                elif event.kind == TRUNCATED:
                    self._note_short(text_of(event.data, "group"), event.at)
                elif event.kind == COMPLETE:
                    self._short.pop(text_of(event.data, "group"), None)
            self._read_up_to = events[-1].seq

    def _note(self, key: bytes, fires: datetime | None) -> None:
        self._known.pop(key, None)
        self._known[key] = fires
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def _note_short(self, group: str, at: datetime) -> None:
        self._short.pop(group, None)
        self._short[group] = at
        if len(self._short) > REMEMBERED_GROUPS:
            del self._short[next(iter(self._short))]


def alerts(desk: Desk, token: Secret) -> APIRouter:
    """The endpoint."""
    router = APIRouter()
    inbox = Inbox(desk)
    messages = Bucket(MESSAGES_PER_MINUTE, 60.0, desk.clock.monotonic)
    reading = 0

    @router.post(
        "/v1/alerts",
        summary="Take the alerts of Alertmanager's webhook",
        responses=errors(400, 401, 408, 413, 415, 422, 503),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}},
            "security": [{"alerts": []}],
        },
    )
    async def post_alerts(request: Request) -> Taken:
        """Answers 200 only after everything new of it is committed, and 503 when it could not be: Alertmanager tries
        again then. The same alert (fingerprint and startsAt) counts once, however often it is sent. Of a message that
        is too large nothing is recorded but that there was one, which pages."""
        nonlocal reading
        require_token(request, token)
        desk.must_store()
        if reading >= AT_ONCE or not messages.take():
            # not 429, for the reason above
            raise Problem(
                503,
                "Too many messages at once. Nothing was recorded.",
                "Let the sender try again, and group its alerts.",
                headers={"Retry-After": "5"},
                close=True,
            )
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem(
                415,
                "The message is no JSON. Nothing was recorded.",
                "Send it with the type application/json.",
                close=True,
            )
        reading += 1
        try:
            try:
                message = _parsed(await read_body(request, ALERTS_BYTES))
            except TooMuch:
                # Alertmanager drops it after this answer: nobody would hear of its alerts
                await desk.with_record(inbox.refused)
                raise
            taken = await desk.with_record(lambda: inbox.take(message))
            crashpoint("alerts.recorded")
            return taken
        finally:
            reading -= 1

    return router


def _parsed(body: bytes) -> Message:
    """The message. Raises Problem; its text never holds what was sent."""
    if sum(map(body.count, (b",", b"{", b"["))) > MOST_PARTS:
        raise TooMuch(422, f"The message has more than {MOST_PARTS} parts. {UNHEARD}", LESS)
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    remedy = "Send what Alertmanager's webhook sends, version 4."
    if first["type"] == "json_invalid":  # also what is nested too deep
        raise Problem(400, "The message is no JSON that can be read. Nothing was recorded.", remedy)
    if first["type"] == "too_long" and first["loc"] == ("alerts",):
        raise TooMuch(422, f"The message holds more than {MOST_ALERTS} alerts. {UNHEARD}", LESS)
    # names of labels are the sender's as well: only places that the format itself names
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][:3])
    raise Problem(422, f"The message does not say what it must, at {place or 'its beginning'}.", remedy)


def _kept(labels: dict[str, str]) -> dict[str, str]:
    """What is kept of an alert's labels: an allow-list, as text that can be shown, no secret as far as can be seen."""
    trigger = labels.get("codeblue_trigger", "").strip().upper()
    names = ("alertname", "severity", "service", "namespace", "deployment", "pod")
    return {name: _clean(labels.get(name, "")) for name in names} | {"trigger": trigger if trigger in TRIGGERS else ""}


def _clean(value: str) -> str:
    # cut before it is searched: what is searched is bounded then
    shown = masked(value[: 2 * KEPT])
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown[:KEPT])


def _key(identity: dict[str, str]) -> bytes:
    text = f"{identity['fingerprint']}@{identity['starts_at']}"
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _schema() -> dict[str, Any]:
    """The format as OpenAPI describes it, in one piece."""
    schema = Message.model_json_schema()
    schema["properties"]["alerts"]["items"] = schema.pop("$defs")["Alert"]
    return schema
