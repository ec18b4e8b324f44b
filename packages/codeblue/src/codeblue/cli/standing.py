"""How a run or an incident stands, in words: what it waits for, who has to act, and with which command."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeblue.record.incidents import IncidentView, decision_in_words
from codeblue.record.runs import RunState, RunView, fold_runs

if TYPE_CHECKING:
    from codeblue.ports.record import RecordStore
    from codeblue.profile.model import Profile


def state_directory(profile: "Profile") -> Path | None:
    """Whose owner says whether runs are executed; None with a database, where another machine may execute them."""
    return None if profile.state.database is not None else profile.state.directory


def abandoned(runs: Iterable[RunView], record: "RecordStore", directory: Path | None) -> frozenset[str]:
    """The ids of the unfinished runs that nobody executes: whoever did is dead, and none came after it.

    Only of runs that change something can that be told: those that only look are executed without owning the state.

    Args:
        directory: that of the state, None where its owner says nothing about who executes.

    Raises:
        As `RecordStore.read`.
    """
    begun = [r for r in runs if not r.state.ended]
    if not begun or directory is None:
        return frozenset()
    from codeblue.engine.state import StateDirectory
    from codeblue.runbooks.registry import RUNBOOKS

    begun = [r for r in begun if r.runbook in RUNBOOKS and RUNBOOKS[r.runbook].changes]
    if not begun or StateDirectory(directory).owner() is not None:
        return frozenset()
    # read again after nobody was seen to own it: it may have ended in order meanwhile
    now = (fold_runs(record.read(run=r.id)).get(r.id) for r in begun)
    return frozenset(r.id for r in now if r is not None and not r.state.ended)


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
