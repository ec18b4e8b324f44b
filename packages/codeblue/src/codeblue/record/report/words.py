"""An event in one line for people, and text of others made safe to show."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from codeblue.model.event import Event
from codeblue.record.fields import mapping, reading, text
from codeblue.record.findings import about
from codeblue.record.incidents import decision_in_words
from codeblue.record.report.people import posted
from codeblue.record.runs import RunView

#: The requests that are timed go to the health path (R44): their p95 says nothing about the service's own (D50).
_P95 = re.compile(r"\bp95 of (\d+) requests is\b")

_FAILED = re.compile(r"(\d+) consecutive failures\b")
_DETECTED = {
    "R5": "too many requests to {} failed",
    "R6": "{} answered too slowly",
    "R7": "the memory of {} ran short",
    "R8": "too many calls of the AI model by {} failed",
    "signals": "the metrics of {} could not be read any more",
}

#: Characters of a text of others in the parts of a report that are read first; the timeline has all of it.
BRIEF = 300


def describe(event: Event, runs: Mapping[str, RunView] | None = None) -> str:
    """An event in one line for people; "" for one that only programs need. Raises Damaged.

    Args:
        runs: those that the event may be of: it names the procedure and its steps as people know them.
    """
    with reading(event):
        if event.kind == "incident.noted":
            finding = about(event)
            of = f" ({finding.heading.lower()})" if finding else ""
            return f"note{of}: {text(event.data, 'text')}"
        run = (runs or {}).get(event.run)
        return _described(event.kind, event.data, run)


def _described(kind: str, d: Mapping[str, Any], run: RunView | None) -> str:
    procedure = words(run.runbook) if run is not None else "run"
    match kind:
        case "incident.opened":
            return f"incident opened: {text(d, 'trigger')}: {text(d, 'why')}"
        case "incident.decided":
            return f"decided: {decision_in_words(d)}"
        case "incident.mitigated":
            return f"mitigated: {text(d, 'why')}"
        case "incident.resolved":
            return f"resolved: {text(d, 'reason')}" if "reason" in d else "resolved"
        case "incident.severity":
            return f"severity {text(d, 'severity')}" + (f": {text(d, 'why')}" if "why" in d else "")
        case "incident.acknowledged":
            return f"acknowledged {text(d, 'level')}" if "level" in d else "acknowledged"
        case "incident.escalated":
            return f"escalated to {text(d, 'level')}" + (f": {text(d, 'why')}" if "why" in d else "")
        case "page.intended":
            return f"page to {text(d, 'role')} ({text(d, 'level')}) over {text(d, 'channel')}"
        case "page.delivered":
            why = f": {text(d, 'why')}" if d.get("why") else ""
            return f"page to {text(d, 'role')} ({text(d, 'level')}) {text(d, 'fate')}{why}"
        case "page.deferred":
            return f"page not accepted yet, it is tried again: {text(d, 'why')}"
        case "page.unrouted":
            return f"{text(d, 'role')} ({text(d, 'level')}) could not be paged: {text(d, 'why')}"
        case "run.requested":
            return f"{words(text(d, 'runbook'))} requested: {text(d, 'reason')}"
        case "run.waiting":
            return f"{procedure} waits for an approval"
        case "run.approved":
            return f"{procedure} approved"
        case "run.abort_requested":
            return f"abort of the {procedure} requested"
        case "run.started":
            return f"{procedure} started"
        case "run.resumed":
            return f"{procedure} resumed after an interruption"
        case "run.ended":
            return f"{procedure} {text(d, 'state')}: {text(d, 'why')}"
        case "step.applied":
            return f"changed: {text(mapping(d, 'change'), 'summary')} ({text(d, 'accepted')})"
        case "step.made":
            return f"made: {text(d, 'reference')}"
        case "step.refused":
            return f"refused by the target: {text(d, 'why')}"
        case "step.ended":
            step = text(d, "step")
            title = next((s.title for s in run.steps if s.id == step), step) if run is not None else step
            return f"{title}: {text(d, 'state')}: {text(d, 'why')}"
        case "release.marked":
            return f"{text(d, 'label')} marked {text(d, 'standing')}: {text(d, 'why')}"
        case "flags.disabled":
            return "AI features switched off"
    return posted(kind, d)


def detected(trigger: str, why: str, service: str) -> str:
    """What a trigger saw, for those who know no trigger; its name and its arithmetic stand elsewhere."""
    failed = _FAILED.match(why)
    if trigger == "R4":
        often = f"{failed[1]} times in a row" if failed else "several times in a row"
        return f"the health check of {service} failed {often} (R4)"
    said = _DETECTED.get(trigger)
    return f"{said.format(service)} ({trigger})" if said else f"{trigger} fired for {service}: {why}"


def words(name: str) -> str:
    """A recorded name for people."""
    return name.replace("_", " ")


def shown(text: str) -> str:
    """Text of others on one line of ours: what steers or cannot be seen is shown by its number; a p95 is said truly."""
    one_line = " ".join(text.split())
    visible = "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in one_line)
    return _P95.sub(r"p95 of \1 requests to the health path alone is", visible)


def brief(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= BRIEF else f"{text[:BRIEF]}… ({len(text)} characters)"


def moment(at: datetime) -> str:
    """A time as reports write it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def precise(at: datetime) -> str:
    """A time where the order of events within one second counts."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def span(begin: datetime, end: datetime) -> str:
    """A length of time as reports write it."""
    seconds = (end - begin).total_seconds()
    return f"{seconds:.0f} s" if abs(seconds) < 120 else f"{seconds:.0f} s ({seconds / 60:.1f} min)"
