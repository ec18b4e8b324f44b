"""Checks on a workload that several procedures need: is this template really what runs, everywhere?"""

import asyncio
from dataclasses import replace

from codeblue.model.health import Outcome, Probe
from codeblue.model.release import Pod, Workload
from codeblue.model.verdict import Verdict
from codeblue.ports.platform import Routing
from codeblue.runbooks.step import Check, World

#: Our own name as field manager (docs/semantics.md).
OURSELVES = "codeblue"
#: A target pod that restarted so often crash-loops; waiting on does not mend it.
CRASH_LOOP_RESTARTS = 3
#: So long a look may take beside its probes before it says nothing about the time that it took.
LOOK_S = 20.0
#: So long the controller must stick to having given up: after an outage of its API server it says so, and goes on.
STALLED_S = 20.0


def reverted(seen: Workload, target: str, uid: str = "") -> Verdict | None:
    """The verdict that our template was replaced after it was accepted; None while it holds (D23).

    Args:
        target: `Template.exact` that must be in force.
        uid: of the workload that was changed; "" where any will do.
    """
    if uid and seen.uid != uid:
        return Verdict(
            "rollout",
            Outcome.BREACH,
            f"{seen.name} was deleted and made anew meanwhile, and the marks on it are gone. Find out who "
            "did that, then look at it with `codeblue verify`",
            final=True,
        )
    if seen.template.exact == target:
        return None
    who = seen.template_manager or "somebody"
    if who == OURSELVES:
        return Verdict(
            "rollout",
            Outcome.BREACH,
            f"our change was accepted, and another template than the one sent is in force: {seen.template.label}. "
            "An admission policy or webhook of the platform changes it on the way; the release counts as another one "
            "because of that. Have it leave this workload alone, or change the pods instead",
            final=True,
        )
    return Verdict(
        "rollout",
        Outcome.BREACH,
        f"field manager {who!r} put another template back after the rollback: {seen.template.label}. "
        f"Stop {who!r} first (GitOps, a pipeline, an operator), then run the rollback again",
        final=True,
    )


def judge_rollout(seen: Workload, target: str) -> Verdict:
    """Whether every pod runs the target and is ready, in the order of `kubectl rollout status` (docs/semantics.md).

    Args:
        target: `Template.exact`.
    """
    if seen.desired == 0:
        return Verdict("rollout", Outcome.BREACH, "it is scaled to 0: no pod runs, and nothing can be proven")
    wrong = [p for p in seen.live_pods if p.template != target]
    mine = [p for p in seen.live_pods if p.template == target]
    swapped = [p for p in mine if seen.template.exact == target and not _runs(seen.template.images, p.images)]
    ready = [p for p in mine if p.ready]
    looping = [p for p in mine if p.trouble and p.restarts >= CRASH_LOOP_RESTARTS]
    count = f"{len(ready)} of {seen.desired} pods on the target and ready{_hindrance(seen)}"
    if looping:
        return Verdict("rollout", Outcome.BREACH, f"the target crash-loops: {_names(looping)}", final=True)
    if seen.observed_generation < seen.generation:
        return Verdict("rollout", Outcome.UNKNOWN, "the controller has not seen the change yet")
    if seen.stalled:
        return Verdict("rollout", Outcome.BREACH, f"the controller gave up: {seen.stalled}; {count}", final=True)
    if seen.updated < seen.desired or seen.total > seen.updated or seen.available < seen.updated:
        return Verdict("rollout", Outcome.BREACH, f"{count}{_trouble(mine)}")
    if wrong:
        return Verdict("rollout", Outcome.BREACH, f"{count}; still on another template: {_names(wrong)}")
    if len(ready) < seen.desired:
        return Verdict("rollout", Outcome.BREACH, f"{count}{_trouble(mine)}")
    if swapped:
        return Verdict("rollout", Outcome.BREACH, f"{count}; other images than the template's run in {_names(swapped)}")
    return Verdict("rollout", Outcome.OK, f"{len(ready)} of {seen.desired} pods on the target and ready")


def _hindrance(seen: Workload) -> str:
    """What keeps the controller from going on, in its own words."""
    paused = "; it is paused, `kubectl rollout resume` lets it go on" if seen.paused else ""
    return f"{paused}; {seen.failure}" if seen.failure else paused


def _runs(wanted: tuple[str, ...], images: tuple[str, ...]) -> bool:
    """Whether a pod with these images runs the template's.

    Admission may add containers, take an image from a mirror or name it by digest; another name or tag is another one.
    """
    left = [_name_and_tag(image) for image in images]
    for name, tag in map(_name_and_tag, wanted):
        found = next((i for i in left if i[0] == name and (not i[1] or not tag or i[1] == tag)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _name_and_tag(image: str) -> tuple[str, str]:
    """The last part of an image's name and its tag; "" for an image that is named by digest alone."""
    plain, _, digest = image.partition("@")
    name, _, tag = plain.rpartition("/")[2].partition(":")
    return name, tag or ("" if digest else "latest")


def judge_traffic(probe: Probe, routing: Routing, version: str) -> Verdict:
    """Whether clients reach the target, and nobody else answers in its place (D5).

    Args:
        version: what the target calls itself; "" where that is not known, then it is not compared.
    """
    rule = "health"
    if routing.strangers:
        who = ", ".join(routing.strangers)
        return Verdict(rule, Outcome.BREACH, f"behind the Service stands what is no pod of the release: {who}")
    if probe.outcome is not Outcome.OK:
        return Verdict(rule, probe.outcome, f"{probe.via}: {probe.detail}")
    if version and probe.version and probe.version != version:
        return Verdict(
            rule, Outcome.BREACH, f"{probe.via} answers {probe.status} as version {probe.version}, not {version}"
        )
    return Verdict(rule, Outcome.OK, f"{probe.via} answers {probe.status} in {probe.latency_ms:.0f} ms")


class Rollout(Check):
    """Wait until the controller has replaced every pod, or say why it does not."""

    id, title, every_s = "rollout", "Wait until every pod runs the target and is ready", 0.2

    def __init__(self, world: World, target: str, limit_s: float, *, uid: str = "") -> None:
        self._world, self._target, self.limit_s, self._uid = world, target, limit_s, uid
        self._stalled_since: float | None = None

    async def probe(self) -> Verdict:
        seen = await self._world.platform.observe()
        verdict = reverted(seen, self._target, self._uid) or judge_rollout(seen, self._target)
        if not seen.stalled or verdict.ok:
            self._stalled_since = None
            return verdict
        now = self._world.clock.monotonic()
        self._stalled_since = now if self._stalled_since is None else self._stalled_since
        return verdict if now - self._stalled_since >= STALLED_S else replace(verdict, final=False)


class Healthy(Check):
    """The health path through the Service and of every pod (R11: up to `checks` times)."""

    id, title = "health", "Check the health through the Service and of every pod"

    def __init__(self, world: World, version: str) -> None:
        verify = world.profile.verify
        self._world, self._version = world, version
        self.every_s, self.attempts = verify.every, verify.checks
        self.limit_s = verify.every * verify.checks

    async def probe(self) -> Verdict:
        return await judge_health(self._world, self._version)


class Stable(Check):
    """Keep looking: a release that fails twenty seconds after it became ready is not a recovery.

    It passes when health, template and pods were seen good without a break for `for_s` (default: the profile's
    `stable_for`). A failure ends it; what could not be seen starts the window anew: unknown is not healthy (B5).
    So does a scaling in between (D8): pods that an autoscaler adds are not ready at once, and no failure for that.
    And so do two looks that lie too far apart, because our own process stood still.
    """

    id = "stable"

    def __init__(self, world: World, target: str, version: str, *, for_s: float | None = None, uid: str = "") -> None:
        verify = world.profile.verify
        self._world, self._target, self._version, self._uid = world, target, version, uid
        self._for_s = verify.stable_for if for_s is None else for_s
        self.every_s = min(2.0, verify.every, self._for_s / 3)
        self.title = f"Watch it stay healthy for {self._for_s:g} s"
        self.limit_s = self._for_s * 2 + 60.0
        self._gap_s = 2 * self.every_s + world.profile.health.timeout + LOOK_S
        self._since: float | None = None
        self._seen_s = 0.0
        self._restarts: dict[str, int] = {}
        self._desired: int | None = None
        self._scaling = False

    async def probe(self) -> Verdict:
        clock = self._world.clock
        verdict = await self._look()
        if verdict.outcome is Outcome.BREACH:
            held = "" if self._since is None else f" after {clock.monotonic() - self._since:.0f} s of health"
            return Verdict("stable", Outcome.BREACH, f"{verdict.why}{held}", final=True)
        if verdict.outcome is Outcome.UNKNOWN:
            self._since = None
            return Verdict("stable", Outcome.UNKNOWN, verdict.why)
        now_s = clock.monotonic()
        if self._since is None or now_s - self._seen_s > self._gap_s:
            self._since = now_s
        self._seen_s = now_s
        held_s = now_s - self._since
        if held_s < self._for_s:
            return Verdict("stable", Outcome.UNKNOWN, f"healthy for {held_s:.0f} s of {self._for_s:g} s")
        return Verdict("stable", Outcome.OK, f"healthy for {held_s:.0f} s ≥ {self._for_s:g} s")

    async def _look(self) -> Verdict:
        seen = await self._world.platform.observe()
        verdict = reverted(seen, self._target, self._uid) or judge_rollout(seen, self._target)
        if self._desired is not None and seen.desired != self._desired:
            self._scaling = True
        self._desired = seen.desired
        if self._scaling and not verdict.ok and not verdict.final:
            return Verdict("stable", Outcome.UNKNOWN, f"scaled meanwhile: {verdict.why}")
        self._scaling = False
        if not verdict.ok:
            return verdict
        for pod in seen.live_pods:
            if pod.restarts > self._restarts.setdefault(pod.uid, pod.restarts):
                return Verdict("stable", Outcome.BREACH, f"{pod.name} restarted")
        health = await judge_health(self._world, self._version)
        if health.outcome is Outcome.BREACH and await self._pods_went(seen):
            return Verdict("stable", Outcome.UNKNOWN, f"pods came or went while they were asked: {health.why}")
        return health

    async def _pods_went(self, seen: Workload) -> bool:
        """Whether pods came or went between the look at them and the probes (D8): one that leaves may not answer."""
        again = await self._world.platform.observe()
        return again.desired != seen.desired or {p.uid for p in again.live_pods} != {p.uid for p in seen.live_pods}


async def judge_health(world: World, version: str) -> Verdict:
    """One round through the Service and of every pod. Where there is no Service, the pods alone answer (R1c)."""
    health = world.profile.health
    routing = await world.platform.routing()
    places = ([routing.service] if routing.service else []) + list(routing.pods)
    if not places:
        return Verdict("health", Outcome.OK, "not probed: the profile names no Service; readiness of the pods counts")
    probes = await asyncio.gather(*(world.prober.get(p, health.path, timeout_s=health.timeout) for p in places))
    verdicts = [judge_traffic(probe, routing, version) for probe in probes]
    for outcome in (Outcome.BREACH, Outcome.UNKNOWN):
        for verdict in verdicts:
            if verdict.outcome is outcome:
                return verdict
    return Verdict("health", Outcome.OK, f"{verdicts[0].why}; {len(routing.pods)} pods healthy each by itself")


def _names(pods: list[Pod]) -> str:
    return ", ".join(f"{p.name} ({p.trouble})" if p.trouble else p.name for p in pods)


def _trouble(pods: list[Pod]) -> str:
    troubled = [p for p in pods if p.trouble]
    return f"; {_names(troubled)}" if troubled else ""
