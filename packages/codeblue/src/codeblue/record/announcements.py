"""What the public was told about an incident, folded from its events (R22)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from codeblue.model.event import Event
from codeblue.ports.status_page import Posted
from codeblue.record.fields import reading, text

INTENDED, POSTED, REFUSED = "status_page.intended", "status_page.posted", "status_page.refused"
OBSERVED, ABANDONED, UNREACHABLE = "status_page.observed", "status_page.abandoned", "status_page.unreachable"
ANNOUNCEMENT_KINDS = (INTENDED, POSTED, REFUSED, OBSERVED, ABANDONED, UNREACHABLE)


@dataclass(frozen=True, slots=True)
class AnnouncementView:
    """The entry of one incident.

    Attributes:
        intended: what was meant last; None before anything was.
        posted: what the page is known to show; None before anything is.
        id, url: the page's own, "" before it is known.
        refused: what the page did not take, with its reason as (status, why).
        observed: what would have been told last, in mode observe.
        abandoned: why nothing more is told, "" while it is.
        unreachable: what could not be posted because the page did not answer; None once it took something.
        unreachable_why, unreachable_since: why not, and since when.
    """

    intended: Posted | None = None
    posted: Posted | None = None
    id: str = ""
    url: str = ""
    refused: tuple[tuple[Posted, str], ...] = ()
    observed: Posted | None = None
    abandoned: str = ""
    unreachable: Posted | None = None
    unreachable_why: str = ""
    unreachable_since: datetime | None = None

    @property
    def behind(self) -> str:
        """What the public should read and does not, and why; "" while nothing is known to be in the way."""
        if self.abandoned or self.intended is None or self.intended is self.posted:
            return ""
        if self.unreachable is not None and self.unreachable_since is not None:
            since = f"{self.unreachable_since:%Y-%m-%d %H:%M:%S} UTC"
            return f"does not say {self.intended.value}: it cannot be reached since {since}: {self.unreachable_why}"
        why = next((why for status, why in reversed(self.refused) if status is self.intended), "")
        return f"does not say {self.intended.value}: it refused it: {why}" if why else ""


def fold_announcement(events: Iterable[Event]) -> AnnouncementView:
    """Of one incident's events. Raises Damaged: an event does not say what it must."""
    view = AnnouncementView()
    for event in events:
        with reading(event):
            view = _advance(view, event)
    return view


def _advance(view: AnnouncementView, event: Event) -> AnnouncementView:
    d = event.data
    match event.kind:
        case "status_page.intended":
            return replace(view, intended=Posted(text(d, "status")))
        case "status_page.posted":
            posted = replace(view, posted=Posted(text(d, "status")), id=text(d, "id"), url=text(d, "url"))
            return replace(posted, unreachable=None, unreachable_why="", unreachable_since=None)
        case "status_page.refused":
            return replace(view, refused=(*view.refused, (Posted(text(d, "status")), text(d, "why"))))
        case "status_page.unreachable":
            status, since = Posted(text(d, "status")), view.unreachable_since or event.at
            return replace(view, unreachable=status, unreachable_why=text(d, "why"), unreachable_since=since)
        case "status_page.observed":
            return replace(view, observed=Posted(text(d, "status")))
        case "status_page.abandoned":
            return replace(view, abandoned=text(d, "why"))
    return view
