"""The loop: observe, judge, decide, open, start. Every cycle ends in one sentence."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from codeblue.engine.runs import Plan, Runs, make_plan
from codeblue.model.change import Fence
from codeblue.model.errors import LeaseLost, Refused, Temporary
from codeblue.model.event import Draft
from codeblue.model.health import Outcome, Probe, Round
from codeblue.model.ids import new_id
from codeblue.model.release import Mark, Standing, Workload
from codeblue.model.verdict import Action, Decision, Verdict
from codeblue.record.chain import plain
from codeblue.record.incidents import INCIDENT_KINDS, IncidentView, fold_incidents
from codeblue.record.runs import RUN_KINDS, RunState, RunView, fold_runs
from codeblue.rules.decision import Limits, decide
from codeblue.rules.known_good import Choice, Soak, choose
from codeblue.rules.triggers import HealthTrigger
from codeblue.runbooks.incident_report import Request as ReportRequest
from codeblue.runbooks.quick_rollback import Request
from codeblue.runbooks.recovery import Request as VerifyRequest
from codeblue.runbooks.rollout import judge_rollout
from codeblue.runbooks.step import World

ACTOR = "watch"


class Acts(Protocol):
    """What the loop needs from the holder of the lease."""

    async def fence(self) -> Fence:
        """The right to act, or LeaseLost."""


@dataclass
class Watch:
    """The loop's memory: the last rounds, and how long the current release has been healthy.

    It is lost with the process, and then begins anew: four failures are counted again before anything happens.
    """

    runs: Runs
    acts: Acts
    rounds: deque[Round] = field(default_factory=lambda: deque(maxlen=200))
    soak: Soak = field(default_factory=Soak)
    first_bad: datetime | None = None

    @property
    def world(self) -> World:
        return self.runs.world

    async def cycle(self) -> str:
        """One cycle. Returns the sentence.

        Raises:
            LeaseLost: somebody else acts now. Other CodeBlueErrors: this cycle could not see or record; the next may.
        """
        under_way = [r for r in self.runs.unfinished() if r.state is not RunState.WAITING and self._waits_for(r)]
        if under_way:
            self.soak = Soak()
            return self._under_way(self.runs.get(under_way[0].id))
        try:
            seen = await self.world.platform.observe()
            round_ = await self._round()
        except Temporary as error:
            self.soak = Soak()
            return f"unknown: {error.message}; nothing follows from that"
        self._remember(round_)
        marked = await self._soak(seen, round_)
        after = await self._after_run(seen)
        if after:
            return after
        verdicts = [self._trigger().judge(tuple(self.rounds))]
        if verdicts[0].outcome is not Outcome.BREACH:
            return marked or _calm(seen, verdicts[0])
        choice = choose(await self.world.platform.history(), seen.marks, seen.template)
        return await self._breach(self._decide(seen, verdicts, choice))

    async def _round(self) -> Round:
        health = self.world.profile.health
        routing = await self.world.platform.routing()
        at = self.world.clock.now()
        pods = [await self.world.prober.get(p, health.path, timeout_s=health.timeout) for p in routing.pods]
        if routing.service is not None:
            service = await self.world.prober.get(routing.service, health.path, timeout_s=health.timeout)
        else:
            service = await self._readiness()
        return Round(at, service, tuple(pods))

    async def _readiness(self) -> Probe:
        """Tier 0 (R1c): without a Service, a ready pod is the sign of life."""
        seen = await self.world.platform.observe()
        ready = sum(p.ready for p in seen.live_pods)
        outcome = Outcome.OK if ready else Outcome.BREACH
        return Probe("readiness", "", outcome, None, 0.0, detail=f"{ready} of {seen.desired} pods are ready")

    def _remember(self, round_: Round) -> None:
        self.rounds.append(round_)
        if round_.outcome is Outcome.OK:
            self.first_bad = None
        elif round_.outcome is Outcome.BREACH and self.first_bad is None:
            self.first_bad = round_.at

    async def _soak(self, seen: Workload, round_: Round) -> str:
        """Known-good by soak (B2): every pod on the template and ready, every probe good, for the soak time."""
        probes = (round_.service, *round_.pods)
        healthy = judge_rollout(seen, seen.template.exact).ok and all(p.outcome is Outcome.OK for p in probes)
        self.soak = self.soak.advance(seen.template.release, healthy, self._steady())
        needed, have = self.world.profile.known_good.soak, self.soak.seconds(self._steady())
        if not healthy or have < needed or seen.standing(seen.template) is not Standing.UNPROVEN:
            return ""
        why = f"healthy for {have:.0f} s ≥ {needed:g} s"
        change = self.world.platform.mark(
            seen, {seen.template.release: Mark(Standing.KNOWN_GOOD, round_.at, ACTOR, why)}
        )
        if change is None:
            return ""
        try:
            await self.world.platform.apply(change, await self.acts.fence())
        except LeaseLost:
            raise
        except (Refused, Temporary) as error:
            return f"not marked yet: {error.message}"
        data = {"release": seen.template.release, "label": seen.template.label, "standing": "known-good", "why": why}
        self._event("release.marked", data)
        return f"marked: {seen.template.label} is known-good, {why}"

    def _trigger(self) -> HealthTrigger:
        return HealthTrigger(self.world.profile.triggers.health.failures)

    def _decide(self, seen: Workload, verdicts: Sequence[Verdict], choice: Choice) -> Decision:
        triggers = self.world.profile.triggers
        limits = Limits(
            triggers.cooldown, triggers.budget.rollbacks, triggers.budget.per, literal=triggers.policy == "literal"
        )
        return decide(verdicts, seen, choice, past=self.past_rollbacks(), limits=limits, at=self.world.clock.now())

    async def _breach(self, decision: Decision) -> str:
        incident = self._incident() or self._open(decision)
        last = self._last_run(incident)
        if last is not None and last.state is RunState.WAITING:
            return f"incident {incident.id}: {last.id} waits for an approval: `codeblue run approve {last.id}`"
        if last is not None:
            return f"incident {incident.id} is open, and {last.runbook} {last.id} {last.state}: a person has to decide"
        mode = self.world.profile.triggers.health.mode
        if incident.decision is None or incident.decision["action"] != decision.action.value:
            self._event(
                "incident.decided", {**plain(decision), "sentence": decision.sentence, "mode": mode}, incident.id
            )
        if decision.action is not Action.ROLLBACK:
            return f"incident {incident.id}: {decision.sentence}"
        if mode == "observe":
            return f"incident {incident.id}: would roll back (mode observe): {decision.sentence}"
        at_once = self.world.profile.runbooks.quick_rollback.at_once
        literal = self.world.profile.triggers.policy == "literal"
        plan = await self._plan("quick_rollback", Request(at_once=at_once, leave_known_good=literal))
        if isinstance(plan, str):
            return f"incident {incident.id}: {plan}"
        run = self.runs.request(
            plan, actor=ACTOR, reason=decision.reasons_for[0], incident=incident.id, ask=mode == "ask"
        )
        if mode == "ask":
            how = f"approve with `codeblue run approve {run.id}`"
            return f"incident {incident.id}: asks to roll back (run {run.id}): {how}: {decision.sentence}"
        return f"incident {incident.id}: rolling back ({run.id}): {decision.sentence}"

    def _waits_for(self, run: RunView) -> bool:
        """The loop rests while a run changes something or belongs to an incident; mere reading does not blind it."""
        return self.runs.changes(run) or bool(run.incident)

    def _under_way(self, run: RunView) -> str:
        step = next((s for s in run.steps if s.state == "running"), None)
        return f"{run.runbook} {run.id} is {run.state}: {step.title if step else 'about to go on'}"

    async def _after_run(self, seen: Workload) -> str:
        """A rollback that ended well is followed by the verification; that one proven, the incident is mitigated.

        Without a run of ours (mode observe, a cause elsewhere, an aborted one) it is mitigated when everything stayed
        healthy: an incident that is over must not keep the loop from the next one.
        """
        incident = self._incident()
        if incident is None:
            return await self._overdue_report()
        last = self._last_run(incident)
        if last is None:
            healthy_s = self.soak.seconds(self._steady())
            if not self._recovered(healthy_s):
                return ""
            return await self._mitigated(incident, f"healthy for {healthy_s:.0f} s, without a run of ours")
        if not last.state.ended:
            return ""
        if last.state is not RunState.DONE:
            healthy_s = self.soak.seconds(self._steady())
            if last.state is not RunState.FAILED and self._recovered(
                healthy_s
            ):  # aborted or refused: nothing was tried
                return await self._mitigated(incident, f"healthy for {healthy_s:.0f} s, without {last.id}")
            return "" if self._reported(incident) else await self._report(incident, "its run did not succeed")
        if last.runbook != "quick_rollback":
            return await self._mitigated(incident, f"{seen.template.label} is proven healthy ({last.id})")
        plan = await self._plan("recovery", VerifyRequest())
        if isinstance(plan, str):
            return f"incident {incident.id}: {plan}"
        run = self.runs.request(plan, actor=ACTOR, reason="after the rollback", incident=incident.id)
        return f"incident {incident.id}: verifying the recovery ({run.id})"

    async def _mitigated(self, incident: IncidentView, why: str) -> str:
        self.rounds.clear()
        self._event("incident.mitigated", {"why": why}, incident.id)
        return await self._report(incident, f"is mitigated: {why}")

    async def _overdue_report(self) -> str:
        """The report of an incident that a person resolved, or that was mitigated right before our process died."""
        incidents = list(fold_incidents(self.runs.record.read(kinds=INCIDENT_KINDS)).values())
        if not incidents or incidents[-1].state == "open" or self._reported(incidents[-1]):
            return ""
        over = "was resolved by a person" if incidents[-1].state == "resolved" else "is mitigated"
        return await self._report(incidents[-1], over)

    async def _report(self, incident: IncidentView, what: str) -> str:
        """Have the report written by a run of its own, which outlives a crash as all runs do."""
        plan = await self._plan("incident_report", ReportRequest(incident.id))
        if isinstance(plan, str):
            return f"incident {incident.id} {what}; {plan}"
        run = self.runs.request(plan, actor=ACTOR, reason=what, incident=incident.id)
        return f"incident {incident.id} {what}; writing the report ({run.id})"

    def _last_run(self, incident: IncidentView) -> RunView | None:
        runs = fold_runs(self.runs.record.read(incident=incident.id)).values()
        ours = [r for r in runs if r.runbook != "incident_report" and r.state is not RunState.EXPIRED]
        return ours[-1] if ours else None

    def _reported(self, incident: IncidentView) -> bool:
        runs = fold_runs(self.runs.record.read(incident=incident.id)).values()
        return any(r.runbook == "incident_report" for r in runs)

    def _steady(self) -> datetime:
        """A time that only differences are taken of: a clock that is set right must not lengthen a soak."""
        return datetime.fromtimestamp(self.world.clock.monotonic(), UTC)

    def _recovered(self, healthy_s: float) -> bool:
        return healthy_s > 0 and healthy_s >= self.world.profile.verify.stable_for and self._last_ok()

    def _last_ok(self) -> bool:
        return bool(self.rounds) and self.rounds[-1].outcome is Outcome.OK

    async def _plan(self, name: str, request: object) -> Plan | str:
        try:
            return await make_plan(name, request, self.world)
        except (Refused, Temporary) as error:
            return f"{name} is not possible now: {error.message} {error.remedy}".strip()

    def _incident(self) -> IncidentView | None:
        incidents = fold_incidents(self.runs.record.read(kinds=INCIDENT_KINDS)).values()
        return next((i for i in incidents if i.state == "open"), None)

    def _open(self, decision: Decision) -> IncidentView:
        breach = next(v for v in decision.verdicts if v.outcome is Outcome.BREACH)
        id_ = new_id("inc", self.world.clock.now())
        began = self.first_bad or self.world.clock.now()
        data = {"severity": "SEV1", "trigger": breach.rule, "why": breach.why, "began": began}
        self._event("incident.opened", data, id_)
        return fold_incidents(self.runs.record.read(incident=id_))[id_]

    def past_rollbacks(self) -> list[datetime]:
        """When automatic rollbacks ended; those that never began do not count."""
        runs = fold_runs(self.runs.record.read(kinds=RUN_KINDS)).values()
        return [r.ended for r in runs if r.runbook == "quick_rollback" and r.actor == ACTOR and r.started and r.ended]

    def _event(self, kind: str, data: object, incident: str = "") -> None:
        self.runs.record.append(Draft(kind, ACTOR, plain(data), incident=incident))


def _calm(seen: Workload, verdict: Verdict) -> str:
    """The sentence of a cycle without a breach.

    While older pods answer in its place, no probe says anything about the release in force: then it is not called ok.
    """
    label, exact = seen.template.label, seen.template.exact
    rollout = judge_rollout(seen, exact)
    if verdict.outcome is not Outcome.OK or rollout.ok:
        return f"{verdict.outcome}: {label}: {verdict.why}"
    ready = sum(p.ready for p in seen.live_pods if p.template == exact)
    count = f"{ready} of {seen.desired} pods on the target and ready"
    pods = rollout.why if count in rollout.why else f"{count} ({rollout.why})"
    if not any(p.ready for p in seen.live_pods if p.template != exact):
        return f"{verdict.outcome}: {label}: {verdict.why}; {pods}"
    return f"the rollout of {label} is not finished: {pods}; older pods answer: {verdict.why}"
