"""What a service that keeps the contract (R59, R60, R62) can be asked, one check each (R39-R46)."""

import math
from collections.abc import Mapping

from codeblue.model.errors import Temporary
from codeblue.model.flag import off
from codeblue.model.health import Outcome, Probe
from codeblue.model.verdict import Verdict
from codeblue.record.flags import FLAG_KINDS, prior_values
from codeblue.rules.service import ServiceTriggers
from codeblue.rules.wellness import proof_of, told
from codeblue.rules.windows import dated
from codeblue.runbooks.processes import census, judge
from codeblue.runbooks.rollout import judge_rollout, judge_traffic
from codeblue.runbooks.step import Check, World

#: Limit of one operator command; the document names none (D11).
COMMAND_S = 60.0

#: Bytes of a page of metrics that are read at most.
PAGE_LIMIT = 4 * 1024 * 1024


class Pods(Check):
    """Every pod runs the template in force and is ready."""

    id, title, limit_s = "pods", "Check that every pod runs the template and is ready", 30.0

    def __init__(self, world: World, template: str) -> None:
        self._world, self._template = world, template

    async def probe(self) -> Verdict:
        return judge_rollout(await self._world.platform.observe(), self._template)


class Endpoint(Check):
    """R39: one of the health endpoints, through the Service; asked three times at most."""

    every_s, attempts, limit_s = 2.0, 3, 30.0

    def __init__(self, world: World, id_: str, path: str, version: str) -> None:
        self.id, self.title = id_, f"GET {path} through the Service"
        self._world, self._path, self._version = world, path, version

    async def probe(self) -> Verdict:
        routing = await self._world.platform.routing()
        if routing.service is None:
            return Verdict(
                self.id, Outcome.OK, "not probed: the profile names no Service; readiness of the pods counts"
            )
        timeout_s = self._world.profile.health.timeout
        probe = await self._world.prober.get(routing.service, self._path, timeout_s=timeout_s)
        return judge_traffic(probe, routing, self._version)


class Command(Check):
    """R40, R41, R43: an operator command of the service; its exit code is the verdict."""

    attempts, limit_s = 1, COMMAND_S

    def __init__(self, world: World, name: str, title: str) -> None:
        self.id, self.title = name.replace("_", "-"), title
        self._world, self._name = world, name

    async def probe(self) -> Verdict:
        result = await self._world.commands.run(self._name, timeout_s=COMMAND_S)
        return Verdict(self.id, result.outcome, result.detail)


class Flags(Check):
    """R42: every worker process of every pod reports the expected value of every flag (D27).

    Expected is what the profile says, and off for a flag that was switched off and not restored (R20).
    """

    id, title, every_s, limit_s = "flags", "Compare the flags of every process with the expected state", 1.0, 15.0

    def __init__(self, world: World) -> None:
        self._world = world

    async def probe(self) -> Verdict:
        record, flags = self._world.record, self._world.profile.flags
        switched_off = prior_values(record.read(kinds=FLAG_KINDS))
        expected = {name: off(value) if name in switched_off else value for name, value in flags.items()}
        return judge(self.id, await census(self._world), expected)


class Latency(Check):
    """R44: timed requests; each must succeed (D50), and the 95th percentile stays below the limit."""

    id, attempts, limit_s = "latency", 1, 120.0

    def __init__(self, world: World) -> None:
        verify = world.profile.verify
        self._world = world
        self.title = f"Time {verify.latency_samples} health requests, p95 ≤ {verify.latency_p95:g} s"

    async def probe(self) -> Verdict:
        verify, health = self._world.profile.verify, self._world.profile.health
        routing = await self._world.platform.routing()
        if routing.service is None:
            return Verdict(self.id, Outcome.OK, "not timed: the profile names no Service")
        probes = [
            await self._world.prober.get(routing.service, health.path, timeout_s=health.timeout)
            for _ in range(verify.latency_samples)
        ]
        return judge_latency(probes, verify.latency_p95)


class ErrorRate(Check):
    """R46: the share of 5xx among the requests of a window that begins now, summed over all pods."""

    id, limit_s, every_s = "error-rate", 60.0, 2.0
    #: Below so many requests in the window there is nothing to divide.
    MINIMUM = 10

    def __init__(self, world: World, path: str) -> None:
        self._world, self._path = world, path
        self.title = f"Measure the error rate from now on, ≤ {world.profile.verify.error_rate:.0%}"
        self._before: dict[str, tuple[float, float]] | None = None

    async def probe(self) -> Verdict:
        now = await self._scrape()
        if isinstance(now, Verdict):
            return now
        if self._before is None or not _goes_on(self._before, now):
            self._before = now
            await self._traffic()
            return Verdict(self.id, Outcome.UNKNOWN, "the window began")
        total = sum(now[pod][0] - self._before[pod][0] for pod in now)
        failed = sum(now[pod][1] - self._before[pod][1] for pod in now)
        if total < self.MINIMUM:
            await self._traffic()
            return Verdict(self.id, Outcome.UNKNOWN, f"{total:.0f} requests in the window < {self.MINIMUM}")
        limit = self._world.profile.verify.error_rate
        sum_ = f"{failed:.0f} of {total:.0f} requests failed = {failed / total:.1%}"
        if failed / total > limit:
            return Verdict(self.id, Outcome.BREACH, f"{sum_} > {limit:.0%}", final=True)
        return Verdict(self.id, Outcome.OK, f"{sum_} ≤ {limit:.0%}")

    async def _traffic(self) -> None:
        """A quiet night has no traffic to measure: our own requests are the least that goes through."""
        routing = await self._world.platform.routing()
        if routing.service is None:
            return
        health = self._world.profile.health
        for _ in range(self.MINIMUM):
            await self._world.prober.get(routing.service, health.path, timeout_s=health.timeout)

    async def _scrape(self) -> dict[str, tuple[float, float]] | Verdict:
        routing = await self._world.platform.routing()
        found: dict[str, tuple[float, float]] = {}
        for place in routing.pods:
            timeout_s = self._world.profile.health.timeout
            probe, body = await self._world.prober.read(place, self._path, timeout_s=timeout_s, limit=PAGE_LIMIT)
            if probe.outcome is not Outcome.OK:
                return Verdict(self.id, Outcome.UNKNOWN, f"{place.name}: {probe.detail}")
            found[place.name] = count_requests(body.decode("utf-8", "replace"))
        return found or Verdict(self.id, Outcome.UNKNOWN, "there is no pod to ask")


class Signals(Check):
    """The profile's own triggers, judged over a window that begins now: not one of them may be over its limit (R5-R8).

    One that has nothing to judge, as at night, says so and fails nothing. Where no pod's requests could be read, it is
    unknown, and not healthy (B5).
    """

    id = "signals"

    def __init__(self, world: World) -> None:
        triggers = proof_of(world.profile.triggers)
        self._world, self._measures = world, ServiceTriggers(triggers)
        self._window_s = max(triggers.errors.window, triggers.latency.window, triggers.ai.window)
        self.every_s = min(world.profile.signals.interval, self._window_s / 3)
        self.limit_s = 3 * self._window_s
        self.title = f"Watch the signals for {self._window_s:g} s: nothing over the limit of its trigger"
        self._began_s: float | None = None

    async def probe(self) -> Verdict:
        now_s = self._world.clock.monotonic()
        verdict = await self.look()
        if self._began_s is None or verdict.outcome is Outcome.UNKNOWN:
            self._began_s = now_s
        elapsed_s = now_s - self._began_s
        if verdict.ok and elapsed_s < self._window_s:
            return Verdict(self.id, Outcome.UNKNOWN, f"watched for {elapsed_s:.0f} s of {self._window_s:g} s")
        return verdict

    async def look(self) -> Verdict:
        """One look: what is over its limit, or cannot be seen, or else what there is to say."""
        routing = await self._world.platform.routing()
        sampling = dated(await self._world.signals.sample(routing.pods))
        verdicts = self._measures.observe(None, sampling)
        over = [v for v in verdicts if v.outcome is Outcome.BREACH]
        if over:
            return Verdict(self.id, Outcome.BREACH, told(over))
        if sampling.unknown and all(r.requests is None for r in sampling.readings):
            source, why = next(iter(sampling.unknown.items()))
            return Verdict(self.id, Outcome.UNKNOWN, f"{source}: {why}")
        return Verdict(self.id, Outcome.OK, told(verdicts))


class Memory(Check):
    """R45: the working set of every pod against its limit."""

    id, title, every_s, limit_s = "memory", "Compare the memory of every pod with its limit", 2.0, 60.0

    def __init__(self, world: World) -> None:
        self._world = world

    async def probe(self) -> Verdict:
        usage = await self._world.platform.usage()
        limit = self._world.profile.verify.memory
        if not usage:
            raise Temporary("the metrics have no pod yet", delay_s=2.0)
        ratios = {u.pod: u.memory_bytes / u.memory_limit for u in usage if u.memory_limit}
        if not ratios:
            most = max(u.memory_bytes for u in usage)
            return Verdict(self.id, Outcome.OK, f"no pod has a memory limit; the largest uses {most / 2**20:.0f} MiB")
        pod = max(ratios, key=lambda name: ratios[name])
        said = f"{pod} uses {ratios[pod]:.0%} of its limit"
        if ratios[pod] > limit:
            return Verdict(self.id, Outcome.BREACH, f"{said} > {limit:.0%}")
        return Verdict(self.id, Outcome.OK, f"{said} ≤ {limit:.0%}")


def judge_latency(probes: list[Probe], limit_s: float) -> Verdict:
    """The verdict over timed requests: all must succeed, p95 by nearest rank."""
    for probe in probes:
        if probe.outcome is not Outcome.OK:
            return Verdict("latency", probe.outcome, f"{probe.via}: {probe.detail}")
    ordered = sorted(p.latency_ms for p in probes)
    p95_ms = ordered[-(-len(ordered) * 95 // 100) - 1]
    said = f"p95 of {len(ordered)} requests is {p95_ms:.0f} ms"
    if p95_ms > limit_s * 1000:
        return Verdict("latency", Outcome.BREACH, f"{said} > {limit_s * 1000:.0f} ms")
    return Verdict("latency", Outcome.OK, f"{said} ≤ {limit_s * 1000:.0f} ms")


def count_requests(text: str) -> tuple[float, float]:
    """(requests, of which 5xx) from a Prometheus text: the sums of `http_requests_total` and of its status 5xx."""
    total = failed = 0.0
    for line in text.splitlines():
        if not line.startswith("http_requests_total{"):
            continue
        labels, _, value = line.rpartition("} ")
        try:
            count = float(value.split()[0])
        except (ValueError, IndexError):
            continue
        if not 0 <= count < math.inf:
            continue
        total += count
        if 'status="5' in labels:
            failed += count
    return total, failed


def _goes_on(before: Mapping[str, tuple[float, float]], now: Mapping[str, tuple[float, float]]) -> bool:
    """Whether two scrapes bound one window: the same pods, and no counter that began anew."""
    return set(now) == set(before) and all(now[p][0] >= before[p][0] and now[p][1] >= before[p][1] for p in now)
