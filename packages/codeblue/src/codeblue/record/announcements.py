"""What the public was told about an incident, folded from its events (R22)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from codeblue.model.event import Event
from codeblue.ports.status_page import Posted
from codeblue.record.fields import reading, text

INTENDED, POSTED, REFUSED = "status_page.intended", "status_page.posted", "status_page.refused"
OBSERVED, ABANDONED = "status_page.observed", "status_page.abandoned"
ANNOUNCEMENT_KINDS = (INTENDED, POSTED, REFUSED, OBSERVED, ABANDONED)


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
    """

    intended: Posted | None = None
    posted: Posted | None = None
    id: str = ""
    url: str = ""
    refused: tuple[tuple[Posted, str], ...] = ()
    observed: Posted | None = None
    abandoned: str = ""


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
            return replace(view, posted=Posted(text(d, "status")), id=text(d, "id"), url=text(d, "url"))
        case "status_page.refused":
            return replace(view, refused=(*view.refused, (Posted(text(d, "status")), text(d, "why"))))
        case "status_page.observed":
            return replace(view, observed=Posted(text(d, "status")))
        case "status_page.abandoned":
            return replace(view, abandoned=text(d, "why"))
    return view
