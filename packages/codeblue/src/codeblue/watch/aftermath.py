"""What follows once something was done about an incident: the verification, the end of the trouble, the report."""

from collections.abc import Sequence
from datetime import timedelta

from codeblue.engine.runs import Plan, Runs, make_plan
from codeblue.model.errors import Refused, Temporary
from codeblue.model.health import Outcome, Round
from codeblue.model.release import Workload
from codeblue.model.signal import Sampling
from codeblue.model.verdict import Verdict
from codeblue.record.announcements import ABANDONED, OBSERVED, POSTED, REFUSED, UNREACHABLE
from codeblue.record.fields import mapping, number, reading, text
from codeblue.record.incidents import IncidentView
from codeblue.record.pages import DELIVERED
from codeblue.record.runs import RunState, RunView
from codeblue.rules.decision import OURS
from codeblue.rules.service import SECTIONS, ServiceTriggers
from codeblue.rules.wellness import doubts, is_over, proof_of, told
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
        self._triggers = proof_of(runs.world.profile.triggers)
        self._measures = ServiceTriggers(self._triggers)
        self._proof: dict[str, Verdict] = {}

    def look(self, round_: Round, sampling: Sampling | None) -> None:
        """Measure what is true now, for an incident whose run ended well."""
        for verdict in self._measures.observe(round_, sampling):
            self._proof[verdict.rule] = verdict

    async def follow(
        self, seen: Workload, well_for_s: float, verdicts: Sequence[Verdict], *, seen_all: bool = True
    ) -> str:
        """Do what is due. Returns the sentence about it, "" where nothing is.

        A rollback that ended well is followed by the verification; that one proven, and nothing that had fired over its
        limit, the incident is mitigated. Without a run of ours (mode observe, a cause elsewhere, an aborted one) it is
        mitigated when everything stayed healthy, and everything that had fired is known to be so: an incident that is
        over must not keep the loop from the next one.

        Args:
            well_for_s: for how long every probe was good and no trigger over its limit, 0 if not.
            verdicts: of all triggers now, as we see it ourselves.
            seen_all: whether everything could be read then.
        """
        incident = self._incidents.own()
        if incident is None:
            return await self._overdue_report() or await self._outdated_report()
        last = next(reversed(self._incidents.runs_of(incident)), None)
        if last is None:
            return await self._by_itself(incident, well_for_s, verdicts, "a run of ours")
        if not last.state.ended:
            return ""
        if last.state is not RunState.DONE:
            if last.state is not RunState.FAILED and self._recovered(well_for_s):
                # aborted or refused: nothing was tried
                return await self._by_itself(incident, well_for_s, verdicts, last.id)
            if last.aborted_by == ACTOR or self._incidents.reported(incident):
                return ""
            return await self._report(incident, "its run did not succeed")
        if last.runbook == "recovery":
            return await self._verified(incident, last, f"{seen.template.label} is proven healthy", verdicts, seen_all)
        plan = await self.plan("recovery", VerifyRequest())
        if isinstance(plan, str):
            return f"incident {incident.id}: {plan}"
        reason = f"after {last.runbook.replace('_', ' ')} {last.id}"
        run = self._runs.request(plan, actor=ACTOR, reason=reason, incident=incident.id)
        self._measures, self._proof = ServiceTriggers(self._triggers), {}  # what was before the change proves nothing
        return f"incident {incident.id}: verifying the recovery ({run.id})"

    async def plan(self, name: str, request: object) -> Plan | str:
        """The plan of a procedure, or why there is none now."""
        try:
            return await make_plan(name, request, self._runs.world)
        except (Refused, Temporary) as error:
            return f"{name} is not possible now: {error.message} {error.remedy}".strip()

    def _recovered(self, well_for_s: float) -> bool:
        return well_for_s > 0 and well_for_s >= self._runs.world.profile.verify.stable_for

    async def _by_itself(
        self, incident: IncidentView, well_for_s: float, verdicts: Sequence[Verdict], without: str
    ) -> str:
        """Nothing was done that could have helped: it is over only where all that had fired is seen to be well.

        What is unknown, as after the clients gave up, is left to people, who are told so and go on being paged.
        """
        if not self._recovered(well_for_s):
            return ""
        against = doubts(self._incidents.triggers_of(incident), verdicts)
        if against:
            return f"incident {incident.id} stays open: {told(against)}; {_if_over(incident)}"
        return await self._mitigated(incident, f"healthy for {well_for_s:.0f} s, without {without}")

    async def _verified(
        self, incident: IncidentView, proof: RunView, what: str, verdicts: Sequence[Verdict], seen_all: bool
    ) -> str:
        """Something was changed, and verified: what had fired must not be over its limit again.

        Where it is unknown because there is nothing to measure, that is waited for as long as a window takes; then the
        verification counts, and it is said. Where it could not be seen, people have to look.
        """
        if any(v.outcome is Outcome.BREACH and v.rule not in OURS for v in verdicts):
            return ""  # the loop says what fires; that a source of ours is dead says nothing against the service
        rules = self._incidents.triggers_of(incident) & SECTIONS.keys()
        against = doubts(rules, tuple(self._proof.values()))
        over = [v for v in against if is_over(v)]
        if over:
            return f"incident {incident.id} stays open: {what} ({proof.id}), but {told(over)}; a person has to decide"
        if against and not seen_all:
            return f"incident {incident.id} stays open: {what} ({proof.id}), but {told(against)}; {_if_over(incident)}"
        if against and self._runs.world.clock.now() < (proof.ended or proof.requested) + self._patience():
            return f"incident {incident.id}: {what} ({proof.id}); waits, because {told(against)}"
        unjudged = f"; {told(against)}" if against else ""
        return await self._mitigated(incident, f"{what} ({proof.id}){unjudged}")

    def _patience(self) -> timedelta:
        """How long it takes until a window lies wholly behind a change, with two looks to spare."""
        return timedelta(seconds=self._triggers.errors.window + 3 * self._runs.world.profile.signals.interval)

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


def _if_over(incident: IncidentView) -> str:
    return f"if it is over, say so: `codeblue incident mitigate {incident.id} --reason …`"
