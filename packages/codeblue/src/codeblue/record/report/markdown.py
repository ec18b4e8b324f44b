"""The report in Markdown: tables and lists that read well as plain text too."""

import re
from collections.abc import Iterable

from codeblue.record.curves import CurvesView, Signal
from codeblue.record.explanation import Explained
from codeblue.record.report.fact import Fact
from codeblue.record.report.facts import NOT_RECORDED, ReportFacts
from codeblue.record.report.people import Told
from codeblue.record.report.readings import reading_of
from codeblue.record.report.words import moment, precise, shown, words

TO_BE_FILLED = "_only a person knows; not recorded yet_"

_SPECIAL = re.compile(r"[\\`|\[\]*~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)/(?=/)|(?<=\bwww)\.")


def to_markdown(facts: ReportFacts) -> str:
    """The whole report."""
    lines = [
        f"# Incident {facts.incident}",
        "",
        f"**{_said(facts.headline.fact)}**",
        "",
        " ".join(f"{_said(fact)}." for fact in facts.summary),
        "",
        "All times UTC. A number such as #1 is an event of the record; all of them stand at the end.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_said(fact)} |" for name, fact in facts.glance),
        "",
        "## Timeline",
        "",
        "| time (UTC) | what | by | event |",
        "|---|---|---|---|",
        *(f"| {precise(e.at)} | {_safe(e.what)} | {_safe(e.by)} |{_links((e.event,))} |" for e in facts.timeline),
        "",
        "## Curves",
        "",
        *_curves(facts.curves),
        "",
        "## Decision",
        "",
        *(line for decision in facts.decisions for line in _decision(decision)),
        *([] if facts.decisions else [f"A decision is {NOT_RECORDED}.", ""]),
        "## Who was told",
        "",
        *_told(facts.told),
        "",
        "## Steps and checks",
        "",
        *_steps(facts),
        "",
        "## Actions taken",
        "",
        *(_list(facts.changes) or ["None by Code Blue."]),
        "",
        *([f"**{_said(facts.unfinished)}**", ""] if facts.unfinished else []),
    ]
    for found in facts.findings:
        notes = _list(found.notes) or [f"{TO_BE_FILLED} ({found.finding.asks}): `{found.command}`"]
        lines += [f"## {found.finding.heading}", "", *notes, ""]
    lines += [
        "## Notes",
        "",
        *(_list(facts.notes) or ["None."]),
        "",
        "## Events",
        "",
        "| event | time (UTC) | kind | by | hash |",
        "|---|---|---|---|---|",
        *(
            f'| <a id="e{s.event}"></a>#{s.event} | {s.at:%Y-%m-%d %H:%M:%S.%f} | {_safe(s.kind)} | {_safe(s.by)} '
            f"| {s.hash[:16]} |"
            for s in facts.sources
        ),
        "",
        f"Record: events {facts.sources[0].event} to {facts.upto}, head `{facts.head}`.",
        "",
    ]
    return "\n".join(lines)


def _curves(view: CurvesView | None) -> list[str]:
    if view is None:
        return [f"Curves are {NOT_RECORDED}."]
    lines = [f"- {signal_reading}{_links((view.event,))}" for signal_reading in (reading_of(view, s) for s in Signal)]
    return [*lines, "", "The page (HTML) beside this file draws them."]


def _decision(decision: Explained) -> list[str]:
    link = _links((decision.event,))
    mode = f" Mode: {_safe(decision.mode)}." if decision.mode_unsaid else ""
    lines = [f"At {moment(decision.at)}: {_safe(decision.said)}{link}.{mode}", ""]
    if decision.verdicts:
        lines += ["| trigger | verdict | why |", "|---|---|---|"]
        lines += [f"| {_safe(v.rule)} | {v.outcome} | {_safe(v.why) or '-'}{link} |" for v in decision.verdicts]
        lines.append("")
    for option in decision.options:
        lines.append(f"- {_safe(option.words)}{' (chosen)' if option.chosen else ''}{link}")
        lines += [f"  - for: {_safe(reason)}" for reason in option.reasons_for]
        lines += [f"  - against: {_safe(reason)}" for reason in option.reasons_against]
    lines += [f"- {_safe(line)}{link}" for line in (*decision.limits, *decision.releases)]
    return [*lines, ""]


def _told(found: Told) -> list[str]:
    if not (found.pages or found.answers or found.public):
        return [f"Pages are {NOT_RECORDED}. What the status page said is {NOT_RECORDED}."]
    lines = []
    if found.pages:
        lines += ["| time (UTC) | level | whom | over | result |", "|---|---|---|---|---|"]
        for page in found.pages:
            at = f"{page.sent:%Y-%m-%d %H:%M:%S}" if page.sent else "-"
            again = f", page {page.cycle + 1}" if page.cycle else ""
            why = f": {_safe(page.why)}" if page.why else ""
            lines.append(
                f"| {at} | {_safe(page.level)}{again} | {_safe(words(page.role))} | {_safe(page.channel) or '-'} "
                f"| {_safe(page.result)}{why}{_links(page.events)} |"
            )
    else:
        lines.append(f"Pages are {NOT_RECORDED}.")
    lines += ["", *(_list(found.answers) or [f"An acknowledgement is {NOT_RECORDED}."])]
    return [*lines, "", *(_list(found.public) or [f"What the status page said is {NOT_RECORDED}."])]


def _steps(facts: ReportFacts) -> list[str]:
    """Every step with its result, and every check that was not made: what was not looked at is not healthy (B5)."""
    if not facts.runs:
        return ["No run is recorded, and no check."]
    lines = []
    for run in facts.runs:
        asked = f", asked for by {_safe(run.actor)}: {_safe(run.reason)}{_links((run.asked,))}"
        lines.append(
            f"- {_safe(run.outcome)} ({_safe(run.id)}{asked}). {_safe(run.why)}".rstrip() + _links((run.last,))
        )
    lines += ["", "| run | step | result | what was seen |", "|---|---|---|---|"]
    lines += [
        f"| {_safe(run.what)} | {_safe(s.title)} | {s.result} | {_safe(s.seen.text) or '-'}{_links(s.seen.events)} |"
        for run in facts.runs
        for s in run.steps
    ]
    return lines


def _list(facts: Iterable[Fact]) -> list[str]:
    return [f"- {_said(fact)}" for fact in facts]


def _said(fact: Fact | None) -> str:
    return NOT_RECORDED if fact is None else f"{_safe(fact.text)}{_links(fact.events)}"


def _links(events: Iterable[int]) -> str:
    return "".join(f" [#{n}](#e{n})" for n in dict.fromkeys(events))


def _safe(text: str) -> str:
    """Text of others inside a line of ours: it adds no line, no cell, no link and no markup."""
    return _SPECIAL.sub(r"\\\g<0>", shown(text).replace("&", "&amp;").replace("<", "&lt;"))
