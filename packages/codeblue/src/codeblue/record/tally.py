"""Counts over the whole record, event by event: what a counter of Code Blue's own metrics says is what happened."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from codeblue.model.event import Event
from codeblue.record.alerts import Identity, identity_of
from codeblue.record.fields import reading, text
from codeblue.record.runs import RunState

#: So much of what has no end in the record is remembered at most.
MOST_OPEN = 50_000


@dataclass
class Tally:
    """Fed with every event of the record in its order, once each.

    Attributes:
        length: number of the last event.
        incidents: opened so far, by (severity, trigger).
        incidents_open: ids of those that are open, with their severity.
        runs: ended so far, by (runbook, state).
        runs_open: the unfinished ones: id → (runbook, state).
        steps: ended so far, by (runbook, state).
        attempts: tries to reach somebody, by (channel, fate): a fate, "deferred", or "unrouted" where there was none.
        attempts_open: attempts whose outcome is not recorded: key → channel; the last `MOST_OPEN` of them.
        alerts: by what became of them: "received", "resolved", "truncated" messages.
        alerts_open: alerts that were received and not resolved; the last `MOST_OPEN` of them.
    """

    length: int = 0
    incidents: Counter[tuple[str, str]] = field(default_factory=Counter)
    incidents_open: dict[str, str] = field(default_factory=dict)
    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    runs_open: dict[str, tuple[str, str]] = field(default_factory=dict)
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts_open: dict[str, str] = field(default_factory=dict)
    alerts: Counter[str] = field(default_factory=Counter)
    alerts_open: dict[Identity, None] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Count one more. Raises Damaged: it does not say what it must."""
        with reading(event):
            self._add(event)
        self.length = event.seq

    def _add(self, event: Event) -> None:
        d = event.data
        match event.kind:
            case "incident.opened":
                severity = text(d, "severity")
                self.incidents[severity, text(d, "trigger")] += 1
                self.incidents_open[event.incident] = severity
            case "incident.severity" if event.incident in self.incidents_open:
                self.incidents_open[event.incident] = text(d, "severity")
            case "incident.mitigated" | "incident.resolved":
                self.incidents_open.pop(event.incident, None)
            case "run.requested":
                self.runs_open[event.run] = (text(d, "runbook"), RunState.REQUESTED.value)
            case "run.waiting" | "run.started" if event.run in self.runs_open:
                state = RunState.WAITING if event.kind == "run.waiting" else RunState.RUNNING
                self.runs_open[event.run] = (self.runs_open[event.run][0], state.value)
            case "run.ended" if event.run in self.runs_open:
                runbook, _ = self.runs_open.pop(event.run)
                self.runs[runbook, RunState(text(d, "state")).value] += 1
            case "step.ended" if event.run in self.runs_open:
                self.steps[self.runs_open[event.run][0], text(d, "state")] += 1
            case "page.intended":
                self.attempts_open[text(d, "key")] = text(d, "channel")
                _bound(self.attempts_open)
            case "page.deferred":
                self.attempts[self.attempts_open.get(text(d, "key"), "unknown"), "deferred"] += 1
            case "page.delivered":
                self.attempts[self.attempts_open.pop(text(d, "key"), "unknown"), text(d, "fate")] += 1
            case "page.unrouted":
                self.attempts["none", "unrouted"] += 1
            case "alert.received":
                self._alert(identity_of(d), "received")
            case "alert.resolved":
                self._alert(identity_of(d), "resolved")
            case "alert.truncated":
                self.alerts["truncated"] += 1

    def _alert(self, identity: Identity, what: str) -> None:
        if what == "received" and identity in self.alerts_open:
            return  # it still fires
        self.alerts[what] += 1
        if what == "received":
            self.alerts_open[identity] = None
        else:
            self.alerts_open.pop(identity, None)
        _bound(self.alerts_open)


def _bound(known: dict[Any, Any]) -> None:
    if len(known) > MOST_OPEN:
        del known[next(iter(known))]
