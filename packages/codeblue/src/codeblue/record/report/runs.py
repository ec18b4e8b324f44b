"""The runs of an incident with their steps, and what was changed: from the events of its runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from codeblue.model.event import Event
from codeblue.record.fields import mapping, reading, text
from codeblue.record.report.fact import Fact
from codeblue.record.report.words import words
from codeblue.record.runs import RunState, RunView, StepView, fold_runs

#: Runs that are about the report itself, and no part of what happened.
REPORT = "incident_report"

#: How the actors begin who are people (`cli.actor`).
PERSON = "person:"

LEFT_OUT = "left out"
#: The results that are not "done", as sums name them.
SHORT = {
    "failed": "failed",
    "unknown, counts as failed": "stayed unknown (that counts as failed)",
    "not finished": "not finished",
    "not made": "not made",
    LEFT_OUT: "left out",
}
#: What a check says that had nothing to ask.
_NOTHING_TO_ASK = ("not probed: ", "not timed: ")


@dataclass(frozen=True, slots=True)
class StepFact:
    """A step or a check, with its result ("done", or one of `SHORT`) and what was seen."""

    title: str
    result: str
    seen: Fact
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class RunFact:
    """One run.

    Attributes:
        what: the runbook's name in words.
        asked: event of its request; ended: its last event.
        origin, target: the release that was in force when it was planned, and the one that it went to; "" without one.
        approved: who approved it.
    """

    id: str
    what: str
    state: RunState
    actor: str
    reason: str
    why: str
    asked: int
    last: int
    origin: str
    target: str
    took_s: float | None
    started: datetime | None
    approved: Fact | None
    steps: tuple[StepFact, ...]

    @property
    def by_person(self) -> bool:
        return self.actor.startswith(PERSON)

    @property
    def outcome(self) -> str:
        """What it was and how it ended, after how long, in half a sentence."""
        what = self.what.capitalize()
        what += (f" from {self.origin}" if self.origin else "") + (f" to {self.target}" if self.target else "")
        if not self.state.ended:
            return f"{what} is {self.state} at the time of this report"
        took = f" after {self.took_s:.1f} s" if self.took_s is not None else ""
        return f"{what} ended{took} as {self.state}"

    @property
    def shortfall(self) -> str:
        """How many of its steps and checks did not end well, and how; what was left out is not what failed."""
        results = [s.result for s in self.steps]
        counts = [(results.count(result), word) for result, word in SHORT.items()]
        return ", ".join(f"{count} {word}" for count, word in counts if count)


def own_runs(own: Sequence[Event], incident: str) -> list[RunView]:
    """The runs that are part of what happened, oldest first. Raises Damaged."""
    return [r for r in fold_runs(own).values() if r.incident == incident and r.runbook != REPORT]


def run_facts(own: Sequence[Event], runs: Sequence[RunView]) -> tuple[RunFact, ...]:
    """The runs with the events that say so. Raises Damaged."""
    ends: dict[tuple[str, str], int] = {}
    approvals: dict[str, int] = {}
    for event in own:
        with reading(event):
            if event.kind == "step.ended":
                ends[event.run, text(event.data, "step")] = event.seq
            elif event.kind == "run.approved":
                approvals[event.run] = event.seq
    return tuple(_run(run, ends, approvals.get(run.id)) for run in runs)


def _run(run: RunView, ends: dict[tuple[str, str], int], approval: int | None) -> RunFact:
    asked = run.events[0]
    steps = [
        StepFact(s.title, _result(run, s), Fact(s.why, (ends.get((run.id, s.id), asked),)), _took(s.started, s.ended))
        for s in run.steps
    ]
    for line in _left_out(run):
        what, _, why = line.partition(": ")
        steps.append(StepFact(what, LEFT_OUT, Fact(why, (asked,))))
    approved = Fact(run.approved_by, (approval,)) if run.approved_by and approval is not None else None
    return RunFact(
        id=run.id,
        what=words(run.runbook),
        state=run.state,
        actor=run.actor,
        reason=run.reason,
        why=run.why,
        asked=asked,
        last=run.events[-1],
        origin=input_of(run, "origin_label"),
        target=input_of(run, "target_label"),
        took_s=_took(run.started, run.ended),
        started=run.started,
        approved=approved,
        steps=tuple(steps),
    )


def changes(own: Sequence[Event]) -> tuple[Fact, ...]:
    """What a target accepted. Raises Damaged."""
    found = []
    for event in own:
        if event.kind == "step.applied":
            with reading(event):
                found.append(Fact(text(mapping(event.data, "change"), "summary"), (event.seq,)))
    return tuple(found)


def input_of(run: RunView, key: str) -> str:
    """A text among a run's inputs, "" without it."""
    value = run.inputs.get(key)
    return value if isinstance(value, str) else ""


def _result(run: RunView, step: StepView) -> str:
    if step.state == "done":
        return LEFT_OUT if step.why.startswith(_NOTHING_TO_ASK) else "done"
    if step.state == "failed":
        return "unknown, counts as failed" if "unknown: " in step.why else "failed"
    if run.state is RunState.RUNNING or not run.state.ended:
        return step.state
    return "not finished" if step.state in ("running", "stopped") else "not made"


def _left_out(run: RunView) -> list[str]:
    """The checks that the service gives no means for, "what: why"."""
    lines = run.inputs.get("left_out")
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def _took(started: datetime | None, ended: datetime | None) -> float | None:
    return (ended - started).total_seconds() if started and ended else None
