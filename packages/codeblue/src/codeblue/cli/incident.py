"""`codeblue incident`: declare, list, show, ack, escalate, note, mitigate, resolve, report."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from codeblue.cli.frame import Common, show, untouched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codeblue.ports.record import RecordStore
    from codeblue.record.incidents import IncidentView

_DEFAULT = Common()

#: `record.findings.Finding`, and whatever else there is.
About = Literal["root-cause", "impact", "lessons", "actions", "other"]
Format = Literal["markdown", "html", "json"]

Trigger = Literal["security", "corruption", "patient-safety", "regulatory", "unrecoverable", "other"]
ImpactName = Literal["outage", "degraded", "none"]
LevelName = Literal["L1", "L2", "L3", "L4"]
Plan = Annotated[bool, Parameter(negative="")]

app = App(name="incident", help="Declare, list, show, ack, escalate, note, mitigate, resolve and report incidents.")


@app.command
def declare(
    *,
    trigger: Annotated[Trigger, Parameter(required=True)],
    reason: Annotated[str, Parameter(required=True)],
    impact: ImpactName | None = None,
    drill: Annotated[bool, Parameter(negative="")] = False,
    plan: Plan = False,
    common: Common = _DEFAULT,
) -> int:
    """Open an incident by hand (R9): people are paged, and no automatic change is made while it is open.

    Patient safety calls level 4 at once, a regulatory violation the levels up to 3. A daemon pages and goes on with the
    ladder; without one the first pages are sent by this command. Exit 1 when somebody who is due was not reached.

    Parameters
    ----------
    trigger
        What it is; with "other", automatic changes go on.
    reason
        What you see, in one line; recorded with your name, and never sent. No patient data.
    impact
        What it does to those who use the service; default: what the trigger means by itself.
    drill
        It is an exercise: people are paged as if it were true, every page says DRILL, nothing is frozen, and the status
        page is not touched.
    plan
        Say what would be opened and who would be paged, and stop.
    """
    from codeblue.cli.paging import declare as declared

    return declared(common, trigger, reason, impact or "", drill=drill, plan=plan)


@app.command
def ack(incident: str, *, level: LevelName | None = None, common: Common = _DEFAULT) -> int:
    """Acknowledge: somebody works on it. Its level is not paged again, unless nothing happens for a while.

    The ladder goes on to the next levels until the incident is mitigated (escalation.until).

    Parameters
    ----------
    level
        The highest level that you answer for; default: the highest that was paged.
    """
    from codeblue.cli.paging import acknowledge

    record, view = _get(common, incident)
    return acknowledge(common, record, view, level or "")


@app.command
def escalate(
    incident: str,
    *,
    level: Annotated[LevelName, Parameter(required=True)],
    reason: Annotated[str, Parameter(required=True)],
    plan: Plan = False,
    common: Common = _DEFAULT,
) -> int:
    """Call a level now: with L2 and L3 also those below it; L4 is the CEO and the CMO, for patient safety.

    Parameters
    ----------
    reason
        Why, in one line; it is recorded, and never sent. No patient data.
    plan
        Say who would be paged, and stop.
    """
    from codeblue.cli.paging import escalate as escalated

    record, view = _get(common, incident)
    return escalated(common, record, view, level, reason, plan=plan)


@app.command
def mitigate(incident: str, *, reason: Annotated[str, Parameter(required=True)], common: Common = _DEFAULT) -> int:
    """Say that the trouble is over for those who use the service: nobody is paged any more, and a freeze ends.

    Parameters
    ----------
    reason
        How you know; it is recorded and stands in the report. No patient data.
    """
    from codeblue.cli.paging import refuse_over
    from codeblue.cli.words import sentence

    kept = sentence(reason, "--reason")
    record, view = _get(common, incident)
    refuse_over(view)
    _append(record, "incident.mitigated", view, {"why": kept})
    text = f"{view.id} is mitigated. `codeblue incident resolve {view.id} --reason …` closes it."
    show(common, {"schema": "codeblue/mitigated/1", "incident": view.id, "reason": kept}, text)
    return 0


@app.command(name="list")
@untouched()
def list_incidents(*, common: Common = _DEFAULT) -> int:
    """All incidents of the record, newest first."""
    from codeblue.cli.looking import look
    from codeblue.record.chain import plain
    from codeblue.record.incidents import INCIDENT_KINDS, fold_incidents
    from codeblue.record.paged import document as paged
    from codeblue.record.paged import short
    from codeblue.record.pages import PAGING_KINDS, fold_pages

    sight = look(common.load())
    events = sight.record.read(kinds={*INCIDENT_KINDS, *PAGING_KINDS}) if sight.record else ()
    found, paging = list(fold_incidents(events).values())[::-1], fold_pages(events)
    lines = []
    for i in found:
        what = f"DRILL, {i.trigger}" if i.drill else i.trigger
        lines.append(f"{i.id}  {i.state:<9} {i.severity}  {i.opened:%Y-%m-%d %H:%M:%S}  {what}: {i.why}")
        lines += [f"    {said}" for said in (short(paging.get(i.id)),) if said]
    listed = [{**plain(i), **paged(paging.get(i.id))} for i in found]
    document = {"schema": "codeblue/incidents/1", "record": sight.place, "incidents": listed}
    show(common, document, "\n".join(lines) or sight.nothing("incidents"))
    return 0


@app.command(name="show")
@untouched()
def show_incident(incident: str, *, format: Format = "markdown", common: Common = _DEFAULT) -> int:
    """The report of one incident, as it is now, on standard output.

    Parameters
    ----------
    format
        markdown; html: one page without anything from elsewhere, to open in a browser; json: the facts with the
        numbers of their events, as --json prints them.
    """
    from dataclasses import replace

    from codeblue.record.chain import plain
    from codeblue.record.paged import document as paged
    from codeblue.record.paged import paging_of
    from codeblue.record.report import gather, to_markdown

    record, view = _get(common, incident)
    events = record.read(incident=view.id)
    facts = gather(events, view.id)
    if format == "html" and not common.json:
        from codeblue.record.report.html import to_html

        show(common, {}, to_html(facts).rstrip("\n"))
        return 0
    text = to_markdown(facts)
    document = {"schema": "codeblue/report/1", "incident": incident, "markdown": text, "facts": plain(facts)}
    document |= paged(paging_of(events, view.id))
    show(replace(common, json=common.json or format == "json"), document, text)
    return 0


@app.command
def note(incident: str, text: str, *, about: About = "other", common: Common = _DEFAULT) -> int:
    """Record what only a person knows: it stands in the incident's report, with your name and the time.

    Parameters
    ----------
    text
        One line. No patient data, no secret.
    about
        In which section of the report it stands: "Root cause", "Impact" (patients and users affected, requests lost,
        revenue; without names), "Lessons", "Action items", or "Notes". An incident is closed with the first four.
    """
    from codeblue.cli.words import sentence

    kept = sentence(text, "The note")
    record, view = _get(common, incident)
    _append(record, "incident.noted", view, {"text": kept} if about == "other" else {"text": kept, "about": about})
    text = f"Noted. `codeblue incident report {view.id}` writes the report anew."
    show(common, {"schema": "codeblue/noted/1", "incident": view.id, "about": about, "text": kept}, text)
    return 0


@app.command
def resolve(
    incident: str,
    *,
    reason: Annotated[str, Parameter(required=True)],
    unfinished: str | None = None,
    common: Common = _DEFAULT,
) -> int:
    """Close an incident: you know that it is over, also where Code Blue could not prove it.

    Its runs must have ended, and what only a person knows must be noted: root cause, impact, lessons, action items. If
    the trigger fires again, the loop opens a new incident.

    Parameters
    ----------
    reason
        Why it is over; it is recorded and stands in the report. No patient data.
    unfinished
        Why it is closed without them; the record and the report say so.
    """
    from codeblue.cli.words import sentence
    from codeblue.model.errors import Refused
    from codeblue.record.findings import missing
    from codeblue.record.runs import fold_runs

    kept = sentence(reason, "--reason")
    why = sentence(unfinished, "--unfinished") if unfinished is not None else ""
    record, view = _get(common, incident)
    if view.state == "resolved":
        raise Refused(
            f"Incident {view.id} was closed already: {view.resolved_by}, {view.resolution}. Nothing was changed.",
            remedy=f"`codeblue incident note {view.id} …` adds to it.",
        )
    events = record.read(incident=view.id)
    runs = fold_runs(events).values()
    under_way = next((r for r in runs if not r.state.ended and r.runbook != "incident_report"), None)
    if under_way is not None:
        raise Refused(
            f"Run {under_way.id} ({under_way.runbook}) of {view.id} is {under_way.state}. Nothing was changed.",
            remedy=f"Let it end; or `codeblue run abort {under_way.id}`, and where nobody executes it then "
            f"`codeblue run resume {under_way.id}`, ends it.",
        )
    left = missing(events)
    if left and not why:
        raise Refused(
            f"Incident {view.id} cannot be closed yet: only a person knows its "
            f"{', '.join(f.heading.lower() for f in left)}, and nobody has noted it. Nothing was changed.",
            remedy="\n".join(("Note each in a line:", *(f"  {f.command(view.id)}  ({f.asks})" for f in left)))
            + "\nOr add `--unfinished WHY`: it is closed without them, and the report says so.",
        )
    data: dict[str, object] = {"reason": kept}
    if left:
        data |= {"unfinished": [f.value for f in left], "unfinished_why": why}
    _append(record, "incident.resolved", view, data)
    without = f" without {', '.join(f.heading.lower() for f in left)}; a note adds each later" if left else ""
    text = f"Closed {view.id}{without}. `codeblue incident report {view.id}` writes the report anew."
    document = {"schema": "codeblue/resolved/1", "incident": view.id, "reason": kept}
    show(common, {**document, "unfinished": [f.value for f in left]}, text)
    return 0


@app.command
def report(incident: str, *, common: Common = _DEFAULT) -> int:
    """Write the report of one incident into the report directory, as Markdown and HTML, and read both back."""
    from codeblue.cli.session import Options, execute
    from codeblue.runbooks.incident_report import Request

    return execute(common, "incident_report", Request(incident), "asked for by a person", Options(incident=incident))


def _get(common: Common, incident: str) -> "tuple[RecordStore, IncidentView]":
    """The record, and an incident in it. Raises Refused for one that the record does not have."""
    from codeblue.cli.looking import look
    from codeblue.model.errors import Refused
    from codeblue.record.incidents import fold_incidents

    sight = look(common.load())
    record = sight.need(f"There is no incident {incident!r}")
    found = fold_incidents(record.read(incident=incident)).get(incident)
    if found is None:
        raise Refused(
            f"There is no incident {incident!r} in the record {sight.place}.",
            remedy="`codeblue incident list` shows them.",
        )
    return record, found


def _append(record: "RecordStore", kind: str, incident: "IncidentView", data: "Mapping[str, object]") -> None:
    from codeblue.cli.actor import actor_name
    from codeblue.model.event import Draft

    record.append(Draft(kind, actor_name(), data, incident=incident.id))
