"""What is measured in every look, kept for the curves of an incident's report (R47); it judges nothing."""

from datetime import datetime

from codeblue.engine.runs import Runs
from codeblue.model.health import Round
from codeblue.model.signal import Sampling
from codeblue.record.curves import KIND, Curves, Signal, markers_of
from codeblue.record.incidents import IncidentView
from codeblue.rules.service import ServiceTriggers
from codeblue.watch.incidents import Incidents


class Gauge:
    """Measures also while a procedure is under way, when no trigger is judged."""

    def __init__(self, runs: Runs, incidents: Incidents) -> None:
        self._runs, self._incidents = runs, incidents
        triggers = runs.world.profile.triggers
        self._measures = ServiceTriggers(triggers)
        self._curves = Curves()
        self._limits = {
            Signal.ERRORS: triggers.errors.threshold,
            Signal.P95: triggers.latency.threshold,
            Signal.MEMORY: triggers.memory.threshold,
        }

    def add(self, round_: Round, sampling: Sampling | None) -> None:
        """One look; without the signals, because their time had not come, it adds the health alone."""
        at_s = self._runs.world.clock.monotonic()
        if sampling is None:
            self._curves.add_health(at_s, round_.outcome)
            return
        measured = {v.rule: v.measured for v in self._measures.observe(round_, sampling)}
        self._curves.add(at_s, round_.outcome, measured.get("R5"), measured.get("R6"), measured.get("R7"))

    def begin(self) -> None:
        """An incident is open: nothing is forgotten until it is over."""
        self._curves.begin()

    def keep(self, incident: IncidentView) -> None:
        """Record the curves of an incident whose report is about to be written."""
        now: datetime = self._runs.world.clock.now()
        opened_s = self._runs.world.clock.monotonic() - (now - incident.opened).total_seconds()
        markers = markers_of(self._runs.record.read(incident=incident.id))
        self._incidents.note(incident.id, KIND, **self._curves.event_data(opened_s, self._limits, markers))
        self._curves.end()
