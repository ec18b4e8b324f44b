"""What follows once something was done about an incident: the verification, the end of the trouble, the report."""

from codeblue.engine.runs import Plan, Runs, make_plan
from codeblue.model.errors import Refused, Temporary
from codeblue.model.release import Workload
from codeblue.record.announcements import ABANDONED, OBSERVED, POSTED, REFUSED, UNREACHABLE
from codeblue.record.fields import mapping, number, reading, text
from codeblue.record.incidents import IncidentView
from codeblue.record.pages import DELIVERED
from codeblue.record.runs import RunState
from codeblue.runbooks.incident_report import Request as ReportRequest
from codeblue.runbooks.recovery import Request as VerifyRequest
from codeblue.watch.gauge import Gauge
from codeblue.watch.incidents import ACTOR, Incidents

#: What can be added to an incident that is over by others than people, and belongs into its report.
TOLD = (POSTED, REFUSED, UNREACHABLE, OBSERVED, ABANDONED, DELIVERED)


class Aftermath:
    """Asks after every look at the workload whether something is due.

    Its memory is what people were told, by incident: the number of the last such event that no report takes in.
    """

    def __init__(self, runs: Runs, incidents: Incidents, gauge: Gauge) -> None:
        self._runs, self._incidents, self._gauge = runs, incidents, gauge
        self._read_to = 0
        self._told: dict[str, int] = {}

    async def follow(self, seen: Workload, well_for_s: float) -> str:
        """Do what is due. Returns the sentence about it, "" where nothing is.

        A rollback that ended well is followed by the verification; that one proven, the incident is mitigated. Without
        a run of ours (mode observe, a cause elsewhere, an aborted one) it is mitigated when everything stayed healthy:
        an incident that is over must not keep the loop from the next one.

        Args:
            well_for_s: for how long every probe was good and no trigger fired, 0 if not.
        """
        incident = self._incidents.own()
        if incident is None:
            return await self._overdue_report() or await self._outdated_report()
        last = next(reversed(self._incidents.runs_of(incident)), None)
        if last is None:
            if not self._recovered(well_for_s):
                return ""
            return await self._mitigated(incident, f"healthy for {well_for_s:.0f} s, without a run of ours")
        if not last.state.ended:
            return ""
        if last.state is not RunState.DONE:
            if last.state is not RunState.FAILED and self._recovered(well_for_s):
                # aborted or refused: nothing was tried
                return await self._mitigated(incident, f"healthy for {well_for_s:.0f} s, without {last.id}")
            return "" if self._incidents.reported(incident) else await self._report(incident, "its run did not succeed")
        if last.runbook == "recovery":
            return await self._mitigated(incident, f"{seen.template.label} is proven healthy ({last.id})")
        plan = await self.plan("recovery", VerifyRequest())
        if isinstance(plan, str):
            return f"incident {incident.id}: {plan}"
        reason = f"after {last.runbook.replace('_', ' ')} {last.id}"
        run = self._runs.request(plan, actor=ACTOR, reason=reason, incident=incident.id)
        return f"incident {incident.id}: verifying the recovery ({run.id})"

    async def plan(self, name: str, request: object) -> Plan | str:
        """The plan of a procedure, or why there is none now."""
        try:
            return await make_plan(name, request, self._runs.world)
        except (Refused, Temporary) as error:
            return f"{name} is not possible now: {error.message} {error.remedy}".strip()

    def _recovered(self, well_for_s: float) -> bool:
        return well_for_s > 0 and well_for_s >= self._runs.world.profile.verify.stable_for

    async def _mitigated(self, incident: IncidentView, why: str) -> str:
        self._incidents.note(incident.id, "incident.mitigated", why=why)
        return await self._report(incident, f"is mitigated: {why}")

    async def _overdue_report(self) -> str:
        """The report of an incident that a person resolved, or that was mitigated right before our process died."""
        incidents = self._incidents.all()
        if not incidents or incidents[-1].state == "open" or self._incidents.reported(incidents[-1]):
            return ""
        over = "was resolved by a person" if incidents[-1].state == "resolved" else "is mitigated"
        return await self._report(incidents[-1], over)

    async def _outdated_report(self) -> str:
        """The report of an incident that is over, anew, where people were told more since it was written."""
        for event in self._runs.record.read(after=self._read_to, kinds=(*TOLD, "run.requested")):
            self._read_to = event.seq
            if event.kind != "run.requested":
                self._told[event.incident] = event.seq
                continue
            with reading(event):
                if text(event.data, "runbook") == "incident_report":
                    upto = number(mapping(event.data, "inputs"), "upto")
                    if self._told.get(event.incident, 0) <= upto:
                        self._told.pop(event.incident, None)
        if not self._told:
            return ""
        told = [i for i in self._incidents.all() if i.id in self._told]
        late = [i for i in told if i.over and self._incidents.reported(i)]
        # of the others the first report, if there is ever one, will take it in
        self._told = {i.id: self._told[i.id] for i in told if not i.over or i in late}
        return await self._report(late[0], "was told of once more", anew=True) if late else ""

    async def _report(self, incident: IncidentView, what: str, *, anew: bool = False) -> str:
        """Have the report written by a run of its own, which outlives a crash as all runs do.

        Args:
            anew: the curves around the incident were kept with the first one.
        """
        if not anew:
            self._gauge.keep(incident)
        plan = await self.plan("incident_report", ReportRequest(incident.id))
        if isinstance(plan, str):
            return f"incident {incident.id} {what}; {plan}"
        run = self._runs.request(plan, actor=ACTOR, reason=what, incident=incident.id)
        return f"incident {incident.id} {what}; writing the report{' anew' * anew} ({run.id})"
