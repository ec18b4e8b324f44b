"""How a run or an incident stands, in words: what it waits for, who has to act, and with which command."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeblue.record.incidents import IncidentView, decision_in_words
from codeblue.record.runs import RunState, RunView

if TYPE_CHECKING:
    from codeblue.profile.model import Profile


def state_directory(profile: "Profile") -> Path | None:
    """Whose owner says whether runs are executed; None with a database, where another machine may execute them."""
    return None if profile.state.database is not None else profile.state.directory


def state_in_words(run: RunView, *, still: bool) -> str:
    """Where the run is, in a few words.

    Args:
        still: nobody executes it.
    """
    return "stands still" if still and run.state in (RunState.REQUESTED, RunState.RUNNING) else run.state.value


def next_for_run(run: RunView, *, still: bool) -> str:
    """What a person can do about an unfinished run; "" where nothing needs to be done."""
    if run.state is RunState.WAITING and not run.approved_by:
        after = f"; nobody executes runs with this state now, `codeblue run resume {run.id}` then begins it" * still
        return f"`codeblue run approve {run.id}` starts it{after}; `codeblue run abort {run.id}` ends it"
    if still:
        return (
            f"nobody executes it. `codeblue run resume {run.id}` goes on; "
            f"`codeblue run abort {run.id}` and then resume ends it"
        )
    return ""


def intent(run: RunView) -> list[str]:
    """What the run would do or did, as far as its inputs say it: from what to what, why, and what to know before."""
    origin, target, because = (run.inputs.get(key) for key in ("origin_label", "target_label", "because"))
    lines = [f"from {origin} to {target}"] if isinstance(origin, str) and isinstance(target, str) else []
    lines += [because] if isinstance(because, str) and because else []
    notes = run.inputs.get("notes")
    return [*lines, *(n for n in notes if isinstance(n, str))] if isinstance(notes, list) else lines


def incident_lines(
    incident: IncidentView, runs: Sequence[RunView], still: frozenset[str], *, daemon: bool | None
) -> list[str]:
    """An open incident: what was decided, and what happens next or who must act.

    Args:
        runs: all that are known, also of other incidents.
        still: ids of runs that nobody executes.
        daemon: whether one is at work; None where that cannot be told.
    """
    decided = decision_in_words(incident.decision) if incident.decision is not None else "nothing is decided yet"
    own = [r for r in runs if r.incident == incident.id and r.runbook != "incident_report"]
    return [f"  decision: {decided}", f"  next: {_next(incident, own[-1] if own else None, still, daemon=daemon)}"]


def _next(incident: IncidentView, last: RunView | None, still: frozenset[str], *, daemon: bool | None) -> str:
    close = f"once it is over, `codeblue incident resolve {incident.id} --reason …` closes it"
    if last is None:
        action = (incident.decision or {}).get("action")
        mode = (incident.decision or {}).get("mode")
        if action is None or (action == "rollback" and mode not in ("observe", None)):
            return "the daemon goes on" if daemon is not False else "nothing, until `codeblue serve` runs again"
        roll_back = "`codeblue rollback --reason … --plan` shows what could be done"
        return f"A PERSON MUST ACT, nothing is done by itself. {roll_back}; {close}"
    name = f"{last.runbook} {last.id}"
    if not last.state.ended:
        what = next_for_run(last, still=last.id in still)
        return f"{name} {state_in_words(last, still=last.id in still)}" + (f": {what}" if what else "")
    if last.state is not RunState.DONE:
        return f"A PERSON MUST ACT: {name} ended as {last.state}. `codeblue run show {last.id}` tells why; {close}"
    if daemon is False:
        return f"{name} is done, and no daemon is at work: `codeblue verify` tells how the service is; {close}"
    return f"{name} is done; the daemon verifies the recovery and ends the incident"
