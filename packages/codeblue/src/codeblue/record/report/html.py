"""The report as one HTML file: no script, nothing from elsewhere, for a screen, a phone and paper."""

from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup

from codeblue.record.curves import Signal
from codeblue.record.report.facts import NOT_RECORDED, ReportFacts
from codeblue.record.report.readings import TITLES, after, reading_of
from codeblue.record.report.svg import draw, numbered
from codeblue.record.report.words import moment, precise, shown, words

if TYPE_CHECKING:
    from jinja2 import Template


def to_html(facts: ReportFacts) -> str:
    """The whole page."""
    view = facts.curves
    drawings = [] if view is None else [(Markup(draw(view, s)), reading_of(view, s), TITLES[s]) for s in Signal]  # noqa: S704
    moments = [] if view is None else list(numbered(view.markers))
    return _template().render(facts=facts, drawings=drawings, moments=moments, unrecorded=NOT_RECORDED) + "\n"


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "shown": shown,
        "words": words,
        "moment": moment,
        "after": after,
        "clock": _clock,
        "precise": precise,
    }
    return environment.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "-"
