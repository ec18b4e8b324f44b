"""`codeblue run`: list, show, approve, abort, resume."""

from typing import TYPE_CHECKING

from cyclopts import App

from codeblue.cli.frame import Common, show, untouched

if TYPE_CHECKING:
    from codeblue.ports.record import RecordStore
    from codeblue.record.runs import RunView

_DEFAULT = Common()

app = App(name="run", help="List, show, approve, abort and resume runs.")


@app.command(name="list")
@untouched()
def list_runs(*, common: Common = _DEFAULT) -> int:
    """All runs of the record, newest first."""
    from codeblue.cli.looking import look
    from codeblue.cli.progress import as_document
    from codeblue.cli.standing import state_directory, state_in_words
    from codeblue.engine.overview import abandoned
    from codeblue.record.runs import fold_runs

    profile = common.load()
    sight = look(profile)
    runs = list(fold_runs(sight.record.read()).values())[::-1] if sight.record else []
    still = abandoned(runs, sight.record, state_directory(profile)) if sight.record else frozenset()
    lines = [
        f"{r.id}  {state_in_words(r, still=r.id in still):<22} {r.runbook:<16} "
        f"{r.requested:%Y-%m-%d %H:%M:%S}  {r.why or r.reason}"
        for r in runs
    ]
    lines += [f"`codeblue run show {id_}` tells how to go on with the run that stands still." for id_ in sorted(still)]
    found = [{**as_document(r), "stands_still": r.id in still} for r in runs]
    document = {"schema": "codeblue/runs/1", "record": sight.place, "runs": found}
    show(common, document, "\n".join(lines) or sight.nothing("runs"))
    return 0


@app.command(name="show")
@untouched()
def show_run(run: str, *, common: Common = _DEFAULT) -> int:
    """One run with its steps: what it is about, where it is, and what can be done about it."""
    from codeblue.cli.progress import as_document, as_text
    from codeblue.cli.standing import intent, next_for_run, state_directory, state_in_words
    from codeblue.engine.overview import abandoned

    record, view = _get(common, run)
    still = bool(abandoned([view], record, state_directory(common.load())))
    lines = [as_text(view)]
    if not view.state.ended:
        lines = [f"{state_in_words(view, still=still).upper()}: {view.runbook}", f"Run {view.id}"]
        lines += [f"  changed: {change}" for step in view.steps for change in step.changes]
    lines += [f"  {line}" for line in intent(view)]
    lines += [f"  digest of the plan: {view.digest}"]
    follows = next_for_run(view, still=still)
    if follows:
        lines.append(f"Next: {follows}.")
    lines += [f"Requested {view.requested:%Y-%m-%d %H:%M:%S} UTC by {view.actor}: {view.reason}"]
    lines += [f"  {s.state:<8} {s.title}: {s.why or s.now}" for s in view.steps]
    show(common, {**as_document(view), "stands_still": still}, "\n".join(lines))
    return 0


@app.command
def approve(run: str, *, digest: str = "", common: Common = _DEFAULT) -> int:
    """Approve a run that waits. The approval is bound to the digest of its plan (R1a).

    Parameters
    ----------
    digest
        The digest you looked at; default: that of the run as it is now.
    """
    from codeblue.engine.runs import too_late
    from codeblue.model.errors import Refused
    from codeblue.ports.clock import moment_of
    from codeblue.record.pages import anchor_data
    from codeblue.record.runs import RunState
    from codeblue.wiring import system_clock

    record, view = _get(common, run)
    if view.state not in (RunState.WAITING, RunState.REQUESTED):
        raise Refused(f"Run {run} does not wait for an approval: it is {view.state}.")
    if digest and digest != view.digest:
        raise Refused(
            f"Run {run} has another digest: {view.digest}. Nothing was approved.",
            remedy="Look at `codeblue run show` again: you saw another plan.",
        )
    clock = system_clock()
    late = too_late(view, moment_of(clock))
    if late:
        raise Refused(
            f"Run {run} can no longer be approved: {late}. Nothing was approved.",
            remedy="Look at the service as it is now: what is still needed is asked for anew.",
        )
    _append(record, "run.approved", view, {"digest": view.digest, "anchor": anchor_data(clock.anchor())})
    show(common, {"schema": "codeblue/approved/1", "run": run, "digest": view.digest}, f"Approved {run}.")
    return 0


@app.command
def abort(run: str, *, common: Common = _DEFAULT) -> int:
    """Ask a run to stop at the next safe place; what it set aside is put back."""
    from codeblue.model.errors import Refused

    record, view = _get(common, run)
    if view.state.ended:
        raise Refused(f"Run {run} is over: {view.state}.")
    _append(record, "run.abort_requested", view, {})
    text = f"Asked {run} to stop. If nobody executes it now, `codeblue run resume {run}` ends it in order."
    show(common, {"schema": "codeblue/abort/1", "run": run}, text)
    return 0


@app.command
def resume(run: str, *, common: Common = _DEFAULT) -> int:
    """Go on with a run that was interrupted, here and now; exit codes as those of the run.

    Where a daemon owns the state, it goes on there, and is followed here.
    """
    from codeblue.cli.session import resume as go_on

    return go_on(common, run)


def _get(common: Common, run: str) -> "tuple[RecordStore, RunView]":
    from codeblue.cli.looking import look
    from codeblue.model.errors import Refused
    from codeblue.record.runs import fold_runs

    sight = look(common.load())
    record = sight.need(f"There is no run {run!r}")
    view = fold_runs(record.read(run=run)).get(run)
    if view is None:
        raise Refused(f"There is no run {run!r} in the record {sight.place}.", remedy="`codeblue run list` shows them.")
    return record, view


def _append(record: "RecordStore", kind: str, run: "RunView", data: dict[str, object]) -> None:
    from codeblue.cli.actor import actor_name
    from codeblue.model.event import Draft

    record.append(Draft(kind, actor_name(), data, run=run.id, incident=run.incident))
