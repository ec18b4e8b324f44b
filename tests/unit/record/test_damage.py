"""Whatever somebody makes of the events afterwards: it is said which one, and nothing breaks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.record.events import INCIDENT, RUN, START, Story
from tests.unit.record.night import THRESHOLDS, curves
from tests.unit.record.test_folds import whole

from codeblue.adapters.record.rows import from_row, to_row
from codeblue.cli.progress import as_document, as_text
from codeblue.model.errors import Damaged, ExitCode
from codeblue.model.event import Event
from codeblue.record.chain import broken_at, plain
from codeblue.record.curves import KIND, markers_of
from codeblue.record.incidents import fold_incidents
from codeblue.record.report import gather, write_report
from codeblue.record.report.html import to_html
from codeblue.record.runs import fold_runs

ODD: tuple[Any, ...] = (None, 7, -1.5, True, "", "text", [], ["a"], [None], {}, {"a": 1}, float("nan"), 10**400)


def everything() -> Story:
    """One event of every kind that is read again."""
    story = whole()
    story.run("run.waiting", digest="d1", until=1800)
    story.run("run.approved", actor="person:ada", digest="d1")
    story.run("run.resumed")
    story.run("run.abort_requested", actor="person:ada")
    story.run("step.refused", step="template", why="moved on")
    story.run("step.made", step="report", key="k", reference="/r.md")
    story.add("incident.noted", {"text": "called the ward"}, incident=INCIDENT, actor="person:ada")
    cause = {"text": "a full disk", "about": "root-cause"}
    story.add("incident.noted", cause, incident=INCIDENT, actor="person:ada")
    few = curves()
    for points in few._points.values():
        del points[2:]
    story.add(KIND, few.event_data(1000.0, THRESHOLDS, markers_of(story.events)[:2]), incident=INCIDENT)
    _told(story)
    story.add("incident.mitigated", {"why": "healthy"}, incident=INCIDENT)
    closed = {"reason": "all well", "unfinished": ["impact"], "unfinished_why": "the ward is not asked yet"}
    story.add("incident.resolved", closed, incident=INCIDENT, actor="person:ada")
    data = {"release": "r", "label": "1.0", "standing": "known-good", "why": "soaked"}
    story.add("release.marked", data, incident=INCIDENT)
    return story


def _told(story: Story) -> None:
    who = {"level": "L1", "cycle": 0, "role": "on_call", "key": "k"}
    story.add("page.intended", {**who, "channel": "slack", "round": 0, "severity": "SEV1"}, incident=INCIDENT)
    story.add("page.deferred", {"key": "k", "why": "429", "delay_s": 1}, incident=INCIDENT)
    story.add("page.delivered", {**who, "fate": "accepted", "reference": "", "why": "yes"}, incident=INCIDENT)
    story.add("page.unrouted", {**who, "why": "nobody"}, incident=INCIDENT)
    story.add("incident.acknowledged", {"level": "L1"}, incident=INCIDENT, actor="person:ada")
    story.add("incident.escalated", {"level": "L4", "why": "harm"}, incident=INCIDENT, actor="person:ada")
    story.add("incident.severity", {"severity": "SEV1", "why": "R5"}, incident=INCIDENT)
    story.add("status_page.posted", {"id": "e", "status": "identified", "url": ""}, incident=INCIDENT)
    verdict = {"rule": "R4", "outcome": "breach", "why": "4 > 3", "pods": ["p"]}
    option = {"action": "freeze", "reasons_for": ["a"], "reasons_against": ["b"]}
    data = {"action": "freeze", "sentence": "freeze: a", "mode": "act", "verdicts": [verdict], "options": [option]}
    story.add("incident.decided", {**data, "pods": ["p"], "limits": ["l"], "releases": ["r"]}, incident=INCIDENT)


def tampered(data: Any) -> Iterator[Any]:
    """The data with one thing in it changed or gone, at every place."""
    yield from ODD
    if isinstance(data, dict):
        for key, value in data.items():
            yield {k: v for k, v in data.items() if k != key}
            for other in tampered(value):
                yield {**data, key: other}
    if isinstance(data, list):
        for n, value in enumerate(data):
            for other in tampered(value):
                yield [*data[:n], other, *data[n + 1 :]]


def look(events: list[Event]) -> None:
    """Everything that a verb makes of a record."""
    for run in fold_runs(events).values():
        json.dumps([as_document(run), as_text(run)])
    for incident in fold_incidents(events).values():
        json.dumps(plain(incident))
    write_report(events, INCIDENT)
    json.dumps(plain(gather(events, INCIDENT)))
    to_html(gather(events, INCIDENT))


@pytest.mark.req("B8")
@pytest.mark.parametrize("place", range(len(everything().events)))
def test_data_that_was_tampered_with_is_damage_at_its_event_or_does_not_matter(place: int) -> None:
    events = everything().events
    look(events)
    found = 0
    for data in tampered(events[place].data):
        if not isinstance(data, dict):
            continue  # a store gives no such event: see below
        changed = [*events[:place], replace(events[place], data=data), *events[place + 1 :]]
        try:
            look(changed)
        except Damaged as damage:
            found += 1
            assert f"event {place + 1} ({events[place].kind})" in damage.what
            assert damage.exit_code is ExitCode.FAILED
            assert "`codeblue audit verify`" in damage.remedy
        broken = broken_at(changed)
        assert data == events[place].data or (broken is not None and f"event {place + 1} " in broken)
    harmless = ("run.waiting", "run.resumed", "run.abort_requested", "step.intended")
    assert found or events[place].kind in harmless


def test_data_that_nests_without_end_is_damage() -> None:
    deep: Any = "x"
    for _ in range(3000):
        deep = [deep]
    story = Story()
    story.requested(inputs={"a": 1})
    events = [replace(story.events[0], data={**story.events[0].data, "inputs": {"a": deep}})]
    with pytest.raises(Damaged, match="event 1 "):
        fold_runs(events)
    assert broken_at(events) == "event 1 (run.requested) was changed after it was written"


def row(**changes: Any) -> list[Any]:
    names = ("service", "seq", "at", "kind", "actor", "run", "incident", "data", "previous", "hash")
    values = dict(zip(names, to_row(whole().events[4]), strict=True))
    return list((values | changes).values())


@pytest.mark.req("B8")
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"data": "{"}, "event 5 (step.started) has data that is not JSON"),
        ({"data": ""}, "event 5 (step.started) has data that is not JSON"),
        ({"data": "[" * 100_000}, "event 5 (step.started) has data that is not JSON"),
        ({"data": "[]"}, "event 5 (step.started) has data of another kind"),
        ({"data": "null"}, "event 5 (step.started) has data of another kind"),
        ({"data": b"{}"}, "event 5 (step.started) has a value that is no text"),
        ({"at": "yesterday"}, "event 5 (step.started) has no time"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "event 5 (step.started) has no time"),
        ({"at": 5}, "event 5 (step.started) has a value that is no text"),
        ({"kind": b"x"}, "an event without a number has a value that is no text"),
        ({"seq": "many"}, "an event without a number has data of another kind"),
    ],
)
def test_a_row_that_nobody_of_ours_wrote_is_damage(changes: dict[str, Any], what: str) -> None:
    assert from_row(row()) == whole().events[4]
    with pytest.raises(Damaged) as caught:
        from_row(row(**changes))
    assert caught.value.what.startswith(what)


def test_a_run_of_a_damaged_record_is_not_the_run_of_another() -> None:
    """What is damaged in one run is not silently left out where others are shown."""
    story = whole()
    story.run("run.ended", run=RUN, state="done", why="w", remedy="", exit_code=0, at=START.isoformat())
    events = [*story.events[:-1], replace(story.events[-1], data={"state": "won"})]
    with pytest.raises(Damaged, match=r"event 13 \(run\.ended\)"):
        fold_runs(events)
