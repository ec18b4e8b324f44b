"""The report writes itself (R47, B12): facts with their events, nothing invented, nothing smuggled in."""

import re

import pytest
from tests.unit.record.events import INCIDENT, RUN, START, Story
from tests.unit.record.test_folds import whole

from codeblue.record.findings import Finding
from codeblue.record.report import NOT_RECORDED, TO_BE_FILLED, write_report

#: The line of the report that the summary stands in; above it stands the headline.
SUMMARY, HEADLINE = 4, 2


def report(story: Story) -> list[str]:
    return write_report(story.events, INCIDENT).splitlines()


def line(lines: list[str], start: str) -> str:
    [found] = [x for x in lines if x.startswith(start)]
    return found


@pytest.mark.req("B12")
def test_every_fact_links_to_its_event() -> None:
    story = whole()
    story.add("incident.mitigated", {"why": "healthy for 30 s"}, incident=INCIDENT)
    lines = report(story)
    assert line(lines, "| Began") == "| Began | 2026-01-05 03:00:00 UTC [#1](#e1) |"
    assert line(lines, "| Detected") == "| Detected | 2026-01-05 03:00:01 UTC (1 s later) [#1](#e1) |"
    assert line(lines, "| Mitigated") == "| Mitigated | 2026-01-05 03:00:13 UTC (12 s after detection) [#13](#e13) |"
    assert line(lines, "| Trigger") == "| Trigger | R4: 4 > 3 [#1](#e1) |"
    assert "At 2026-01-05 03:00:02 UTC: rollback: R4 [#2](#e2)." in lines
    assert line(lines, "- Quick rollback") == (
        f"- Quick rollback ended after 8.0 s as done ({RUN}, asked for by watch: R4 [#3](#e3)). every step is proven "
        "[#12](#e12)"
    )
    assert line(lines, "- 1 → 2") == "- 1 → 2 [#10](#e10)"
    anchors = set(re.findall(r'<a id="(e\d+)">', "\n".join(lines)))
    links = set(re.findall(r"\(#(e\d+)\)", "\n".join(lines)))
    assert links <= anchors
    assert f"Record: events 1 to 13, head `{story.events[-1].hash}`." in lines


@pytest.mark.req("R47", "B12")
def test_the_summary_says_in_a_few_sentences_what_happened_each_with_its_event() -> None:
    story = whole()
    story.add("incident.mitigated", {"why": "healthy for 30 s"}, incident=INCIDENT)
    story.add("incident.resolved", {"reason": "the cause is known"}, incident=INCIDENT, actor="person:ada")
    lines = report(story)
    assert lines[SUMMARY] == (
        "On 2026-01-05 at 03:00:01 UTC the health check of api failed several times in a row (R4) [#1](#e1). "
        "Which release was in force at the detection is not recorded. "
        "Code Blue decided: rollback [#2](#e2). "
        "Quick rollback ended after 8.0 s as done [#12](#e12). "
        "At 03:00:13 UTC, 12 s after the detection, it was mitigated: healthy for 30 s [#13](#e13). "
        "person:ada closed the incident: the cause is known [#14](#e14)."
    )
    assert lines[HEADLINE] == (
        "**Resolved: closed by person:ada: healthy for 30 s. No verification proved it [#13](#e13) [#14](#e14)**"
    )
    assert (
        line(lines, "| Response")
        == "| Response | 2026-01-05 03:00:04 UTC (3 s after detection), quick rollback [#3](#e3) |"
    )
    assert line(lines, "| Duration") == "| Duration | 13 s until mitigated [#1](#e1) [#13](#e13) |"
    assert line(lines, "| Resolved") == "| Resolved | 2026-01-05 03:00:14 UTC (13 s after detection) [#14](#e14) |"
    assert "- 2026-01-05 03:00:14 UTC, person:ada: resolved: the cause is known [#14](#e14)" in lines


@pytest.mark.req("R47")
def test_steps_that_failed_were_unknown_or_never_made_are_said_as_such() -> None:
    story = Story()
    story.opened()
    steps = [{"id": i, "title": i, "limit_s": 10} for i in ("one", "two", "three", "four", "five")]
    story.requested(runbook="recovery", steps=steps)
    story.run("run.started", deadline=START.isoformat())
    story.run("step.ended", step="one", state="done", why="well", remedy="")
    story.run("step.ended", step="two", state="done", why="not timed: the profile names no Service", remedy="")
    story.run("step.ended", step="three", state="failed", why="10 s passed; unknown: no answer", remedy="")
    story.run("step.started", step="four", limit_s=10)
    story.run("run.ended", state="failed", why="three", remedy="", exit_code=1)
    lines = report(story)
    assert [x for x in lines if x.startswith("| recovery | ")] == [
        "| recovery | one | done | well [#4](#e4) |",
        "| recovery | two | left out | not timed: the profile names no Service [#5](#e5) |",
        "| recovery | three | unknown, counts as failed | 10 s passed; unknown: no answer [#6](#e6) |",
        "| recovery | four | not finished | - [#2](#e2) |",
        "| recovery | five | not made | - [#2](#e2) |",
    ]
    said = "1 stayed unknown (that counts as failed), 1 not finished, 1 not made, 1 left out"
    assert f"Of its steps and checks {said} [#2](#e2)." in lines[SUMMARY]
    assert "That the service became healthy again is not recorded. The incident is open [#1](#e1)." in lines[SUMMARY]


@pytest.mark.defect("D51")
def test_what_is_unknown_reads_not_recorded() -> None:
    story = Story()
    story.opened()
    lines = report(story)
    for what in ("Release in force at detection", "Deployed", "Response", "Duration"):
        assert line(lines, f"| {what}") == f"| {what} | {NOT_RECORDED} |"
    assert "No run is recorded, and no check." in lines
    assert line(lines, "| Mitigated") == f"| Mitigated | {NOT_RECORDED} |"
    assert line(lines, "| Resolved") == f"| Resolved | {NOT_RECORDED} |"
    for what in ("A decision is", "Curves are"):
        assert f"{what} {NOT_RECORDED}." in lines
    assert f"Pages are {NOT_RECORDED}. What the status page said is {NOT_RECORDED}." in lines
    for finding in Finding:
        filled = lines[lines.index(f"## {finding.heading}") + 2]
        assert filled == f"{TO_BE_FILLED} ({finding.asks}): `{finding.command(INCIDENT)}`"
    assert "None by Code Blue." in lines
    assert "[TO BE FILLED]" not in "\n".join(lines)


def test_the_timeline_has_every_event_for_people_and_no_other_incident() -> None:
    story = whole()
    story.opened("inc-20260105t040000z-cccccc", why="another one")
    story.requested("run-20260105t040000z-cccccc", "inc-20260105t040000z-cccccc", reason="another one")
    text = "\n".join(report(story))
    timeline = text.partition("## Timeline")[2].partition("## ")[0]
    rows = re.findall(r"\[#(\d+)\]\(#e\1\) \|$", timeline, re.MULTILINE)
    assert [int(n) for n in rows] == [1, 2, 3, 4, 7, 10, 11, 12]  # not the steps' beginnings, not their progress
    appendix = re.findall(r'^\| <a id="e(\d+)"></a>#\1 \|', text, re.MULTILINE)
    assert [int(n) for n in appendix] == list(range(1, 13)), "the appendix has all of them"
    assert "another one" not in text


ATTACKS = (
    "a | b",
    "back\\|slash",
    "line\n## Resolved\n\n| State | resolved |",
    "<script>alert(1)</script>",
    "[click](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "`code` **bold** ~~gone~~",
    "\x1b[31mred\x07",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_others_adds_no_line_no_cell_and_no_markup(attack: str) -> None:
    def with_text(text: str) -> list[str]:
        story = Story()
        story.opened(why=text, trigger="R4")
        story.add("incident.decided", {"action": "page_only", "sentence": text}, incident=INCIDENT, actor=text)
        story.add("incident.noted", {"text": text}, incident=INCIDENT, actor="person:eve")
        story.requested(reason=text)
        story.run("run.started", deadline=START.isoformat())
        story.run("step.applied", step="template", change={"summary": text}, accepted=text)
        story.run("run.ended", state="failed", why=text, remedy="", exit_code=1)
        return report(story)

    harmless, attacked = with_text("harmless"), with_text(attack)
    assert len(attacked) == len(harmless)
    for plain_line, line_ in zip(harmless, attacked, strict=True):
        cells = re.compile(r"(?<!\\)(?:\\\\)*\|")
        assert len(cells.findall(line_)) == len(cells.findall(plain_line))
        assert line_.isprintable()
    text = "\n".join(attacked)
    for markup in ("<script", r"(?<!\\)\]\(http", "(?<!\\\\)`code`", r"(?<!\\)\*\*?bold", "(?<!\\\\)~~?gone"):
        assert not re.search(markup, text)


def test_an_incident_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        write_report([], INCIDENT)


@pytest.mark.req("R47")
@pytest.mark.parametrize(
    ("action", "mode", "said"),
    [
        ("rollback", "observe", "would have rolled back (mode observe), and does not: R4: 4 > 3"),
        ("rollback", "ask", "rollback once a person approves (mode ask): R4: 4 > 3"),
        ("page_only", "act", "no change: R4: 4 > 3; a person must decide"),
    ],
)
def test_a_decision_is_never_told_as_if_it_were_done(action: str, mode: str, said: str) -> None:
    story = Story()
    story.opened()
    data = {"action": action, "sentence": f"{action}: R4: 4 > 3", "mode": mode}
    story.add("incident.decided", data, incident=INCIDENT, actor="watch")
    lines = report(story)
    short = said.replace(": R4: 4 > 3", "")
    assert f"Code Blue decided: {short} [#2](#e2)." in lines[SUMMARY], "the arithmetic stands below"
    assert line(lines, "At 2026").startswith(f"At 2026-01-05 03:00:02 UTC: {said} [#2](#e2).")
    assert f"decided: {said} |" in line(lines, "| 2026-01-05 03:00:02.000 |")
    assert "page_only" not in "\n".join(lines)
    assert "page\\_only" not in "\n".join(lines)


@pytest.mark.req("R47")
def test_the_report_says_who_asked_for_the_rollback_and_who_approved_it() -> None:
    story = Story()
    story.opened()
    story.run(
        "run.requested",
        actor="person:ada",
        runbook="quick_rollback",
        reason="users complain",
        inputs={},
        steps=[],
        digest="d1",
        deadline_s=300,
    )
    story.run("run.approved", actor="person:bob", digest="d1")
    lines = report(story)
    assert "person:ada asked for it: quick rollback: users complain [#2](#e2)." in lines[SUMMARY]
    assert "person:bob approved the quick rollback [#3](#e3)." in lines[SUMMARY]
    assert line(lines, "- Quick rollback") == (
        f"- Quick rollback is requested at the time of this report ({RUN}, asked for by person:ada: users complain "
        "[#2](#e2)). [#3](#e3)"
    )
    assert lines[HEADLINE] == "**Open: quick rollback is requested [#3](#e3)**"


@pytest.mark.req("R47", "B12")
def test_the_release_at_the_detection_is_the_one_that_was_seen_then_not_the_one_that_was_rolled_back_later() -> None:
    inputs = {"origin_label": "2.0 (b)", "target_label": "1.0 (a)", "origin_release": "b"}
    story = Story()
    story.opened(in_force={"release": "a", "label": "1.0 (a)"})
    story.requested(inputs=inputs)
    lines = report(story)
    assert line(lines, "| Release in force") == "| Release in force at detection | 1.0 (a) [#1](#e1) |"
    assert "The release in force at the detection was 1.0 (a) [#1](#e1)." in lines[SUMMARY]
    assert "Quick rollback from 2.0 (b) to 1.0 (a) is requested" in lines[SUMMARY]

    unseen = Story()
    unseen.opened()
    unseen.requested(inputs=inputs)
    lines = report(unseen)
    assert line(lines, "| Release in force") == f"| Release in force at detection | {NOT_RECORDED} |"
    assert f"Which release was in force at the detection is {NOT_RECORDED}." in lines[SUMMARY]


@pytest.mark.req("R47")
@pytest.mark.parametrize(
    ("trigger", "why", "said"),
    [
        (
            "R4",
            "4 consecutive failures > 3: status 503 (2 ms of 1000)",
            "the health check of api failed 4 times in a row",
        ),
        ("R5", "9 of 40 requests failed within 5 s: 22.5 % > 5 %", "too many requests to api failed"),
        ("R6", "p95 of 78 requests: 31 s > 30 s", "api answered too slowly"),
        ("R7", "1 of 3 pods over 95 %", "the memory of api ran short"),
        ("R8", "9 of 20 calls failed", "too many calls of the AI model by api failed"),
    ],
)
def test_the_first_sentence_needs_no_knowledge_of_triggers(trigger: str, why: str, said: str) -> None:
    story = Story()
    story.opened(trigger=trigger, why=why)
    lines = report(story)
    assert lines[SUMMARY].startswith(f"On 2026-01-05 at 03:00:01 UTC {said} ({trigger}) [#1](#e1). ")
    assert line(lines, "| Trigger").startswith(f"| Trigger | {trigger}: {why} ")


def test_the_timeline_names_procedures_and_steps_as_people_know_them_and_tells_a_second_apart() -> None:
    story = Story()
    story.opened()
    steps = [{"id": "preflight", "title": "Check that nothing changed", "limit_s": 10}]
    story.requested(steps=steps)
    story.run("run.started", deadline=START.isoformat())
    story.run("step.ended", step="preflight", state="done", why="3 replicas", remedy="")
    story.run("run.ended", state="done", why="every step is proven", remedy="", exit_code=0)
    lines = [x for x in report(story) if x.startswith("| 2026-01-05 ")]
    assert [x.split(" | ")[:2] for x in lines[2:5]] == [
        ["| 2026-01-05 03:00:03.000", "quick rollback started"],
        ["| 2026-01-05 03:00:04.000", "Check that nothing changed: done: 3 replicas"],
        ["| 2026-01-05 03:00:05.000", "quick rollback done: every step is proven"],
    ]
