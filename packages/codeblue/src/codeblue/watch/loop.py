"""The loop: observe, judge, decide, open, start. Every cycle ends in one sentence."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from codeblue.engine.runs import Runs
from codeblue.model.change import Fence
from codeblue.model.errors import LeaseLost, Refused, Temporary
from codeblue.model.event import Draft
from codeblue.model.health import Outcome, Probe, Round
from codeblue.model.release import Mark, Standing, Workload
from codeblue.model.signal import Sampling
from codeblue.model.verdict import Action, Decision, Verdict
from codeblue.ports.platform import Place
from codeblue.profile.triggers import Mode
from codeblue.record.chain import plain
from codeblue.record.incidents import IncidentView
from codeblue.record.runs import RunState, RunView
from codeblue.rules.blindness import Blindness
from codeblue.rules.decision import AI_FAILURES, OURS, Limits, Situation, decide
from codeblue.rules.known_good import Soak, choose
from codeblue.rules.service import ServiceTriggers, mode_of, observing
from codeblue.rules.severity import severity_named, severity_of
from codeblue.rules.wellness import LastKnown
from codeblue.rules.windows import dated
from codeblue.runbooks.flags import DisableRequest
from codeblue.runbooks.quick_rollback import Request
from codeblue.runbooks.replace_pod import Request as ReplaceRequest
from codeblue.runbooks.rollout import judge_rollout
from codeblue.runbooks.step import World
from codeblue.watch.aftermath import Aftermath
from codeblue.watch.alerts import Alerts
from codeblue.watch.gauge import Gauge
from codeblue.watch.incidents import ACTOR, Incidents
from codeblue.watch.inhibitions import Inhibitions

#: What is asked for gives way to what is asked for because of more.
_RANKS = {"replace_pod": 0, "flags_disable": 1, "quick_rollback": 2}


class Acts(Protocol):
    """What the loop needs from the holder of the lease."""

    async def fence(self) -> Fence:
        """The right to act, or LeaseLost."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at everything: the workload, a round of probes, and the signals when their time has come."""

    seen: Workload
    round: Round
    sampling: Sampling | None


@dataclass
class Watch:
    """The loop's memory: what the triggers saw, and how long the current release has been healthy.

    It is lost with the process, and then begins anew: four failures are counted again before anything happens.

    Attributes:
        judged: gets the verdicts of each cycle, for those who count them.
        signals: the verdicts over the signals, from the last time when these were read.
        sampled_s: when that was, monotonic.
        own: what we see ourselves, without the alerts of others: those lag behind what is true now.
        unseen: whether something could not be read then.
        release: `Template.release` of the last look.
        glanced_s: when the signals were last read while a procedure was under way, monotonic.
    """

    runs: Runs
    acts: Acts
    judged: Callable[[Sequence[Verdict]], None] = lambda verdicts: None
    soak: Soak = field(default_factory=Soak)
    first_bad: datetime | None = None
    signals: tuple[Verdict, ...] = ()
    sampled_s: float | None = None
    own: tuple[Verdict, ...] = ()
    unseen: bool = False
    release: str = ""
    glanced_s: float | None = None

    def __post_init__(self) -> None:
        self.incidents = Incidents(self.runs)
        self.gauge = Gauge(self.runs, self.incidents)
        self.aftermath = Aftermath(self.runs, self.incidents, self.gauge)
        self.inhibitions = Inhibitions(self.runs)
        self.alerts = Alerts(self.runs)
        self.blindness = Blindness(self.world.profile.triggers.blind)
        self.triggers = ServiceTriggers(self.world.profile.triggers)
        self.known = LastKnown()

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
            changing = any(r.state is RunState.RUNNING and self.runs.changes(r) for r in under_way)
            if changing:
                self._forget()  # what a procedure does looks like an outage (R1b), and afterwards all begins anew
            await self._glance(changing=changing)
            return self._under_way(self.runs.get(under_way[0].id))
        soak, self.soak = self.soak, Soak()  # a look that fails, however it does, breaks it
        try:
            look = await self._look()
        except Temporary as error:
            return f"unknown: {error.message}; nothing follows from that"
        self.soak = soak
        self.gauge.add(look.round, look.sampling)
        self.aftermath.look(look.round, look.sampling)
        verdicts = self._judge(look)
        self._remember(look, verdicts)
        self.judged(verdicts)
        marked = await self._mark(look)
        open_before = self.incidents.own()
        after = await self.aftermath.follow(look.seen, self.soak.seconds, self.own, seen_all=not self.unseen)
        if after:
            if open_before is not None and self.incidents.own() is None:
                self._forget()  # it is over: what was counted for it must not open the next one
            return after
        inhibition = self.inhibitions.holding()
        if inhibition is not None:
            verdicts = tuple(v for v in verdicts if v.rule in OURS)
        if any(v.outcome is Outcome.BREACH for v in verdicts):
            return await self._breach(await self._decide(look, verdicts))
        if inhibition is not None:
            until = f"{inhibition.expires:%Y-%m-%d %H:%M:%S} UTC"
            return f"inhibited: {inhibition.kind} by {inhibition.by}: {inhibition.why}; no trigger counts until {until}"
        return marked or _calm(look.seen, verdicts, metrics=self.world.profile.signal_source != "none")

    def _judge(self, look: Look) -> tuple[Verdict, ...]:
        """The verdicts of all triggers, that of R4 first; then what fires about our own sight, and about what was to
        last for a while and was forgotten."""
        health, *signals = self.triggers.observe(look.round, look.sampling)
        if look.sampling is not None:
            self.signals = (*signals, self.blindness.observe(look.sampling, self.world.clock.monotonic()))
        self.inhibitions.notice(look.seen)
        late = self.inhibitions.overdue()
        own = (health, *self.signals, *((late,) if late else ()))
        if look.seen.template.release != self.release:
            self.release, self.known = look.seen.template.release, LastKnown()
        self.known.observe(own)
        self.own = own
        return self.alerts.judge(own)

    async def _glance(self, *, changing: bool) -> None:
        """Measure for the curves while a procedure is under way, no more often than the signals are read.

        Args:
            changing: what is measured now says nothing about what the procedure will leave behind.
        """
        now_s = self.world.clock.monotonic()
        if self.glanced_s is not None and now_s - self.glanced_s < self.world.profile.signals.interval:
            return
        self.glanced_s = now_s
        with suppress(Temporary):  # then there is a gap
            look = await self._look()
            self.gauge.add(look.round, look.sampling)
            if not changing:
                self.aftermath.look(look.round, look.sampling)

    async def _look(self) -> Look:
        health = self.world.profile.health
        seen = await self.world.platform.observe()
        routing = await self.world.platform.routing()
        at = self.world.clock.now()
        pods = [await self.world.prober.get(p, health.path, timeout_s=health.timeout) for p in routing.pods]
        if routing.service is not None:
            service = await self.world.prober.get(routing.service, health.path, timeout_s=health.timeout)
        else:
            service = _readiness(seen)
        return Look(seen, Round(at, service, tuple(pods)), await self._sample(routing.pods))

    async def _sample(self, pods: tuple[Place, ...]) -> Sampling | None:
        """The signals, where it is time for them: they have an interval of their own."""
        now_s = self.world.clock.monotonic()
        # a cycle that comes a moment early must not leave out a whole interval
        if self.sampled_s is not None and now_s - self.sampled_s < self.world.profile.signals.interval - 0.5:
            return None
        self.sampled_s = now_s
        return dated(await self.world.signals.sample(pods))

    def _remember(self, look: Look, verdicts: tuple[Verdict, ...]) -> None:
        """How long it has been well, and since when it has not."""
        probes = (look.round.service, *look.round.pods)
        fires = any(v.outcome is Outcome.BREACH for v in verdicts)
        if look.sampling is not None:
            self.unseen = bool(look.sampling.unknown)
        quiet = all(p.outcome is Outcome.OK for p in probes) and not fires and self.known.is_well() and not self.unseen
        template = look.seen.template
        healthy = quiet and judge_rollout(look.seen, template.exact).ok
        health = self.world.profile.health
        probing_s = sum(min(p.latency_ms / 1000, health.timeout) for p in probes)
        gap_s = 2 * health.interval + health.timeout + probing_s
        self.soak = self.soak.advance(template.release, healthy, self._steady(), gap_s=gap_s)
        if look.round.outcome is Outcome.OK and not fires:
            self.first_bad = None
        elif self.first_bad is None and (look.round.outcome is Outcome.BREACH or fires):
            self.first_bad = look.round.at

    def _forget(self) -> None:
        self.soak, self.first_bad, self.signals, self.sampled_s = Soak(), None, (), None
        self.known = LastKnown()
        self.triggers = ServiceTriggers(self.world.profile.triggers)

    async def _mark(self, look: Look) -> str:
        """Known-good by soak (B2): every pod on the template and ready, every probe good, no trigger over its limit."""
        seen = look.seen
        needed, have = self.world.profile.known_good.soak, self.soak.seconds
        if self.soak.since is None or have < needed or seen.standing(seen.template) is not Standing.UNPROVEN:
            return ""
        why = f"healthy for {have:.0f} s ≥ {needed:g} s"
        change = self.world.platform.mark(
            seen, {seen.template.release: Mark(Standing.KNOWN_GOOD, look.round.at, ACTOR, why)}
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
        self.runs.record.append(Draft("release.marked", ACTOR, plain(data)))
        return f"marked: {seen.template.label} is known-good, {why}"

    async def _decide(self, look: Look, verdicts: tuple[Verdict, ...]) -> Decision:
        triggers = self.world.profile.triggers
        limits = Limits(
            triggers.cooldown,
            triggers.budget.rollbacks,
            triggers.budget.per,
            recent_s=triggers.recent_change,
            literal=triggers.policy == "literal",
        )
        history = await self.world.platform.history()
        ai_fails = any(v.rule == AI_FAILURES and v.outcome is Outcome.BREACH for v in verdicts)
        return decide(
            Situation(
                verdicts,
                look.seen,
                choose(history, look.seen.marks, look.seen.template),
                past=tuple(self.incidents.past_rollbacks()),
                limits=limits,
                at=self.world.clock.now(),
                changed=next((r.created for r in history if r.current), None),
                provider=await self._provider() if ai_fails else None,
                observing=observing(triggers),
            )
        )

    async def _provider(self) -> Verdict | None:
        """What the service says of the provider of its model; None where it offers no such answer (R59)."""
        path = self.world.profile.contract.health_ai_services
        if path is None:
            return None
        routing = await self.world.platform.routing()
        if routing.service is None:
            return None
        probe = await self.world.prober.get(routing.service, path, timeout_s=self.world.profile.health.timeout)
        return Verdict("provider", probe.outcome, f"{path}: {probe.detail}")

    async def _breach(self, decision: Decision) -> str:
        incident = self.incidents.own() or self._open(decision)
        self._worse(incident, decision)
        mode = mode_of(self.world.profile.triggers, decision.rules)
        if mode == "act" and self.incidents.frozen():
            mode = "ask"
        request = self._request(decision)
        hindrance = self._hindrance(incident, request[0] if request else "", mode, decision)
        if hindrance:
            return hindrance
        self.incidents.decide(incident, decision, mode)
        if request is None:
            by_hand = (
                "" if decision.action is Action.PAGE_ONLY else "; this version has no procedure for it: do it by hand"
            )
            return f"incident {incident.id}: {decision.sentence}{by_hand}"
        if mode == "observe":
            return f"incident {incident.id}: would {decision.action.verb} (mode observe): {decision.sentence}"
        plan = await self.aftermath.plan(*request)
        if isinstance(plan, str):
            return f"incident {incident.id}: {plan}"
        run = self.runs.request(
            plan, actor=ACTOR, reason=decision.reasons_for[0], incident=incident.id, ask=mode == "ask"
        )
        if mode == "ask":
            how = f"approve with `codeblue run approve {run.id}`"
            return f"incident {incident.id}: asks to {decision.action.verb} (run {run.id}): {how}: {decision.sentence}"
        return f"incident {incident.id}: {decision.action.doing} ({run.id}): {decision.sentence}"

    def _hindrance(self, incident: IncidentView, runbook: str, mode: Mode, decision: Decision) -> str:
        """Which run of the incident comes first, as a sentence; "" where none does.

        One that began is people's business from then on: nothing is tried twice. One that only asked has changed
        nothing: it stands against asking again for the same, and where a person said no against doing the same, but it
        gives way to what may be done by itself, and to a rollback.
        """
        for run in reversed(self.incidents.runs_of(incident)):
            if run.state is RunState.WAITING:
                if not run.aborted_by and (run.approved_by or not _gives_way(run, runbook, mode)):
                    return f"incident {incident.id}: {run.id} waits for an approval: `codeblue run approve {run.id}`"
                if not run.aborted_by:
                    data = {"why": f"gives way to {runbook} ({', '.join(decision.rules)}, mode {mode})"}
                    self.runs.record.append(Draft("run.abort_requested", ACTOR, data, run=run.id, incident=incident.id))
                return f"incident {incident.id}: {run.id} is withdrawn before it began: {decision.sentence}"
            refused = run.runbook == runbook and run.aborted_by != ACTOR and (bool(run.aborted_by) or mode != "act")
            if run.started is not None or refused:
                return f"incident {incident.id} is open, and {run.runbook} {run.id} {run.state}: a person has to decide"
        return ""

    def _request(self, decision: Decision) -> tuple[str, object] | None:
        """The procedure that does what was decided, and what it is asked for; None where there is none (yet)."""
        match decision.action:
            case Action.ROLLBACK:
                at_once = self.world.profile.runbooks.quick_rollback.at_once
                literal = self.world.profile.triggers.policy == "literal"
                return "quick_rollback", Request(at_once=at_once, leave_known_good=literal)
            case Action.REPLACE_POD:
                return "replace_pod", ReplaceRequest(decision.pods)
            case Action.DISABLE_FLAGS if self.world.flags is not None:
                return "flags_disable", DisableRequest()
            case _:
                return None

    def _worse(self, incident: IncidentView, decision: Decision) -> None:
        """An incident that began as a small one gets the severity of what fires by now; it never gets a smaller one."""
        fires = [v.rule for v in decision.verdicts if v.outcome is Outcome.BREACH]
        worst = min((severity_of(self.world.profile.severity, rule), rule) for rule in fires)
        if worst[0] < severity_named(incident.severity):
            self.incidents.note(
                incident.id, "incident.severity", severity=worst[0].text, why=f"{worst[1]} fires as well"
            )

    def _open(self, decision: Decision) -> IncidentView:
        self.gauge.begin()
        breach = next(v for v in decision.verdicts if v.outcome is Outcome.BREACH)
        now = self.world.clock.now()
        began = datetime.fromtimestamp(breach.since_s, UTC) if breach.since_s is not None else self.first_bad or now
        return self.incidents.open(decision, min(began, now), severity_of(self.world.profile.severity, breach.rule))

    def _waits_for(self, run: RunView) -> bool:
        """The loop rests while a run changes something or belongs to an incident; mere reading does not blind it."""
        return self.runs.changes(run) or bool(run.incident)

    def _under_way(self, run: RunView) -> str:
        step = next((s for s in run.steps if s.state == "running"), None)
        return f"{run.runbook} {run.id} is {run.state}: {step.title if step else 'about to go on'}"

    def _steady(self) -> datetime:
        """A time that only differences are taken of: a clock that is set right must not lengthen a soak."""
        return datetime.fromtimestamp(self.world.clock.monotonic(), UTC)


def _gives_way(asking: RunView, runbook: str, mode: Mode) -> bool:
    """Whether a run that waits for an approval is withdrawn for another procedure."""
    return bool(runbook) and (mode == "act" or (mode == "ask" and _RANKS[runbook] > _RANKS.get(asking.runbook, 0)))


def _readiness(seen: Workload) -> Probe:
    """Tier 0 (R1c): without a Service, a ready pod is the sign of life."""
    ready = sum(p.ready for p in seen.live_pods)
    outcome = Outcome.OK if ready else Outcome.BREACH
    return Probe("readiness", "", outcome, None, 0.0, detail=f"{ready} of {seen.desired} pods are ready")


def _calm(seen: Workload, verdicts: tuple[Verdict, ...], *, metrics: bool) -> str:
    """The sentence of a cycle without a breach.

    While older pods answer in its place, no probe says anything about the release in force: then it is not called ok;
    nor while it fails, not often enough yet.

    Args:
        metrics: whether the profile names a source of metrics; without one, that they are unknown is no news.
    """
    label, exact = seen.template.label, seen.template.exact
    health, *others = verdicts
    unknown = [v for v in others if v.outcome is Outcome.UNKNOWN] if metrics else []
    rising = [v for v in others if v.outcome is Outcome.OK and v.since_s is not None]
    more = [f"{v.rule}: {v.why}" for v in rising]
    if unknown:
        more.append(f"{', '.join(v.rule for v in unknown)} unknown: {unknown[0].why}")
    why = "; ".join((health.why, *more))
    state = "failing, not often enough to act yet" if health.ok and health.measured else health.outcome.value
    rollout = judge_rollout(seen, exact)
    if health.outcome is not Outcome.OK or rollout.ok:
        return f"{state}: {label}: {why}"
    ready = sum(p.ready for p in seen.live_pods if p.template == exact)
    count = f"{ready} of {seen.desired} pods on the target and ready"
    pods = rollout.why if count in rollout.why else f"{count} ({rollout.why})"
    if not any(p.ready for p in seen.live_pods if p.template != exact):
        return f"{state}: {label}: {why}; {pods}"
    return f"the rollout of {label} is not finished: {pods}; older pods answer: {why}"
