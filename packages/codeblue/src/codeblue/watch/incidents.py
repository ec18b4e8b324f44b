"""The incidents of one service as the loops see and write them: one place that knows which events that takes."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from codeblue.engine.runs import Runs
from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.model.ids import new_id
from codeblue.model.incident import Severity
from codeblue.model.verdict import Decision
from codeblue.ports.clock import moment_of
from codeblue.record.chain import plain
from codeblue.record.incidents import IncidentView, breached, fold_incidents, frozen_by
from codeblue.record.pages import anchor_data
from codeblue.record.runs import RunState, RunView, fold_runs
from codeblue.rules.decision import PastRollback
from codeblue.rules.severity import impact_of

#: The actor of everything that happens without a person.
ACTOR = "watch"


class Incidents:
    """Reads and writes the incidents of the record that `runs` has."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def all(self) -> list[IncidentView]:
        """All incidents, oldest first."""
        return self._runs.following.incidents()

    def own(self) -> IncidentView | None:
        """The open incident that the loop opened; there is at most one."""
        return next((i for i in self.all() if i.state == "open" and not i.declared), None)

    def frozen(self) -> bool:
        """Whether an open incident allows no change without an approval (R9)."""
        return frozen_by(self._runs.following.incidents()) is not None

    def open(self, decision: Decision, began: datetime, severity: Severity) -> IncidentView:
        """Open an incident about the first breach of a decision."""
        breach = next(v for v in decision.verdicts if v.outcome is Outcome.BREACH)
        id_ = new_id("inc", self._runs.world.clock.now())
        data = {"severity": severity.text, "trigger": breach.rule, "why": breach.why, "began": began.isoformat()}
        impact, anchor = impact_of(breach.rule).value, anchor_data(self._runs.world.clock.anchor())
        self.note(id_, "incident.opened", **data, impact=impact, anchor=anchor, in_force=decision.in_force)
        return fold_incidents(self._runs.record.read(incident=id_))[id_]

    def decide(self, incident: IncidentView, decision: Decision, mode: str) -> None:
        """Record a decision, unless it is the one that stands already."""
        if incident.decision is None or is_news(incident.decision, decision, mode):
            self.note(incident.id, "incident.decided", **plain(decision), sentence=decision.sentence, mode=mode)

    def triggers_of(self, incident: IncidentView) -> frozenset[str]:
        """The rules that fired while it was open, as seen from here: what only an alert said is over with it."""
        return breached(incident, self._runs.record.read(kinds=("incident.decided",), incident=incident.id))

    def note(self, incident: str, kind: str, **data: object) -> None:
        """Append an event of an incident."""
        self._runs.record.append(Draft(kind, ACTOR, plain(data), incident=incident))

    def runs_of(self, incident: IncidentView) -> list[RunView]:
        """The runs of an incident that say something about it, oldest first: neither reports nor expired requests."""
        runs = fold_runs(self._runs.record.read(incident=incident.id)).values()
        return [r for r in runs if r.runbook != "incident_report" and r.state is not RunState.EXPIRED]

    def reported(self, incident: IncidentView) -> bool:
        """Whether its report was asked for."""
        runs = fold_runs(self._runs.record.read(incident=incident.id)).values()
        return any(r.runbook == "incident_report" for r in runs)

    def past_rollbacks(self) -> Sequence[PastRollback]:
        """The automatic rollbacks that began and ended; when, as the time of day tells it that is ours now.

        How long ago it was is what counts for the cooldown and the budget, and that no correction may change: within a
        boot its own clock tells it. A time of day that went backwards over a reboot makes it a rollback of this moment.
        """
        now = moment_of(self._runs.world.clock)
        runs = self._runs.following.ended()
        return [
            PastRollback(
                now.at - timedelta(seconds=r.begins["ended"].until_s(now)), str(r.inputs.get("origin_release", ""))
            )
            for r in runs
            if r.runbook == "quick_rollback" and r.actor == ACTOR and r.started and r.ended
        ]


def is_news(standing: Mapping[str, Any], decision: Decision, mode: str) -> bool:
    """Whether a decision says more than the one that stands: another action, mode, pod or kind of reason against it, or
    a trigger that did not fire then.

    Args:
        standing: `IncidentView.decision`. Raises KeyError, TypeError where it does not say what it must.
    """
    new = plain({**plain(decision), "mode": mode})
    same = all(_kind(standing, key) == _kind(new, key) for key in ("action", "mode", "pods", "reasons_against"))
    return not same or not _fired(new) <= _fired(standing)


def _kind(decision: Mapping[str, Any], key: str) -> object:
    """What stands under a key, without the numbers: they change with every look."""
    value = decision.get(key)
    if not isinstance(value, list | tuple):
        return value
    return {item if key == "pods" else item.partition(":")[0] for item in value}


def _fired(decision: Mapping[str, Any]) -> set[str]:
    return {v["rule"] for v in decision.get("verdicts", ()) if v["outcome"] == Outcome.BREACH}
