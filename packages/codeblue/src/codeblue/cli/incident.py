"""`codeblue incident`: list, show, report."""

from typing import TYPE_CHECKING

from cyclopts import App

from codeblue.cli.frame import Common, show, untouched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codeblue.model.event import Event

_DEFAULT = Common()

app = App(name="incident", help="List and show incidents, and write their reports.")


@app.command(name="list")
@untouched()
def list_incidents(*, common: Common = _DEFAULT) -> int:
    """All incidents of the record, newest first."""
    from codeblue.record.chain import plain
    from codeblue.record.incidents import fold_incidents

    found = list(fold_incidents(_events(common)).values())[::-1]
    lines = [f"{i.id}  {i.state:<9} {i.severity}  {i.opened:%Y-%m-%d %H:%M:%S}  {i.trigger}: {i.why}" for i in found]
    document = {"schema": "codeblue/incidents/1", "incidents": [plain(i) for i in found]}
    show(common, document, "\n".join(lines) or "No incidents.")
    return 0


@app.command(name="show")
@untouched()
def show_incident(incident: str, *, common: Common = _DEFAULT) -> int:
    """The report of one incident, as it is now, on standard output."""
    text = _text(common, incident)
    show(common, {"schema": "codeblue/report/1", "incident": incident, "markdown": text}, text)
    return 0


@app.command
def report(incident: str, *, common: Common = _DEFAULT) -> int:
    """Write the report of one incident into the profile's report directory, and read it back."""
    from codeblue.cli.session import Options, execute
    from codeblue.runbooks.incident_report import Request

    return execute(common, "incident_report", Request(incident), "asked for by a person", Options(), incident=incident)


def _events(common: Common) -> "Sequence[Event]":
    from codeblue.wiring import open_record

    return open_record(common.load()).read()


def _text(common: Common, incident: str) -> str:
    from codeblue.model.errors import Refused
    from codeblue.record.report import write_report

    try:
        return write_report(_events(common), incident)
    except KeyError:
        raise Refused(f"There is no incident {incident!r}.", remedy="`codeblue incident list` shows them.") from None
