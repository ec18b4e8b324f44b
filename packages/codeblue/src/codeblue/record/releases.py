"""Which release is in force, as far as the record knows: only the platform knows it, and the record what was proven."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from codeblue.model.event import Event
from codeblue.record.fields import reading, text
from codeblue.record.runs import RunState, RunView

#: What the fold needs besides `RUN_KINDS`.
MARKED = "release.marked"


@dataclass(frozen=True, slots=True)
class Known:
    """The last word about it.

    Attributes:
        said: the release, or that it is one of two.
        at, how: when and from what that was known.
    """

    said: str
    at: datetime
    how: str


def last_known(events: Iterable[Event], runs: Iterable[RunView]) -> Known | None:
    """The last that is known; None where nothing is. Raises Damaged: a mark does not say what it must."""
    found = [k for k in map(_of_run, runs) if k is not None]
    for event in events:
        if event.kind == MARKED:
            with reading(event):
                found.append(Known(text(event.data, "label"), event.at, f"marked {text(event.data, 'standing')}"))
    return max(found, key=lambda k: k.at, default=None)


def _of_run(run: RunView) -> Known | None:
    origin, target = run.inputs.get("origin_label"), run.inputs.get("target_label")
    if not isinstance(origin, str) or not isinstance(target, str):
        return None
    if run.state is RunState.DONE and run.ended is not None:
        return Known(target, run.ended, f"{run.id} proved it")
    if run.started is None:
        return Known(origin, run.requested, f"{run.id} was decided then")
    return Known(f"{origin} or {target}", run.ended or run.started, f"{run.id} is {run.state}")
