"""What a page says (R2, R3): typed facts of the record (B9), nothing of the service's own text. No clock, no I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from codeblue.model.incident import Severity
from codeblue.model.page import Page
from codeblue.record.incidents import IncidentView, decision_in_brief
from codeblue.record.pages import NOTICE, PagingView
from codeblue.rules.escalation import Call
from codeblue.rules.severity import MANUAL, severity_named, trigger_name

MAX_SUMMARY: Final = 200

#: The watch's triggers in words that may leave: a page carries no text of the service (B9).
_WORDS: Final[Mapping[str, str]] = {
    "health": "the health check fails",
    "error_rate": "too many errors",
    "latency": "answers are too slow",
    "memory": "memory is running out",
    "ai": "AI calls fail",
    "alert": "an alert of the monitoring",
    "signals": "the metrics cannot be read",
    "inhibition": "triggers were inhibited for longer than was said",
}


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page is made of.

    Args:
        incident: its view; None for a page that belongs to none.
        elapsed_s: seconds since it was opened.
    """

    id: str
    service: str
    incident: IncidentView | None
    paging: PagingView
    elapsed_s: float


def page_key(id_: str, call: Call, channel: str) -> str:
    """What one page is known by, here and at a provider that takes a key (B3)."""
    return f"codeblue:{id_}:{call.level}:{call.cycle}:{call.role.value}:{channel}"


def page_of(facts: PageFacts, call: Call, channel: str, head: str = "") -> Page:
    """What the person is told over this channel.

    Args:
        head: number and hash of the record's event that meant the page.
    """
    incident, paging = facts.incident, facts.paging
    asked = next((r for r in paging.requested if r.seq == call.cycle and r.level == call.level), None)
    if asked is not None:
        summary, step = asked.summary, asked.next_step
    else:
        summary, step = _summary(facts, call), _next_step(facts, call)
    return Page(
        key=page_key(facts.id, call, channel),
        incident=facts.id,
        level=call.level,
        cycle=call.cycle,
        role=call.role,
        severity=severity_named(incident.severity) if incident is not None else Severity.SEV4,
        summary=summary[:MAX_SUMMARY],
        details=tuple(_details(facts, call)),
        next_step=step,
        head=head,
    )


def _summary(facts: PageFacts, call: Call) -> str:
    incident = facts.incident
    severity = incident.severity if incident else ""
    if incident is not None and incident.drill:
        severity = f"DRILL {severity}"
    told = "for your information" if call.level == NOTICE else f"level {call.level}"
    again = f", page {call.cycle + 1}" if call.level != NOTICE and call.cycle else ""
    minutes = int(facts.elapsed_s // 60)
    return f"{severity} {facts.service}: {_means(incident)}; {told}{again}, open for {minutes} min"


def _details(facts: PageFacts, call: Call) -> Iterator[tuple[str, str]]:
    incident, paging = facts.incident, facts.paging
    yield "service", facts.service
    yield "level", call.level
    if incident is None:
        return
    if incident.drill:
        yield "drill", "nothing is wrong with the service: change nothing"
    yield "severity", incident.severity
    yield "trigger", _means(incident)
    yield "opened", f"{incident.opened:%Y-%m-%d %H:%M:%S} UTC"
    if decided := decision_in_brief(incident):
        yield "decision", decided
    if paging.waiting:
        yield "run", paging.waiting[-1].run
        yield "plan digest", paging.waiting[-1].digest
    elif incident.runs:
        yield "run", incident.runs[-1]
    for ack in paging.acks[-1:]:
        yield "acknowledged", f"{ack.level} at {ack.at:%H:%M:%S} UTC"


def _means(incident: IncidentView | None) -> str:
    if incident is None:
        return ""
    manual = MANUAL.get(incident.trigger)
    return manual.means if manual else _WORDS.get(trigger_name(incident.trigger), "an incident")


def _next_step(facts: PageFacts, call: Call) -> str:
    incident, paging = facts.incident, facts.paging
    if paging.waiting:
        return f"codeblue run approve {paging.waiting[-1].run}"
    if call.level == NOTICE:
        return f"codeblue incident show {facts.id}"
    if incident is not None and incident.drill:
        return f"codeblue incident ack {facts.id}, and change nothing: it is a drill"
    manual = MANUAL.get(incident.trigger) if incident else None
    then = f", then {manual.next_step}" if manual else ""
    return f"codeblue incident ack {facts.id}{then}"
