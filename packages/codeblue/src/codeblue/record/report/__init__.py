"""The incident's report (R47, B12): facts from the record, each with its events, and what writes them down.

`facts` gathers from the record alone; `markdown` and `html` write, and know nothing of each other.
"""

from collections.abc import Sequence

from codeblue.model.event import Event
from codeblue.record.report.facts import NOT_RECORDED, ReportFacts, gather
from codeblue.record.report.markdown import TO_BE_FILLED, to_markdown
from codeblue.record.report.words import describe


def write_report(events: Sequence[Event], incident_id: str) -> str:
    """The report of one incident in Markdown.

    Raises:
        KeyError: the events have no such incident. Damaged: one of them does not say what it must.
    """
    return to_markdown(gather(events, incident_id))


__all__ = ["NOT_RECORDED", "TO_BE_FILLED", "ReportFacts", "describe", "gather", "to_markdown", "write_report"]
