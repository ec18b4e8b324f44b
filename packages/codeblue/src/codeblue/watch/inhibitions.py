"""What inhibits the triggers of one service, as the loop sees and writes it (R1b)."""

from datetime import timedelta

from codeblue.engine.runs import Runs
from codeblue.model.event import Draft
from codeblue.model.inhibition import Inhibition
from codeblue.model.release import Workload
from codeblue.model.verdict import Verdict
from codeblue.rules import inhibition
from codeblue.watch.incidents import ACTOR

#: Somebody scaled the workload to nothing, by its own specification.
SCALE_DOWN = "scale-down"


class Inhibitions:
    """Reads them from the record that `runs` has, and notes those that the loop itself notices."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def notice(self, seen: Workload) -> None:
        """Note that a scale-down began or is over; its expiry is the profile's."""
        begun = any(i.kind == SCALE_DOWN for i in self._all())
        if seen.desired == 0 and not begun:
            expires = self._runs.world.clock.now() + timedelta(seconds=self._runs.world.profile.triggers.scale_down)
            why = f"{seen.name} has 0 replicas by its own specification"
            self._note("inhibition.begun", {"kind": SCALE_DOWN, "why": why, "expires": expires.isoformat()})
        if seen.desired > 0 and begun:
            why = f"{seen.name} has {seen.desired} replicas again"
            self._note("inhibition.released", {"kind": SCALE_DOWN, "why": why})

    def holding(self) -> Inhibition | None:
        """The one that holds now, None without one."""
        return inhibition.holding(self._all(), self._runs.world.clock.now())

    def overdue(self) -> Verdict | None:
        """A breach where one expired unreleased."""
        return inhibition.overdue(self._all(), self._runs.world.clock.now())

    def _all(self) -> tuple[Inhibition, ...]:
        return self._runs.following.inhibitions()

    def _note(self, kind: str, data: dict[str, str]) -> None:
        self._runs.record.append(Draft(kind, ACTOR, data))
