"""Events for the tests of the folds."""

from datetime import UTC, datetime, timedelta
from typing import Any

from codeblue.model.event import Draft, Event
from codeblue.record.chain import GENESIS, seal

START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
RUN, INCIDENT = "run-20260105t030000z-aaaaaa", "inc-20260105t030000z-bbbbbb"


class Story:
    """Makes a chain, a second between two events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, data: dict[str, Any] | None = None, *, run: str = "", incident: str = "", actor="engine"):
        draft = Draft(kind, actor, data or {}, run=run, incident=incident)
        previous = self.events[-1].hash if self.events else GENESIS
        seq = len(self.events) + 1
        at = START + timedelta(seconds=seq)
        self.events.append(seal(draft, service="api", seq=seq, at=at, previous=previous))

    def run(self, kind: str, run: str = RUN, incident: str = INCIDENT, actor: str = "engine", **data: Any) -> None:
        self.add(kind, data, run=run, incident=incident, actor=actor)

    def requested(self, run: str = RUN, incident: str = INCIDENT, runbook: str = "quick_rollback", **more: Any) -> None:
        steps = [{"id": i, "title": i.title(), "limit_s": 10} for i in ("preflight", "template")]
        data = {"runbook": runbook, "reason": "R4", "inputs": {"a": 1}, "steps": steps, "digest": "d1"}
        self.run("run.requested", run, incident, "watch", **{**data, "deadline_s": 300, **more})

    def opened(self, incident: str = INCIDENT, **more: Any) -> None:
        data = {"severity": "SEV1", "trigger": "R4", "why": "4 > 3", "began": START.isoformat(), **more}
        self.add("incident.opened", data, incident=incident, actor="watch")
