"""A run, folded from its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from codeblue.model.anchor import Moment
from codeblue.model.errors import ExitCode
from codeblue.model.event import Event
from codeblue.record.chain import plain
from codeblue.record.fields import mapping, moment, number, reading, text, time


class RunState(StrEnum):
    """Where a run is. The last five are ends; EXPIRED is one that nobody took up in time."""

    REQUESTED = "requested"
    WAITING = "waiting for approval"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    ABORTED = "aborted"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        return self not in (RunState.REQUESTED, RunState.WAITING, RunState.RUNNING)


#: The kinds of event that a run's state is folded from; those of its steps add only detail.
RUN_KINDS = (
    "run.requested",
    "run.waiting",
    "run.approved",
    "run.abort_requested",
    "run.started",
    "run.resumed",
    "run.ended",
)


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a run.

    Attributes:
        state: "waiting", "running", "done", "failed", "stopped" (the run ended while it was under way).
        now: the latest line of progress.
        changes: what was accepted by the target, one line each.
    """

    id: str
    title: str
    limit_s: float
    state: str = "waiting"
    now: str = ""
    why: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the record tells it.

    Attributes:
        begins: when it entered a state, "requested", "approved", "started", "ended", as what waits is measured by.
    """

    id: str
    runbook: str
    state: RunState
    actor: str
    reason: str
    requested: datetime
    deadline_s: float
    digest: str
    incident: str
    inputs: Mapping[str, Any]
    steps: tuple[StepView, ...] = ()
    started: datetime | None = None
    deadline: datetime | None = None
    ended: datetime | None = None
    exit_code: ExitCode | None = None
    why: str = ""
    remedy: str = ""
    aborted_by: str = ""
    approved_by: str = ""
    begins: Mapping[str, Moment] = field(default_factory=dict, repr=False)
    resumed: int = 0
    events: tuple[int, ...] = field(default=(), repr=False)

    def step(self, id_: str) -> StepView:
        """The step of this id. Raises KeyError."""
        for step in self.steps:
            if step.id == id_:
                return step
        raise KeyError(id_)


def fold_runs(events: Iterable[Event]) -> dict[str, RunView]:
    """All runs among the events, in the order in which they were requested.

    Raises:
        Damaged: an event does not say what it must.
    """
    runs: dict[str, RunView] = {}
    for event in events:
        run = advance_run(runs.get(event.run), event)
        if run is not None:
            runs[event.run] = run
    return runs


def advance_run(run: RunView | None, event: Event) -> RunView | None:
    """The run after one more of its events; None before it was requested. Raises as `fold_runs`."""
    if not event.run:
        return None
    with reading(event):
        if event.kind == "run.requested":
            return _requested(event)
        if run is None:
            return None
        run = _advance(run, event)
    return replace(run, events=(*run.events, event.seq))


def _requested(event: Event) -> RunView:
    d = event.data
    return RunView(
        id=event.run,
        runbook=text(d, "runbook"),
        state=RunState.REQUESTED,
        actor=event.actor,
        reason=text(d, "reason"),
        requested=event.at,
        deadline_s=number(d, "deadline_s"),
        digest=text(d, "digest"),
        incident=event.incident,
        inputs=plain(mapping(d, "inputs")),
        steps=tuple(StepView(text(s, "id"), text(s, "title"), number(s, "limit_s")) for s in d["steps"]),
        begins={"requested": moment(event)},
        events=(event.seq,),
    )


def _advance(run: RunView, event: Event) -> RunView:
    d = event.data
    match event.kind:
        case "run.waiting":
            return replace(run, state=RunState.WAITING)
        case "run.started":
            begins = _begins(run, "started", event)
            return replace(run, state=RunState.RUNNING, started=event.at, deadline=time(d, "deadline"), begins=begins)
        case "run.resumed":
            return replace(run, resumed=run.resumed + 1)
        case "run.approved" if text(d, "digest") == run.digest:
            if run.approved_by:  # the first counts: a second one must not make an old approval young
                return run
            return replace(run, approved_by=event.actor, begins=_begins(run, "approved", event))
        case "run.abort_requested":
            return replace(run, aborted_by=event.actor)
        case "run.ended":
            return replace(
                run,
                steps=tuple(
                    replace(s, state="stopped", ended=event.at) if s.state == "running" else s for s in run.steps
                ),
                state=RunState(d["state"]),
                ended=event.at,
                begins=_begins(run, "ended", event),
                exit_code=ExitCode(d["exit_code"]),
                why=text(d, "why"),
                remedy=text(d, "remedy"),
            )
        case "step.started":
            return _step(run, text(d, "step"), state="running", started=event.at)
        case "step.progress":
            return _step(run, text(d, "step"), now=text(d, "text"))
        case "step.applied":
            change = f"{text(mapping(d, 'change'), 'summary')}: {text(d, 'accepted')}"
            done = next((s.changes for s in run.steps if s.id == text(d, "step")), ())
            return _step(run, text(d, "step"), changes=(*done, change))
        case "step.ended":
            why = text(d, "why")
            return _step(run, text(d, "step"), state=_step_state(d), why=why, now=why, ended=event.at)
    return run


def _begins(run: RunView, state: str, event: Event) -> dict[str, Moment]:
    return {**run.begins, state: moment(event)}


def _step_state(data: Mapping[str, Any]) -> str:
    state = text(data, "state")
    if state not in ("done", "failed"):
        raise ValueError(state)
    return state


def _step(run: RunView, id_: str, **changes: Any) -> RunView:
    return replace(run, steps=tuple(replace(s, **changes) if s.id == id_ else s for s in run.steps))
