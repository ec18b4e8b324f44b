"""The incident's report in Markdown (R47): every fact from the record, with its event; unknown reads "not recorded"."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from codeblue.model.event import Event
from codeblue.record.incidents import IncidentView, fold_incidents
from codeblue.record.runs import RunView, fold_runs

NOT_RECORDED = "not recorded"
_SPECIAL = re.compile(r"[\\`|\[\]*~]")
TO_BE_FILLED = "_only a person knows: fill in before the incident is closed_"


def write_report(events: Sequence[Event], incident_id: str) -> str:
    """The report of one incident.

    Raises:
        KeyError: the events have no such incident.
    """
    incident = fold_incidents(events)[incident_id]
    own = [e for e in events if e.incident == incident_id]
    runs = [run for run in fold_runs(own).values() if run.incident == incident_id]
    seen = {e.kind: _link(e.seq) for e in own}
    lines = [
        f"# Incident {incident.id}",
        "",
        "| | |",
        "|---|---|",
        f"| Service | {incident.service} |",
        f"| Severity | {incident.severity} |",
        f"| State | {incident.state} |",
        f"| Began | {_time(incident.began)}{seen['incident.opened']} |",
        f"| Detected | {_time(incident.opened)} ({_span(incident.began, incident.opened)} later)"
        f"{seen['incident.opened']} |",
        f"| Mitigated | {_time(incident.mitigated)}{_after(incident.opened, incident.mitigated)}"
        f"{seen.get('incident.mitigated', '')} |",
        f"| Resolved | {_time(incident.resolved)}{seen.get('incident.resolved', '')} |",
        f"| Trigger | {_safe(incident.trigger)}: {_safe(incident.why)}{seen['incident.opened']} |",
        "",
        "## What happened",
        "",
        *_story(incident, runs, seen),
        "",
        "## Timeline",
        "",
        "All times UTC; the number is the event in the record.",
        "",
        "| event | time | what | by |",
        "|---|---|---|---|",
        *(
            f'| <a id="e{e.seq}"></a>{e.seq} | {e.at:%Y-%m-%d %H:%M:%S} | {_safe(describe(e))} | {_safe(e.actor)} |'
            for e in own
            if describe(e)
        ),
        "",
        "## Root cause",
        "",
        TO_BE_FILLED,
        "",
        "## Impact",
        "",
        f"- Users affected: {NOT_RECORDED}",
        f"- Requests lost: {NOT_RECORDED}",
        f"- Revenue: {NOT_RECORDED}",
        "",
        "## Actions taken",
        "",
        *(_actions(own) or ["None by Code Blue."]),
        "",
        "## Lessons and action items",
        "",
        TO_BE_FILLED,
        "",
    ]
    if own:
        lines += [f"Record: events {own[0].seq} to {own[-1].seq}, head `{own[-1].hash}`.", ""]
    return "\n".join(lines)


def describe(event: Event) -> str:
    """An event in one line for people; "" for one that only programs need."""
    d = event.data
    match event.kind:
        case "incident.opened":
            return f"incident opened: {d['trigger']}: {d['why']}"
        case "incident.decided":
            return f"decided: {d['sentence']}"
        case "incident.mitigated":
            return f"mitigated: {d['why']}"
        case "incident.resolved":
            return "resolved"
        case "incident.noted":
            return f"note: {d['text']}"
        case "run.requested":
            return f"{d['runbook'].replace('_', ' ')} requested: {d['reason']}"
        case "run.waiting":
            return "waiting for an approval"
        case "run.approved":
            return "approved"
        case "run.abort_requested":
            return "abort requested"
        case "run.started":
            return "run started"
        case "run.resumed":
            return "run resumed after an interruption"
        case "run.ended":
            return f"run {d['state']}: {d['why']}"
        case "step.applied":
            return f"changed: {d['change']['summary']} ({d['accepted']})"
        case "step.made":
            return f"made: {d['reference']}"
        case "step.refused":
            return f"refused by the target: {d['why']}"
        case "step.ended":
            return f"{d['step']} {d['state']}: {d['why']}"
        case "release.marked":
            return f"{d['label']} marked {d['standing']}: {d['why']}"
    return ""


def _story(incident: IncidentView, runs: Sequence[RunView], seen: Mapping[str, str]) -> list[str]:
    decided = _safe(incident.decision["sentence"]) + seen["incident.decided"] if incident.decision else NOT_RECORDED
    lines = [
        f"- {_safe(incident.trigger)} fired: {_safe(incident.why)}{seen['incident.opened']}",
        f"- Decision: {decided}",
    ]
    for run in runs:
        seconds = f" in {(run.ended - run.started).total_seconds():.1f} s" if run.ended and run.started else ""
        what = f"{run.runbook.replace('_', ' ').capitalize()} ({run.id}): {run.state}{seconds}. {run.why}".rstrip()
        lines.append(f"- {_safe(what)}{_link(run.events[-1])}")
    return lines


def _actions(own: Sequence[Event]) -> list[str]:
    return [f"- {_safe(e.data['change']['summary'])}{_link(e.seq)}" for e in own if e.kind == "step.applied"]


def _link(seq: int) -> str:
    return f" [{seq}](#e{seq})"


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else NOT_RECORDED


def _span(begin: datetime, end: datetime) -> str:
    return f"{(end - begin).total_seconds():.0f} s"


def _after(begin: datetime, end: datetime | None) -> str:
    return f" ({_span(begin, end)} after detection)" if end else ""


def _safe(text: str) -> str:
    """Text of others inside a line of ours: it adds no line, no cell, no link and no markup."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _SPECIAL.sub(r"\\\g<0>", one_line).replace("<", "&lt;")
