"""The incident's report in Markdown (R47): every fact from the record, with its event; unknown reads "not recorded"."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codeblue.model.event import Event
from codeblue.record.fields import mapping, reading, text, time
from codeblue.record.incidents import IncidentView, decision_in_words, fold_incidents
from codeblue.record.paged import call_in_words, paging_of
from codeblue.record.runs import RunState, RunView, StepView, fold_runs

NOT_RECORDED = "not recorded"
_SPECIAL = re.compile(r"[\\`|\[\]*~]")
#: The requests that are timed go to the health path (R44): their p95 says nothing about the service's own (D50).
_P95 = re.compile(r"\bp95 of (\d+) requests is\b")
TO_BE_FILLED = "_only a person knows; not recorded yet_"

#: What a note can be about, as `codeblue incident note --about` names it; without one it stands under "Notes".
ROOT_CAUSE, LESSONS = "root-cause", "lessons"

#: Runs that are about the report itself, and no part of what happened.
_OWN = "incident_report"
#: How the actors begin who are people (`cli.actor`).
PERSON = "person:"
#: The events that name a call; the last one of it is its link.
_OF_A_CALL = ("page.intended", "page.delivered", "page.unrouted")
_LEFT = "left out"
#: The results that are not "done", as the summary counts them.
_SHORT = {
    "failed": "failed",
    "unknown, counts as failed": "stayed unknown (that counts as failed)",
    "not finished": "not finished",
    "not made": "not made",
    _LEFT: "left out",
}
#: What a check says that had nothing to ask.
_LEFT_OUT = ("not probed: ", "not timed: ")


@dataclass(frozen=True, slots=True)
class _Fact:
    """Something that an event says: the text, and the link to the event."""

    text: str
    link: str


def write_report(events: Sequence[Event], incident_id: str) -> str:
    """The report of one incident.

    Raises:
        KeyError: the events have no such incident. Damaged: one of them does not say what it must.
    """
    incident = fold_incidents(events)[incident_id]
    own = [e for e in events if e.incident == incident_id]
    runs = [r for r in fold_runs(own).values() if r.incident == incident_id and r.runbook != _OWN]
    seen = {e.kind: _link(e.seq) for e in own}
    release, deployed = _release(runs), _deployed(own)
    lines = [
        f"# Incident {incident.id}",
        "",
        _summary(incident, runs, seen, release, deployed),
        "",
        "| | |",
        "|---|---|",
        f"| Service | {incident.service} |",
        f"| Severity | {_safe(incident.severity)} |",
        f"| State | {incident.state} |",
        f"| Release in force at detection | {_fact(release)} |",
        f"| Deployed | {_fact(deployed)} |",
        f"| Began | {_time(incident.began)}{seen['incident.opened']} |",
        f"| Detected | {_time(incident.opened)} ({_span(incident.began, incident.opened)} later)"
        f"{seen['incident.opened']} |",
        f"| Response | {_response(incident, runs)} |",
        f"| Mitigated | {_time(incident.mitigated)}{_after(incident.opened, incident.mitigated)}"
        f"{seen.get('incident.mitigated', '')} |",
        f"| Duration | {_duration(incident)} |",
        f"| Resolved | {_time(incident.resolved)}{seen.get('incident.resolved', '')} |",
        f"| Trigger | {_safe(incident.trigger)}: {_safe(incident.why)}{seen['incident.opened']} |",
        "",
        "## What happened",
        "",
        *_story(incident, runs, seen),
        "",
        "## Who was paged",
        "",
        *_paged(own, incident.id),
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
        "## Steps and checks",
        "",
        *_checks(runs, own),
        "",
        "## Root cause",
        "",
        *_filled(own, incident.id, ROOT_CAUSE),
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
        "## Notes",
        "",
        *(_notes(own) or ["None."]),
        "",
        "## Lessons and action items",
        "",
        *_filled(own, incident.id, LESSONS),
        "",
    ]
    if own:
        lines += [f"Record: events {own[0].seq} to {own[-1].seq}, head `{own[-1].hash}`.", ""]
    return "\n".join(lines)


def describe(event: Event) -> str:
    """An event in one line for people; "" for one that only programs need. Raises Damaged."""
    with reading(event):
        return _described(event.kind, event.data)


def _described(kind: str, d: Mapping[str, Any]) -> str:
    match kind:
        case "incident.opened":
            return f"incident opened: {text(d, 'trigger')}: {text(d, 'why')}"
        case "incident.decided":
            return f"decided: {decision_in_words(d)}"
        case "incident.mitigated":
            return f"mitigated: {text(d, 'why')}"
        case "incident.resolved":
            return f"resolved: {text(d, 'reason')}" if "reason" in d else "resolved"
        case "incident.noted":
            return f"note{_of(d)}: {text(d, 'text')}"
        case "run.requested":
            return f"{_words(text(d, 'runbook'))} requested: {text(d, 'reason')}"
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
            return f"run {text(d, 'state')}: {text(d, 'why')}"
        case "step.applied":
            return f"changed: {text(mapping(d, 'change'), 'summary')} ({text(d, 'accepted')})"
        case "step.made":
            return f"made: {text(d, 'reference')}"
        case "step.refused":
            return f"refused by the target: {text(d, 'why')}"
        case "step.ended":
            return f"{text(d, 'step')} {text(d, 'state')}: {text(d, 'why')}"
        case "incident.severity":
            return f"severity {text(d, 'severity')}: {text(d, 'why')}"
        case "incident.acknowledged":
            return f"acknowledged {text(d, 'level')}" if "level" in d else "acknowledged"
        case "incident.escalated":
            return f"escalated to {text(d, 'level')}: {text(d, 'why')}"
        case "page.intended":
            return f"page to {text(d, 'role')} ({text(d, 'level')}) over {text(d, 'channel')}"
        case "page.delivered":
            why = f": {text(d, 'why')}" if d.get("why") else ""
            return f"page to {text(d, 'role')} ({text(d, 'level')}) {text(d, 'fate')}{why}"
        case "page.unrouted":
            return f"{text(d, 'role')} ({text(d, 'level')}) could not be paged: {text(d, 'why')}"
        case "release.marked":
            return f"{text(d, 'label')} marked {text(d, 'standing')}: {text(d, 'why')}"
    return ""


def _summary(
    incident: IncidentView,
    runs: Sequence[RunView],
    seen: Mapping[str, str],
    release: _Fact | None,
    deployed: _Fact | None,
) -> str:
    """What a reader needs who reads nothing else, in a few sentences, each with its event."""
    opened = seen["incident.opened"]
    said = [
        f"On {incident.opened:%Y-%m-%d} at {incident.opened:%H:%M:%S} UTC {_safe(incident.trigger)} fired for "
        f"{incident.service}: {_safe(incident.why)}{opened}."
    ]
    if release is None:
        said.append(f"Which release was in force is {NOT_RECORDED}.")
    else:
        said.append(f"The release in force at the detection was {_safe(release.text)}{release.link}.")
        when = "" if deployed is None else f" on {deployed.text}{deployed.link}"
        said.append(f"It was deployed{when}." if when else f"When it was deployed is {NOT_RECORDED}.")
    if incident.decision is not None:
        decided = _safe(decision_in_words(incident.decision))
        said.append(f"Code Blue decided: {decided}{seen['incident.decided']}.")
    for run in runs:
        if run.actor.startswith(PERSON):
            asked = f"{_safe(run.actor)} asked for it: {_safe(_words(run.runbook))}: {_safe(run.reason)}"
            said.append(f"{asked}{_link(run.events[0])}.")
        if run.approved_by:
            said.append(f"{_safe(run.approved_by)} approved the {_safe(_words(run.runbook))}.")
        said.append(f"{_outcome(run)}{_link(run.events[-1])}.")
        if run.state.ended and _shortfall(run):
            said.append(f"Of its steps and checks {_shortfall(run)}{_link(run.events[0])}.")
    if incident.mitigated is not None:
        said.append(
            f"At {incident.mitigated:%H:%M:%S} UTC, {_span(incident.opened, incident.mitigated)} after the detection, "
            f"it was mitigated: {_safe(incident.mitigation)}{seen['incident.mitigated']}."
        )
    else:
        said.append("That the service became healthy again is not recorded.")
    if incident.resolved is not None:
        why = f": {_safe(incident.resolution)}" if incident.resolution else ""
        said.append(f"{_safe(incident.resolved_by)} closed the incident{why}{seen['incident.resolved']}.")
    elif incident.state == "open":
        said.append("The incident is open.")
    return " ".join(said)


def _shortfall(run: RunView) -> str:
    """How many of its steps and checks did not end well, and how; what was left out is not what failed."""
    results = [_result(run, step) for step in run.steps] + [_LEFT] * len(_left_out(run))
    counts = [(results.count(result), word) for result, word in _SHORT.items()]
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def _outcome(run: RunView) -> str:
    """A run in half a sentence: what it was, how it ended, after how long."""
    what = _words(run.runbook).capitalize()
    target = _input(run, "target_label")
    if target:
        what += f" to {_safe(target)}"
    if not run.state.ended:
        return f"{what} is {run.state} at the time of this report"
    took = f" after {(run.ended - run.started).total_seconds():.1f} s" if run.ended and run.started else ""
    return f"{what} ended{took} as {run.state}"


def _release(runs: Sequence[RunView]) -> _Fact | None:
    """The release that was in force when the first rollback was decided."""
    for run in runs:
        label = _input(run, "origin_label")
        if label:
            return _Fact(label, _link(run.events[0]))
    return None


def _deployed(own: Sequence[Event]) -> _Fact | None:
    """When the platform first saw that release, as it was asked when a report was written."""
    for event in own:
        if event.kind != "run.requested":
            continue
        with reading(event):
            inputs = mapping(event.data, "inputs") if text(event.data, "runbook") == _OWN else {}
            if inputs.get("deployed"):
                return _Fact(f"{_time(time(inputs, 'deployed'))}, when the platform first saw it", _link(event.seq))
    return None


def _response(incident: IncidentView, runs: Sequence[RunView]) -> str:
    """When somebody or something began to act."""
    run = next((r for r in runs if r.started is not None), None)
    if run is None or run.started is None:
        return NOT_RECORDED
    begun = f"{_time(run.started)}{_after(incident.opened, run.started)}"
    return f"{begun}, {_safe(_words(run.runbook))}{_link(run.events[0])}"


def _duration(incident: IncidentView) -> str:
    return f"{_span(incident.began, incident.mitigated)} until mitigated" if incident.mitigated else NOT_RECORDED


def _story(incident: IncidentView, runs: Sequence[RunView], seen: Mapping[str, str]) -> list[str]:
    decided = NOT_RECORDED
    if incident.decision:
        decided = _safe(decision_in_words(incident.decision)) + seen["incident.decided"]
    lines = [
        f"- {_safe(incident.trigger)} fired: {_safe(incident.why)}{seen['incident.opened']}",
        f"- Decision: {decided}",
    ]
    for run in runs:
        seconds = f" in {(run.ended - run.started).total_seconds():.1f} s" if run.ended and run.started else ""
        asked = f", asked for by {run.actor}: {run.reason}" if run.actor.startswith(PERSON) else ""
        what = f"{_words(run.runbook).capitalize()} ({run.id}{asked}): {run.state}{seconds}. {run.why}".rstrip()
        lines.append(f"- {_safe(what)}{_link(run.events[-1])}")
    return lines


def _checks(runs: Sequence[RunView], own: Sequence[Event]) -> list[str]:
    """Every step with its result, and every check that was not made: what was not looked at is not healthy (B5)."""
    if not runs:
        return ["No run is recorded, and no check."]
    ends = {(e.run, e.data["step"]): e.seq for e in own if e.kind == "step.ended"}
    lines = ["| run | step | result | what was seen |", "|---|---|---|---|"]
    for run in runs:
        name, asked = _safe(_words(run.runbook)), _link(run.events[0])
        for step in run.steps:
            end = ends.get((run.id, step.id))
            link = asked if end is None else _link(end)
            lines.append(f"| {name} | {_safe(step.title)} | {_result(run, step)} | {_safe(step.why) or '-'}{link} |")
        for line in _left_out(run):
            what, _, why = line.partition(": ")
            lines.append(f"| {name} | {_safe(what)} | left out | {_safe(why)}{asked} |")
    return lines


def _left_out(run: RunView) -> list[str]:
    """The checks that the service gives no means for, "what: why"."""
    lines = run.inputs.get("left_out")
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def _result(run: RunView, step: StepView) -> str:
    if step.state == "done":
        return _LEFT if step.why.startswith(_LEFT_OUT) else "done"
    if step.state == "failed":
        return "unknown, counts as failed" if "unknown: " in step.why else "failed"
    if run.state is RunState.RUNNING or not run.state.ended:
        return step.state
    return "not finished" if step.state in ("running", "stopped") else "not made"


def _paged(own: Sequence[Event], incident: str) -> list[str]:
    """Every call with its outcome, and who acknowledged (R2)."""
    view = paging_of(own, incident)
    if view is None or not (view.calls or view.acks):
        return ["Nobody was paged."]
    links = {(e.data["level"], e.data["cycle"], e.data["role"]): _link(e.seq) for e in own if e.kind in _OF_A_CALL}
    lines = [f"- {_safe(call_in_words(c))}{links.get(c.id, '')}" for c in view.calls]
    return lines + [f"- acknowledged {a.level}: {_safe(a.actor)}, {_time(a.at)}{_link(a.seq)}" for a in view.acks]


def _actions(own: Sequence[Event]) -> list[str]:
    found = []
    for event in own:
        if event.kind == "step.applied":
            with reading(event):
                found.append(f"- {_safe(text(mapping(event.data, 'change'), 'summary'))}{_link(event.seq)}")
    return found


def _filled(own: Sequence[Event], incident: str, about: str) -> list[str]:
    """What people noted about it, or how they can."""
    return _notes(own, about) or [f"{TO_BE_FILLED} (codeblue incident note {incident} … --about {about} records it)"]


def _about(data: Mapping[str, Any]) -> str:
    about = text(data, "about") if "about" in data else ""
    return about if about in (ROOT_CAUSE, LESSONS) else ""


def _of(data: Mapping[str, Any]) -> str:
    about = _about(data)
    return f" ({about.replace('-', ' ')})" if about else ""


def _notes(own: Sequence[Event], about: str = "") -> list[str]:
    """Those about one thing, or about none of those that have a section of their own, with the closing word."""
    found = []
    for event in own:
        if event.kind in ("incident.noted", "incident.resolved"):
            with reading(event):
                if _about(event.data) != about:
                    continue
            what = _safe(describe(event).removeprefix(f"note{_of(event.data)}: "))
            found.append(f"- {_time(event.at)}, {_safe(event.actor)}: {what}{_link(event.seq)}")
    return found


def _input(run: RunView, key: str) -> str:
    value = run.inputs.get(key)
    return value if isinstance(value, str) else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _fact(fact: _Fact | None) -> str:
    return f"{_safe(fact.text)}{fact.link}" if fact else NOT_RECORDED


def _link(seq: int) -> str:
    return f" [{seq}](#e{seq})"


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else NOT_RECORDED


def _span(begin: datetime, end: datetime) -> str:
    return f"{(end - begin).total_seconds():.0f} s"


def _after(begin: datetime, end: datetime | None) -> str:
    return f" ({_span(begin, end)} after detection)" if end else ""


def _safe(text: str) -> str:
    """Text of others inside a line of ours: it adds no line, no cell, no link and no markup; a p95 is said truly."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    named = _P95.sub(r"p95 of \1 requests to the health path alone is", one_line)
    return _SPECIAL.sub(r"\\\g<0>", named).replace("<", "&lt;")
