"""`codeblue explain`: the arithmetic of a decision, so that anybody can check it by hand (B4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from codeblue.cli.frame import Common, show, untouched

if TYPE_CHECKING:
    from codeblue.record.explanation import Considered, Explained
    from codeblue.record.incidents import IncidentView

_DEFAULT = Common()


@untouched()
def explain(incident: str | None = None, /, *, common: Common = _DEFAULT) -> int:
    """Why it was decided so: the verdict of every trigger with its arithmetic, what speaks for and against everything
    that could be done, how the limits stood, and which releases were considered.

    Parameters
    ----------
    incident
        Its id; default: the open incident, else the last one.
    """
    from codeblue.cli.looking import look
    from codeblue.model.errors import Refused
    from codeblue.record.chain import plain
    from codeblue.record.explanation import explain as explained
    from codeblue.record.incidents import INCIDENT_KINDS, fold_incidents

    sight = look(common.load())
    if incident is not None:
        sight.need(f"There is no incident {incident!r}")
    events = sight.record.read(kinds=INCIDENT_KINDS) if sight.record else ()
    found = fold_incidents(events)
    if incident is not None and incident not in found:
        raise Refused(
            f"There is no incident {incident!r} in the record {sight.place}.",
            remedy="`codeblue incident list` shows them.",
        )
    view = found[incident] if incident is not None else _current(list(found.values()))
    decisions = explained(events, view.id) if view else ()
    document = {
        "schema": "codeblue/explanation/1",
        "record": sight.place,
        "incident": view.id if view else None,
        "decisions": [plain(d) for d in decisions],
    }
    show(common, document, "\n".join(_told(view, decisions)) if view else f"{sight.nothing('incidents')}")
    return 0


def _current(incidents: "Sequence[IncidentView]") -> "IncidentView | None":
    """The last open one, else the last."""
    still = [i for i in incidents if i.state == "open"]
    return next(reversed(still or list(incidents)), None)


def _told(incident: "IncidentView", decisions: "Sequence[Explained]") -> list[str]:
    by = f", declared by {incident.actor}" if incident.declared else ""
    lines = [f"Incident {incident.id} ({incident.severity}, {incident.state}{by}): {incident.trigger}: {incident.why}"]
    if not decisions:
        return [*lines, "", "Nothing is decided yet. `codeblue status` tells what is going on."]
    for decision in decisions:
        lines += ["", *_decision(decision)]
    if len(decisions) > 1:
        lines += ["", f"The last of these {len(decisions)} decisions stands."]
    return lines


def _decision(decision: "Explained") -> list[str]:
    """One decision, as it is recorded: what an older version did not record is said to be so."""
    at, missing = f"{decision.at:%Y-%m-%d %H:%M:%S} UTC", "  not recorded"
    lines = [f"Decision of {at} (event #{decision.event}): {decision.said}"]
    lines += [f"Mode: {decision.mode}"] if decision.mode_unsaid else []
    width = max((len(v.rule) for v in decision.verdicts), default=0)
    lines += ["", "Triggers (verdict, arithmetic)"]
    lines += [f"  {v.rule:<{width}}  {v.outcome.value:<7}  {v.why}{_pods(v.pods)}" for v in decision.verdicts]
    lines += [] if decision.verdicts else ["  none: no trigger was asked" if decision.options else missing]
    lines += ["", "What could be done"]
    for option in decision.options:
        lines += _option(option, decision.pods)
    lines += [] if decision.options else [missing]
    lines += ["", "Limits of automatic rollbacks", *([f"  {x}" for x in decision.limits] or [missing])]
    lines += ["", "Releases considered", *([f"  {x}" for x in decision.releases] or [missing])]
    return lines


def _option(option: "Considered", pods: Sequence[str]) -> list[str]:
    about = _pods(pods) if option.chosen else ""
    lines = [f"  {option.words}{' (chosen)' if option.chosen else ''}{about}"]
    lines += [f"    + for:     {reason}" for reason in option.reasons_for]
    lines += [f"    - against: {reason}" for reason in option.reasons_against]
    return lines if option.reasons_against or not option.reasons_for else [*lines, "    nothing speaks against it"]


def _pods(pods: Sequence[str]) -> str:
    return f" [{', '.join(pods)}]" if pods else ""
