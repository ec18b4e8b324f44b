"""Who was told what, when, and what became of it (R2, R22): from the events of paging and of the status page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from codeblue.model.event import Event
from codeblue.record.fields import number, reading, text
from codeblue.record.report.fact import Fact

#: What stands in an attempt's place until a provider answered.
PENDING = "no outcome recorded"


@dataclass(frozen=True, slots=True)
class PageFact:
    """One person called over one channel, sent once or several times.

    Attributes:
        level: "L1" … "L4", "notice".
        role, channel: whom, and over what; channel "" where there was none to try.
        sent: None where it never was.
        fate: "accepted", "refused", "unknown", "not sent", or `PENDING`.
        why: the provider's words.
        tries: how often it was sent, or meant to be.
        events: of its intent, its outcome and what lies between.
    """

    level: str
    cycle: int
    role: str
    channel: str
    sent: datetime | None
    fate: str
    why: str
    events: tuple[int, ...]
    tries: int = 1

    @property
    def result(self) -> str:
        """The fate, and after how many tries."""
        return f"{self.fate} in {self.tries} tries" if self.tries > 1 else self.fate


@dataclass(frozen=True, slots=True)
class Told:
    """Everybody who was told.

    Attributes:
        answers: acknowledgements and escalations by hand.
        public: what the status page said, in its order.
    """

    pages: tuple[PageFact, ...]
    answers: tuple[Fact, ...]
    public: tuple[Fact, ...]


def told(events: Iterable[Event]) -> Told:
    """Everybody who was told in one incident. Raises Damaged: an event does not say what it must."""
    pages: dict[str, PageFact] = {}
    answers: list[Fact] = []
    public: list[Fact] = []
    for event in events:
        with reading(event):
            if event.kind.startswith("page."):
                _page(pages, event)
            elif event.kind in ("incident.acknowledged", "incident.escalated"):
                answers.append(Fact(_answer(event), (event.seq,)))
            elif event.kind != "status_page.intended" and (said := posted(event.kind, event.data)):
                public.append(Fact(f"{event.at:%Y-%m-%d %H:%M:%S} UTC: {said}", (event.seq,)))
    return Told(tuple(pages.values()), tuple(answers), tuple(public))


def _page(pages: dict[str, PageFact], event: Event) -> None:
    d = event.data
    match event.kind:
        case "page.intended":
            key = _attempt(text(d, "key"), pages, new=True)
            before = pages.get(key)
            if before is None:
                who = text(d, "level"), int(number(d, "cycle")), text(d, "role"), text(d, "channel")
                pages[key] = PageFact(*who, event.at, PENDING, "", (event.seq,))
            else:
                pages[key] = replace(before, events=(*before.events, event.seq), tries=before.tries + 1)
        case "page.unrouted":
            who = text(d, "level"), int(number(d, "cycle")), text(d, "role"), ""
            pages[f"unrouted {event.seq}"] = PageFact(*who, None, "not sent", text(d, "why"), (event.seq,))
        case "page.deferred" | "page.delivered":
            key = _attempt(text(d, "key"), pages, new=False)
            fate = text(d, "fate") if event.kind == "page.delivered" else PENDING
            why = text(d, "why")
            if key in pages:
                pages[key] = replace(pages[key], fate=fate, why=why, events=(*pages[key].events, event.seq))


def _attempt(key: str, pages: Mapping[str, PageFact], *, new: bool) -> str:
    """Where the page of this key stands: one that had its outcome and is sent anew stands in a row of its own."""
    row, n = key, 1
    while True:
        later = f"{key} {n}"
        ended = row in pages and pages[row].fate != PENDING
        if later not in pages and not (new and ended):
            return row
        row, n = later, n + 1


def _answer(event: Event) -> str:
    level = f" {text(event.data, 'level')}" if "level" in event.data else ""
    at = f"{event.at:%Y-%m-%d %H:%M:%S} UTC: "
    if event.kind == "incident.acknowledged":
        return f"{at}acknowledged{level} by {event.actor}"
    why = f": {text(event.data, 'why')}" if "why" in event.data else ""
    return f"{at}called{level} by {event.actor}{why}"


def posted(kind: str, data: Mapping[str, Any]) -> str:
    """An event of the status page in a few words; "" for one that says nothing to people.

    Raises:
        KeyError, TypeError: it does not say what it must.
    """
    match kind:
        case "status_page.intended":
            return f"status page: {text(data, 'status')} about to be posted"
        case "status_page.posted":
            where = ", ".join(x for x in (f"entry {text(data, 'id')}", text(data, "url")) if x)
            return f"status page says {text(data, 'status')} ({where})"
        case "status_page.refused":
            return f"status page refused {text(data, 'status')}: {text(data, 'why')}"
        case "status_page.unreachable":
            return f"status page does not say {text(data, 'status')} yet, it did not answer: {text(data, 'why')}"
        case "status_page.observed":
            return f"status page would say {text(data, 'status')} (mode observe): nothing was posted"
        case "status_page.abandoned":
            return f"status page given up: {text(data, 'why')}"
    return ""
