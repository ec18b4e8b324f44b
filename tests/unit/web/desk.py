"""A desk with a record in memory, and a client that asks its application without a socket."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from codeblue.model.event import Draft, Event
from codeblue.model.pulse import Pulse
from codeblue.model.secret import Secret
from codeblue.profile.load import load_text
from codeblue.profile.model import Profile
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory_record import MemoryRecord
from codeblue.web.app import make_app
from codeblue.web.desk import Desk

TOKEN, STATUS_TOKEN = "t0k3n-of-the-alerts", "t0k3n-of-the-status"
SLACK, PAGERDUTY = "s1gn1ng-secret", "p4gerduty-secret"

PROFILE = """\
version: 1
service: api
platform: {kind: local, directory: /nonexistent/codeblue/local}
state: {directory: /nonexistent/codeblue/state}
report: {directory: /nonexistent/codeblue/incidents}
"""


@dataclass
class StillLoop:
    """A loop that says what a test says."""

    now: Pulse = field(default_factory=lambda: Pulse(acting=True, sentence="ok", age_s=1.0, cycles=3))

    def pulse(self) -> Pulse:
        return self.now


def profile(more: str = "") -> Profile:
    return load_text(PROFILE + more)


class Front:
    """An application at a desk, asked over ASGI."""

    def __init__(self, more: str = "", **tokens: Secret | None) -> None:
        self.clock = VirtualClock()
        self.record = MemoryRecord(self.clock)
        self.loop = StillLoop()
        secrets: dict[str, Secret | None] = {
            "alerts_token": Secret(TOKEN),
            "status_token": Secret(STATUS_TOKEN),
            "slack_secret": Secret(SLACK),
            "pagerduty_secret": Secret(PAGERDUTY),
        } | tokens
        self.desk = Desk(self.record, profile(more), self.clock, self.loop, "memory", **secrets)
        self.app = make_app(self.desk)

    def anew(self) -> None:
        """The process died and was started again: the record is what is left."""
        self.app = make_app(self.desk)

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://codeblue") as client:
            return await client.request(method, path, **options)

    async def alert(self, message: Any, *, token: str = TOKEN) -> httpx2.Response:
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return await self.ask("POST", "/v1/alerts", content=content, headers=headers)

    def kinds(self) -> list[str]:
        return [e.kind for e in self.record.events]

    def of(self, kind: str) -> list[Event]:
        return [e for e in self.record.events if e.kind == kind]

    def tell(self, *drafts: Draft) -> None:
        for draft in drafts:
            self.record.append(draft)


def alert(n: int = 1, *, status: str = "firing", starts: str = "2026-01-05T03:10:00Z", **labels: str) -> dict[str, Any]:
    """One alert as Alertmanager sends it."""
    return {
        "status": status,
        "labels": {"alertname": "HighErrorRate", "severity": "critical", **labels},
        "annotations": {"summary": "patient Jane Roe saw an error"},
        "startsAt": starts,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{n:016x}",
    }


def message(alerts: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A message of its webhook, version 4."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HighErrorRate"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "codeblue",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
        **more,
    }
