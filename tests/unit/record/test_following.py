"""The folds that the loops ask in every cycle: the same as folding everything, with each event read once."""

from collections.abc import Collection, Sequence

import pytest
from tests.unit.record.events import INCIDENT

from codeblue.model.errors import Damaged
from codeblue.model.event import Draft, Event
from codeblue.record import following as module
from codeblue.record.following import Following
from codeblue.record.incidents import fold_incidents
from codeblue.record.inhibitions import fold_inhibitions
from codeblue.record.runs import fold_runs
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory_record import MemoryRecord


class Counting(MemoryRecord):
    """Counts how often each event is read."""

    def __init__(self) -> None:
        super().__init__(VirtualClock())
        self.handed_out = 0

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        events = super().read(after=after, run=run, incident=incident, kinds=kinds, limit=limit)
        self.handed_out += len(events)
        return events

    def add(self, kind: str, /, run: str = "", incident: str = "", **data: object) -> None:
        self.append(Draft(kind, "watch", data, run=run, incident=incident))

    def requested(self, run: str, runbook: str = "quick_rollback", incident: str = INCIDENT) -> None:
        data = {"runbook": runbook, "reason": "x", "inputs": {"n": 1}, "steps": [], "digest": "d", "deadline_s": 300}
        self.add("run.requested", run=run, incident=incident, **data)

    def ended(self, run: str) -> None:
        self.add("run.ended", run=run, state="done", why="", remedy="", exit_code=0)

    def story(self, n: int) -> None:
        """Everything that it follows, and as much that it does not."""
        began = VirtualClock().now().isoformat()
        self.add("incident.opened", incident=f"inc-{n}", severity="SEV2", trigger="R4", why="x", began=began)
        self.add("alert.received", n=n)
        self.requested(f"run-{n}", ("quick_rollback", "recovery")[n % 2], f"inc-{n}")
        self.add("run.started", run=f"run-{n}", deadline=began, process="")
        self.add("step.progress", run=f"run-{n}", step="s", text="x")
        if n % 3:
            self.ended(f"run-{n}")
        self.add("inhibition.begun", kind=("declared", "scale-down")[n % 2], why=f"{n}", expires=began)
        if n % 5 == 0:
            self.add("inhibition.released", kind="scale-down", why="")
        if n % 2:
            self.add("incident.mitigated", incident=f"inc-{n}", why="x")


@pytest.mark.parametrize("batch", [1, 7, 2000])
def test_it_is_what_folding_everything_is_at_every_moment(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", batch)
    record = Counting()
    following = Following(record, keeps=frozenset({"quick_rollback"}))
    for n in range(40):
        record.story(n)
        if n < 15 or n % 4:
            continue  # it does not look after every event
        whole = fold_runs(record.events)
        open_ = {r.id: r.state for r in whole.values() if not r.state.ended}
        assert {r.id: r.state for r in following.unfinished()} == open_
        done = [r.id for r in whole.values() if r.state.ended and r.runbook == "quick_rollback"]
        assert [r.id for r in following.ended()] == done
        assert following.incidents() == list(fold_incidents(record.events).values())
        assert following.inhibitions() == fold_inhibitions(record.events)


def test_each_event_is_read_once_and_what_lies_behind_is_not_searched_again() -> None:
    record = Counting()
    for n in range(50):
        record.story(n)
    for n in range(500):
        record.add("alert.received", n=n)
    following = Following(record)
    following.unfinished()
    assert record.handed_out <= len(record.events)
    record.handed_out = 0
    for _ in range(100):
        following.unfinished(), following.incidents(), following.inhibitions(), following.ended()
    assert record.handed_out == 0
    record.ended("run-0")
    assert "run-0" not in [r.id for r in following.unfinished()]
    assert record.handed_out == 1


def test_runs_that_ended_are_forgotten_but_those_that_are_kept() -> None:
    record = Counting()
    for n in range(30):
        record.story(n)
        record.ended(f"run-{n}")
    following = Following(record, keeps=frozenset({"quick_rollback"}))
    assert following.unfinished() == []
    assert len(following._runs) == 0
    assert {r.runbook for r in following.ended()} == {"quick_rollback"}


@pytest.mark.req("B8")
def test_an_event_that_does_not_say_what_it_must_is_never_read_around() -> None:
    record = Counting()
    record.story(1)
    following = Following(record)
    assert len(following.incidents()) == 1
    record.add("run.ended", run="run-0", state="no state")  # of a run that is not known: nothing to it
    record.requested("run-x")
    record.add("run.ended", run="run-x", state="no state")
    record.story(2)
    for _ in range(3):
        with pytest.raises(Damaged):
            following.unfinished()
        with pytest.raises(Damaged):
            following.incidents()
