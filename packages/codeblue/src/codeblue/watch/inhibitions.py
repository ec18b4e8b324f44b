"""What inhibits the triggers of one service, as the loop sees and writes it (R1b)."""

from dataclasses import replace
from datetime import timedelta

from codeblue.engine.runs import Runs
from codeblue.model.anchor import Moment
from codeblue.model.event import Draft
from codeblue.model.inhibition import Inhibition
from codeblue.model.release import Workload
from codeblue.model.verdict import Verdict
from codeblue.ports.clock import moment_of
from codeblue.record.pages import anchor_data
from codeblue.rules import inhibition
from codeblue.watch.incidents import ACTOR

#: Somebody scaled the workload to nothing, by its own specification.
SCALE_DOWN = "scale-down"
#: Two clocks differ by so much without anybody having set one of them.
SLEWED = timedelta(seconds=2)


class Inhibitions:
    """Reads them from the record that `runs` has, and notes those that the loop itself notices."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._seen: dict[Inhibition, tuple[float, float]] = {}

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
        """All of them, with their expiry as the time of day tells it that is ours now.

        How long they last is what was said, and that no correction of the time of day may change: it is measured by the
        boot's own clock, from their beginning where that was anchored in this boot, else from when they are first seen.
        """
        found = self._runs.following.inhibitions()
        self._seen = {i: self._seen.get(i) or self._first_seen(i) for i in found}
        return tuple(self._as_of_now(i) for i in found)

    def _first_seen(self, inhibition: Inhibition) -> tuple[float, float]:
        """A reading of the clock, and for how long it holds from then on."""
        now = moment_of(self._runs.world.clock)
        lasts_s = (inhibition.expires - inhibition.begun).total_seconds()
        return self._runs.world.clock.anchor().at_s, lasts_s - Moment(inhibition.begun, inhibition.anchor).until_s(now)

    def _as_of_now(self, inhibition: Inhibition) -> Inhibition:
        clock = self._runs.world.clock
        seen_s, left_s = self._seen[inhibition]
        expires = clock.now() + timedelta(seconds=left_s - (clock.anchor().at_s - seen_s))
        moved = abs(expires - inhibition.expires) > SLEWED
        return replace(inhibition, expires=expires) if moved else inhibition

    def _note(self, kind: str, data: dict[str, object]) -> None:
        data["anchor"] = anchor_data(self._runs.world.clock.anchor())
        self._runs.record.append(Draft(kind, ACTOR, data))
