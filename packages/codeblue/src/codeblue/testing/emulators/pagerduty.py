"""PagerDuty, Events API v2, as its documentation has it (developer.pagerduty.com, "Send an Alert Event", "Overview").

Refused with 400 `{"status": "invalid event", "message": …, "errors": […]}`: no JSON object; a routing key that is
missing, not 32 characters or unknown; another `event_action`; acknowledge and resolve without `dedup_key`; a dedup key
of more than 255 characters; trigger without `payload.summary`, `source` or `severity`; a summary of more than 1,024
characters; another severity; a timestamp that is none. 413 above 512 KB; 429 above 120 events a minute for a key.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codeblue.testing.emulators.base import Emulator, Window, whole_seconds

SEVERITIES = ("critical", "error", "warning", "info")
MAX_BYTES = 512 * 1024
PER_MINUTE = 120


@dataclass
class Alert:
    """An incident of PagerDuty: what one routing key and one dedup key stand for until it is resolved."""

    routing_key: str
    dedup_key: str
    payload: dict[str, Any]
    status: str = "triggered"
    events: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What its reader sees."""
        return f"{self.payload['summary']}\n{self.payload.get('custom_details', '')}"


class PagerDuty(Emulator):
    """The Events API.

    Args:
        routing_keys: those of integrations that exist.

    Attributes:
        alerts: in the order in which they were opened.
    """

    def __init__(self, routing_keys: tuple[str, ...], clock: Callable[[], float] | None = None) -> None:
        super().__init__([Route("/v2/enqueue", self._enqueue, methods=["POST"])])
        self.routing_keys = routing_keys
        self.alerts: list[Alert] = []
        self._window = Window(PER_MINUTE, 60.0, clock) if clock else Window(PER_MINUTE, 60.0)

    def open(self, routing_key: str, dedup_key: str) -> Alert | None:
        """The alert that is not resolved."""
        found = [a for a in self.alerts if (a.routing_key, a.dedup_key) == (routing_key, dedup_key)]
        return next((a for a in found if a.status != "resolved"), None)

    async def _enqueue(self, request: Request) -> Response:
        raw = await request.body()
        if len(raw) > MAX_BYTES:
            return _invalid(413, "Event is too large")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _invalid(400, "Content-Type must be application/json")
        try:
            event = await request.json()
        except (ValueError, RecursionError):
            return _invalid(400, "Event is not valid JSON")
        if not isinstance(event, dict):
            return _invalid(400, "Event must be a JSON object")
        errors = list(self._errors(event))
        if errors:
            return _invalid(400, *errors)
        wait_s = self._window.wait_s(event["routing_key"])
        if wait_s:
            return Response(status_code=429, headers={"Retry-After": whole_seconds(wait_s)})
        return JSONResponse(
            {"status": "success", "message": "Event processed", "dedup_key": self._take(event)}, status_code=202
        )

    def _take(self, event: dict[str, Any]) -> str:
        routing_key, action = event["routing_key"], event["event_action"]
        dedup_key: str = event.get("dedup_key") or f"made-{len(self.log)}"
        alert = self.open(routing_key, dedup_key)
        if alert is None:
            if action != "trigger":
                return dedup_key  # accepted and dropped: there is nothing to acknowledge or resolve
            alert = Alert(routing_key, dedup_key, event["payload"])
            self.alerts.append(alert)
        alert.events.append(action)
        if action != "trigger":
            alert.status = "acknowledged" if action == "acknowledge" else "resolved"
        return dedup_key

    def _errors(self, event: dict[str, Any]) -> Any:
        key = event.get("routing_key")
        if not isinstance(key, str) or not key:
            yield "'routing_key' is missing or blank"
        elif len(key) != 32:
            yield "Length of 'routing_key' is incorrect (should be 32 characters)"
        elif key not in self.routing_keys:
            yield "'routing_key' is not a valid integration key"
        action, dedup = event.get("event_action"), event.get("dedup_key")
        if action not in ("trigger", "acknowledge", "resolve"):
            yield "'event_action' is missing or invalid (must be one of trigger, acknowledge, resolve)"
        if dedup is not None and not isinstance(dedup, str):
            yield "'dedup_key' must be a string"
        elif dedup is not None and len(dedup) > 255:
            yield "'dedup_key' is too long (maximum 255 characters)"
        elif action in ("acknowledge", "resolve") and not dedup:
            yield "'dedup_key' is missing or blank"
        if action == "trigger":
            yield from _payload_errors(event.get("payload"))


def _payload_errors(payload: Any) -> Any:
    if not isinstance(payload, dict):
        yield "'payload' is missing or blank"
        return
    for name in ("summary", "source", "severity"):
        if not isinstance(payload.get(name), str) or not payload[name]:
            yield f"'payload.{name}' is missing or blank"
    if isinstance(payload.get("summary"), str) and len(payload["summary"]) > 1024:
        yield "'payload.summary' is too long (maximum 1024 characters)"
    if payload.get("severity") and payload["severity"] not in SEVERITIES:
        yield "'payload.severity' is invalid (must be one of critical, warning, error, info)"
    if payload.get("custom_details") is not None and not isinstance(payload["custom_details"], dict):
        yield "'payload.custom_details' must be an object"
    if "timestamp" in payload:
        try:
            datetime.fromisoformat(str(payload["timestamp"]))
        except ValueError:
            yield "'payload.timestamp' is not an ISO 8601 date"


def _invalid(status: int, *errors: str) -> Response:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)}
    return JSONResponse(body, status_code=status)
