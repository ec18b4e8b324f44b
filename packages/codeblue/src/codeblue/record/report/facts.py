"""Everything that an incident's report says (R47, B12): facts, each with the numbers of the events that it comes from.

What no event says is None, and reads "not recorded". Texts are as the record has them: each renderer makes them safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codeblue.model.errors import Damaged
from codeblue.model.event import Event
from codeblue.record import curves
from codeblue.record.explanation import Explained, explain
from codeblue.record.fields import mapping, reading, text, time
from codeblue.record.findings import Finding, about
from codeblue.record.incidents import IncidentView, decision_in_short, decision_in_words, fold_incidents
from codeblue.record.report.fact import Fact
from codeblue.record.report.people import Told, told
from codeblue.record.report.runs import REPORT, RunFact, changes, own_runs, run_facts
from codeblue.record.report.words import brief, describe, detected, moment, span
from codeblue.record.runs import RunState, fold_runs

NOT_RECORDED = "not recorded"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the timeline."""

    event: int
    at: datetime
    what: str
    by: str


@dataclass(frozen=True, slots=True)
class Source:
    """An event as the appendix lists it: what every number in the report leads to."""

    event: int
    at: datetime
    kind: str
    by: str
    hash: str


@dataclass(frozen=True, slots=True)
class FindingFact:
    """What only a person knows.

    Attributes:
        command: how it is recorded.
        notes: empty while nobody recorded it.
    """

    finding: Finding
    command: str
    notes: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Headline:
    """The truth in one line.

    Attributes:
        state: "open", "mitigated", "resolved".
        proven: a verification of the recovery ended well, and nothing was run after it.
    """

    state: str
    proven: bool
    fact: Fact


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """One incident's report.

    Attributes:
        upto, head: the last event that it takes in, and that event's hash.
        glance: the rows of the table at the top.
        unfinished: that it was closed without some findings, by whom and why.
    """

    incident: str
    service: str
    severity: str
    upto: int
    head: str
    headline: Headline
    summary: tuple[Fact, ...]
    glance: tuple[tuple[str, Fact | None], ...]
    decisions: tuple[Explained, ...]
    timeline: tuple[Entry, ...]
    curves: curves.CurvesView | None
    told: Told
    runs: tuple[RunFact, ...]
    changes: tuple[Fact, ...]
    findings: tuple[FindingFact, ...]
    unfinished: Fact | None
    notes: tuple[Fact, ...]
    sources: tuple[Source, ...]


def gather(events: Sequence[Event], incident_id: str) -> ReportFacts:
    """The facts of one incident.

    Raises:
        KeyError: the events have no such incident. Damaged: one of them does not say what it must.
    """
    incident = fold_incidents(events)[incident_id]
    own = [e for e in events if e.incident == incident_id]
    views = own_runs(own, incident_id)
    runs = run_facts(own, views)
    named = fold_runs(own)
    seen = {e.kind: e.seq for e in own}
    release = Fact(brief(incident.in_force.label), (seen["incident.opened"],)) if incident.in_force else None
    deployed = _deployed(own) if release is not None else None
    headline = _headline(incident, runs, seen)
    return ReportFacts(
        incident=incident.id,
        service=incident.service,
        severity=incident.severity,
        upto=own[-1].seq,
        head=own[-1].hash,
        headline=headline,
        summary=tuple(_summary(incident, runs, seen, release, deployed)),
        glance=_glance(incident, runs, seen, release, deployed),
        decisions=explain(own, incident_id),
        timeline=tuple(Entry(e.seq, e.at, what, e.actor) for e in own if (what := describe(e, named))),
        curves=_curves(own),
        told=told(own),
        runs=runs,
        changes=changes(own),
        findings=tuple(FindingFact(f, f.command(incident.id), _notes(own, f)) for f in Finding),
        unfinished=_unfinished(own),
        notes=_notes(own, None),
        sources=tuple(Source(e.seq, e.at, e.kind, e.actor, e.hash) for e in own),
    )


def _headline(incident: IncidentView, runs: Sequence[RunFact], seen: Mapping[str, int]) -> Headline:
    last = runs[-1] if runs else None
    proof = last if last is not None and last.what == "recovery" and last.state is RunState.DONE else None
    closed = seen.get("incident.resolved", 0)
    if incident.state == "open":
        text, event = _still_open(incident, last), last.last if last else seen.get("incident.decided", 0)
        return Headline("open", False, Fact(text, (event or seen["incident.opened"],)))
    begin = f"Resolved: closed by {incident.resolved_by}" if incident.state == "resolved" else "Mitigated"
    events = tuple(sorted(n for n in (closed, seen.get("incident.mitigated", 0)) if n))
    if proof is not None:
        left = f" ({proof.shortfall})" if proof.shortfall else ""
        proven = f"{begin}. The recovery was verified by checks that all passed{left}"
        return Headline(incident.state, True, Fact(proven, tuple(sorted((*events, proof.last)))))
    if incident.mitigated is None:
        return Headline(incident.state, False, Fact(f"{begin}. That the service became healthy is not proven", events))
    return Headline(
        incident.state, False, Fact(f"{begin}: {brief(incident.mitigation)}. No verification proved it", events)
    )


def _still_open(incident: IncidentView, last: RunFact | None) -> str:
    if last is None:
        decided = "" if incident.decision is None else f" Decided: {brief(decision_in_words(incident.decision))}"
        return f"Open: the service is not proven healthy, and nothing was run.{decided}"
    if not last.state.ended:
        return f"Open: {last.what} is {last.state}"
    if last.state is RunState.DONE:
        return f"Open: {last.what} is done; that the service is healthy is not proven yet"
    return f"Open: {last.what} ended as {last.state}. A person must act: the service is not proven healthy"


def _summary(
    incident: IncidentView,
    runs: Sequence[RunFact],
    seen: Mapping[str, int],
    release: Fact | None,
    deployed: Fact | None,
) -> list[Fact]:
    """What a reader needs who reads nothing else: a few sentences without their full stops."""
    opened = (seen["incident.opened"],)
    at = f"On {incident.opened:%Y-%m-%d} at {incident.opened:%H:%M:%S} UTC"
    said = [Fact(f"{at} {brief(detected(incident.trigger, incident.why, incident.service))}", opened)]
    if incident.drill:
        said = [
            Fact(f"{at} {incident.actor} declared a DRILL: {brief(incident.trigger)}: {brief(incident.why)}", opened)
        ]
    elif incident.declared:
        said = [Fact(f"{at} {incident.actor} declared it: {brief(incident.trigger)}: {brief(incident.why)}", opened)]
    if release is None:
        said.append(Fact(f"Which release was in force at the detection is {NOT_RECORDED}", ()))
    else:
        said.append(Fact(f"The release in force at the detection was {release.text}", release.events))
        if deployed is None:
            said.append(Fact(f"When it was deployed is {NOT_RECORDED}", ()))
        else:
            said.append(Fact(f"It was deployed on {deployed.text}", deployed.events))
    if incident.decision is not None:
        decided = brief(decision_in_short(incident.decision))
        said.append(Fact(f"Code Blue decided: {decided}", (seen["incident.decided"],)))
    for run in runs:
        if run.by_person:
            said.append(Fact(f"{run.actor} asked for it: {run.what}: {brief(run.reason)}", (run.asked,)))
        if run.approved is not None:
            said.append(Fact(f"{run.approved.text} approved the {run.what}", run.approved.events))
        said.append(Fact(brief(run.outcome), (run.last,)))
        if run.state.ended and run.shortfall:
            said.append(Fact(f"Of its steps and checks {run.shortfall}", (run.asked,)))
    return [*said, *_ending(incident, seen)]


def _ending(incident: IncidentView, seen: Mapping[str, int]) -> list[Fact]:
    said = []
    if incident.mitigated is not None:
        when = f"At {incident.mitigated:%H:%M:%S} UTC, {span(incident.opened, incident.mitigated)} after the detection"
        said.append(Fact(f"{when}, it was mitigated: {brief(incident.mitigation)}", (seen["incident.mitigated"],)))
    else:
        said.append(Fact(f"That the service became healthy again is {NOT_RECORDED}", ()))
    if incident.resolved is not None:
        why = f": {brief(incident.resolution)}" if incident.resolution else ""
        said.append(Fact(f"{incident.resolved_by} closed the incident{why}", (seen["incident.resolved"],)))
    elif incident.state == "open":
        said.append(Fact("The incident is open", (seen["incident.opened"],)))
    else:
        said.append(Fact("No person has closed the incident yet", (seen["incident.mitigated"],)))
    return said


def _glance(
    incident: IncidentView,
    runs: Sequence[RunFact],
    seen: Mapping[str, int],
    release: Fact | None,
    deployed: Fact | None,
) -> tuple[tuple[str, Fact | None], ...]:
    opened = seen["incident.opened"]
    mitigated = seen.get("incident.mitigated", 0)
    ends = {"mitigated": mitigated, "resolved": seen.get("incident.resolved", 0)}
    detected = f"{moment(incident.opened)} ({span(incident.began, incident.opened)} later)"
    return (
        *([("Drill", Fact("yes: an exercise, nothing was wrong", (opened,)))] if incident.drill else []),
        ("Service", Fact(incident.service, (opened,))),
        ("Severity", Fact(incident.severity, (seen.get("incident.severity", opened),))),
        ("State", Fact(incident.state, (ends.get(incident.state) or opened,))),
        ("Trigger", Fact(f"{brief(incident.trigger)}: {brief(incident.why)}", (opened,))),
        ("Release in force at detection", release),
        ("Deployed", deployed),
        ("Began", Fact(moment(incident.began), (opened,))),
        ("Detected", Fact(detected, (opened,))),
        ("Response", _response(incident, runs)),
        ("Mitigated", _after("", incident.opened, incident.mitigated, (mitigated,))),
        ("Duration", _duration(incident, opened, mitigated)),
        ("Resolved", _after("", incident.opened, incident.resolved, (ends["resolved"],))),
    )


def _response(incident: IncidentView, runs: Sequence[RunFact]) -> Fact | None:
    """When somebody or something began to act."""
    run = next((r for r in runs if r.started is not None), None)
    return None if run is None else _after(f", {run.what}", incident.opened, run.started, (run.asked,))


def _after(what: str, begin: datetime, end: datetime | None, events: tuple[int, ...]) -> Fact | None:
    return Fact(f"{moment(end)} ({span(begin, end)} after detection){what}", events) if end else None


def _duration(incident: IncidentView, opened: int, mitigated: int) -> Fact | None:
    if incident.mitigated is None:
        return None
    return Fact(f"{span(incident.began, incident.mitigated)} until mitigated", (opened, mitigated))


def _deployed(own: Sequence[Event]) -> Fact | None:
    """When the platform first saw that release, as it was asked when a report was written."""
    for event in own:
        if event.kind != "run.requested":
            continue
        with reading(event):
            inputs: Mapping[str, Any] = mapping(event.data, "inputs") if text(event.data, "runbook") == REPORT else {}
            if inputs.get("deployed"):
                return Fact(f"{moment(time(inputs, 'deployed'))}, when the platform first saw it", (event.seq,))
    return None


def _curves(own: Sequence[Event]) -> curves.CurvesView | None:
    """The latest that were recorded."""
    event = next((e for e in reversed(own) if e.kind == curves.KIND), None)
    if event is None:
        return None
    view = curves.read_curves(event)
    if not {m.event for m in view.markers} <= {e.seq for e in own}:
        raise Damaged(f"event {event.seq} ({event.kind}) names an event that is none of its incident")
    return view


def _unfinished(own: Sequence[Event]) -> Fact | None:
    event = next((e for e in reversed(own) if e.kind == "incident.resolved" and e.data.get("unfinished")), None)
    if event is None:
        return None
    with reading(event):
        names = [Finding(name).heading.lower() for name in event.data["unfinished"]]
        why = text(event.data, "unfinished_why")
        return Fact(f"Closed unfinished by {event.actor}, without: {', '.join(names)}. Why: {why}", (event.seq,))


def _notes(own: Sequence[Event], finding: Finding | None) -> tuple[Fact, ...]:
    """Those about one finding, or about none, with the closing word."""
    found = []
    for event in own:
        if event.kind not in ("incident.noted", "incident.resolved") or about(event) is not finding:
            continue
        with reading(event):
            said = text(event.data, "text") if event.kind == "incident.noted" else describe(event)
        found.append(Fact(f"{moment(event.at)}, {event.actor}: {said}", (event.seq,)))
    return tuple(found)
