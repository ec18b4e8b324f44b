"""Recovery verification (R39-R46): what the service offers is asked, and any failure makes the verdict FAILED (D49)."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codeblue.model.errors import Temporary
from codeblue.model.health import Outcome, Probe
from codeblue.model.verdict import Verdict
from codeblue.profile.model import Profile
from codeblue.runbooks.rollout import Stable, judge_rollout, judge_traffic
from codeblue.runbooks.step import Check, Runbook, Step, World

#: Limit of one operator command; the document names none (D11).
COMMAND_S = 60.0

_COMMANDS = {
    "database_health": ("R40", "Ask the database for its health"),
    "external_health": ("R41", "Ask the external APIs"),
    "smoke": ("R43", "Run the sample diagnostic workflow"),
    "verify_rollback": ("R46", "Let the service verify the rollback"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to choose: it is about what runs now."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the service offers at this moment, so that what is left out is said and not forgotten.

    Attributes:
        template: `Template.exact` that is being verified.
        left_out: one line for each check that the service gives no means for.
    """

    template: str
    release: str
    version: str
    label: str
    usage: bool
    left_out: tuple[str, ...]


class Recovery(Runbook[Inputs]):
    """See the module."""

    name = "recovery"
    title = "Recovery verification"
    changes = False
    safe_state = "Nothing was changed."

    def deadline_s(self, profile: Profile) -> float:
        return 300.0 + profile.verify.stable_for

    async def resolve(self, world: World, request: Request) -> Inputs:
        seen = await world.platform.observe()
        contract = world.profile.contract
        usage = await world.platform.usage()
        left_out = [f"{title.lower()}: contract.commands.{name} is not in the profile"
                    for name, (_, title) in _COMMANDS.items() if not world.commands.offers(name)]  # fmt: skip
        left_out += [
            f"health of {what}: contract.health_{key} is not in the profile"
            for what, key in (("the database", "database"), ("Redis", "redis"), ("the AI services", "ai_services"))
            if getattr(contract, f"health_{key}") is None
        ]
        if not _flags_can_be_asked(world):
            left_out.append(
                "flags of every process: the profile needs flags, and contract.processes or commands.flags_status"
            )
        if usage is None:
            left_out.append("resource use: the platform offers no metrics")
        if contract.metrics is None:
            left_out.append("error rate: contract.metrics is not in the profile")
        return Inputs(
            template=seen.template.exact,
            release=seen.template.release,
            version=seen.template.version,
            label=seen.template.label,
            usage=usage is not None,
            left_out=tuple(left_out),
        )

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        profile, contract = world.profile, world.profile.contract
        steps: list[Step] = [Pods(world, inputs.template)]
        paths = {
            "health-api": profile.health.path,
            "health-database": contract.health_database,
            "health-redis": contract.health_redis,
            "health-ai-services": contract.health_ai_services,
        }
        steps += [Endpoint(world, id_, path, inputs.version) for id_, path in paths.items() if path is not None]
        steps += [Command(world, name, title) for name, (_, title) in _COMMANDS.items() if world.commands.offers(name)]
        if _flags_can_be_asked(world):
            steps.append(Flags(world))
        steps.append(Latency(world))
        if contract.metrics is not None:
            steps.append(ErrorRate(world, contract.metrics))
        if inputs.usage:
            steps.append(Memory(world))
        if profile.verify.stable_for > 0:
            steps.append(Stable(world, inputs.template, inputs.version))
        return steps

    def load(self, data: dict[str, Any]) -> Inputs:
        return Inputs(**{**data, "left_out": tuple(data["left_out"])})

    def plan(self, inputs: Inputs) -> list[str]:
        return [f"verifies {inputs.label}", *(f"left out: {line}" for line in inputs.left_out)]


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
    """R42: every worker process of every pod reports the expected value of every flag (D27)."""

    id, title, every_s, limit_s = "flags", "Compare the flags of every process with the expected state", 1.0, 15.0

    def __init__(self, world: World) -> None:
        self._world = world

    async def probe(self) -> Verdict:
        answers = await self._answers()
        if isinstance(answers, Verdict):
            return answers
        asked = 0
        for place, body in answers.items():
            processes = _processes(body)
            if not processes:
                return Verdict(self.id, Outcome.UNKNOWN, f"{place} reports no process")
            for process in processes:
                asked += 1
                wrong = self._compare(process)
                if wrong is not None:
                    return wrong
        if not asked:
            return Verdict(self.id, Outcome.UNKNOWN, "there is no pod to ask")
        return Verdict(self.id, Outcome.OK, f"{len(self._world.profile.flags)} flags as expected in {asked} processes")

    async def _answers(self) -> dict[str, bytes] | Verdict:
        """What every pod says of its processes, over HTTP or by an operator command."""
        path, answers = self._world.profile.contract.processes, dict[str, bytes]()
        if path is None:
            for result in await self._world.commands.everywhere("flags_status", timeout_s=COMMAND_S):
                if result.outcome is not Outcome.OK:
                    return Verdict(self.id, Outcome.UNKNOWN, f"flags_status: {result.detail}")
                answers[f"flags_status ({result.detail})"] = result.output
            return answers
        for place in (await self._world.platform.routing()).pods:
            timeout_s = self._world.profile.health.timeout
            probe, body = await self._world.prober.read(place, path, timeout_s=timeout_s)
            if probe.outcome is not Outcome.OK:
                return Verdict(self.id, probe.outcome, f"{place.name}: {probe.detail}")
            answers[place.name] = body
        return answers

    def _compare(self, process: dict[str, Any]) -> Verdict | None:
        """The first flag of a process that is not as expected; None when all are."""
        if process.get("live") is False:
            return Verdict(self.id, Outcome.UNKNOWN, f"{_name(process)} does not report any more")
        for flag, expected in self._world.profile.flags.items():
            value = _flag(process, flag)
            if value is None:
                return Verdict(self.id, Outcome.UNKNOWN, f"{_name(process)} does not report {flag}")
            if isinstance(value, bool) is not isinstance(expected, bool) or value != expected:  # 1 is not true
                said = json.dumps(value)[:20]
                return Verdict(self.id, Outcome.BREACH, f"{_name(process)}: {flag} is {said}, expected {expected}")
        return None


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
            probe, body = await self._world.prober.read(place, self._path, timeout_s=timeout_s)
            if probe.outcome is not Outcome.OK:
                return Verdict(self.id, Outcome.UNKNOWN, f"{place.name}: {probe.detail}")
            found[place.name] = count_requests(body.decode("utf-8", "replace"))
        return found or Verdict(self.id, Outcome.UNKNOWN, "there is no pod to ask")


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


def _processes(body: bytes) -> list[dict[str, Any]]:
    try:
        data = json.loads(body)
    except ValueError:
        return []
    data = data.get("data", data) if isinstance(data, dict) else None  # a command wraps it, the HTTP answer does not
    processes = data.get("processes") if isinstance(data, dict) else None
    return [p for p in processes if isinstance(p, dict)] if isinstance(processes, list) else []


def _flags_can_be_asked(world: World) -> bool:
    offered = world.profile.contract.processes is not None or world.commands.offers("flags_status")
    return offered and bool(world.profile.flags)


def _flag(process: dict[str, Any], flag: str) -> Any:
    entry = (process.get("flags") or {}).get(flag)
    return entry.get("value") if isinstance(entry, dict) else entry


def _name(process: dict[str, Any]) -> str:
    return f"{process.get('pod', 'pod')} process {process.get('pid', '?')}"
