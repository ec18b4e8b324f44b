"""What looks like an outage and is none (R1b): while it holds, triggers are inhibited, each time with an expiry."""

from collections.abc import Sequence
from datetime import datetime

from codeblue.model.health import Outcome
from codeblue.model.inhibition import Inhibition
from codeblue.model.verdict import Verdict

#: The rule's id of an inhibition that nobody released in time.
OVERDUE = "inhibition"


def holding(inhibitions: Sequence[Inhibition], at: datetime) -> Inhibition | None:
    """The one that lasts longest of those that hold now; None without one. An expiry is half-open."""
    return max((i for i in inhibitions if at < i.expires), key=lambda i: i.expires, default=None)


def overdue(inhibitions: Sequence[Inhibition], at: datetime) -> Verdict | None:
    """A breach where one passed its expiry unreleased: whoever began it may have forgotten it, and that pages."""
    late = next((i for i in inhibitions if at >= i.expires), None)
    if late is None:
        return None
    since_s = (at - late.expires).total_seconds()
    when = f"expired {since_s:.0f} s ago at {late.expires:%Y-%m-%d %H:%M:%S} UTC"
    return Verdict(OVERDUE, Outcome.BREACH, f"{late.kind} by {late.by} ({late.why}) {when} and was not released")
