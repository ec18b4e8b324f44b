"""A platform in memory, as the target that several clients share: it has the state, they have none."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import rfc8785

from codeblue.adapters.local.rollout import Replica, next_moves
from codeblue.model.change import Change, Fence
from codeblue.model.errors import CodeBlueError, Conflict, LeaseLost
from codeblue.model.release import Mark, Owner, Pod, Revision, Standing, Template
from codeblue.ports.clock import Clock

#: How pods are replaced, as the platform's own text.
ROLLING = '{"surge":1}'
AT_ONCE = '{"surge":"all"}'

#: Former templates that are kept.
HISTORY_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the pods of one version do.

    Attributes:
        ready_after_s: from start until the pod is ready; None means never.
        trouble: the reason that the platform gives while it is not ready ("CrashLoopBackOff").
        status: what its health path answers once it listens; a ready pod can answer 503.
        latency_ms: how long an answer takes.
    """

    ready_after_s: float | None = 1.0
    trouble: str = ""
    status: int = 200
    latency_ms: float = 5.0


def memory_template(version: str, *, reference: str = "token-a", image: str = "registry.test/api") -> Template:
    """A template of the platform in memory: an image with a version, and the reference to one secret."""
    release = {"image": f"{image}:{version}", "version": version}
    body = rfc8785.dumps({**release, "reference": reference})
    return Template(
        body=body.decode(),
        release=hashlib.sha256(rfc8785.dumps(release)).hexdigest(),
        exact=hashlib.sha256(body).hexdigest(),
        version=version,
        images=(release["image"],),
    )


@dataclass(slots=True)
class _Pod:
    name: str
    template: Template
    started: float
    born: datetime
    ready_at: float | None
    gone_at: float | None = None
    restarts: int = 0

    def ready(self, at: float) -> bool:
        return self.gone_at is None and self.ready_at is not None and self.ready_at <= at


@dataclass(slots=True)
class _Fault:
    operation: str
    error: CodeBlueError
    accepted: bool


class MemoryCluster:
    """One workload with its controller. Rollouts happen as virtual time passes, at the same moments each time.

    Args:
        clock: what the controller lives by.
        template: what runs at the beginning, ready.
        replicas: how many.
        behaviours: by version; others are ready after a second.
        lag_s: from a change of the specification until the controller sees it.
        grace_s: how long a pod that was told to stop stays.
        progress_deadline_s: after which the controller calls a rollout stalled.
    """

    def __init__(
        self,
        clock: Clock,
        template: Template,
        *,
        replicas: int = 3,
        behaviours: Mapping[str, Behaviour] | None = None,
        name: str = "api",
        lag_s: float = 0.1,
        grace_s: float = 0.5,
        progress_deadline_s: float = 600.0,
    ) -> None:
        self.clock, self.name, self.uid = clock, name, f"uid-{name}"
        self.template, self.desired, self.manager = template, replicas, "deploy"
        self.behaviours = dict(behaviours or {})
        self.epoch, self.marks, self.paused = 0, dict[str, Mark](), False
        self.strategy, self.surged = ROLLING, ""
        self.owners: tuple[Owner, ...] = ()
        self.strangers: tuple[str, ...] = ()
        self.run, self.roomy, self.memory_bytes = "", True, 64 * 1024 * 1024
        self.replaced: set[str] = set()
        self.oom_kills: dict[str, int] = {}
        self.holder: tuple[str, int, int] = ("", 0, 0)
        self.renewed: datetime | None = None
        #: Every change that was accepted, in order: duplicates are counted here, at the target (B3).
        self.accepted: list[Change] = []
        self.version, self.generation, self.observed = 1, 1, 1
        self.revisions = [Revision(1, template, current=True, created=clock.now())]
        self._lag_s, self._grace_s, self._deadline_s = lag_s, grace_s, progress_deadline_s
        self._goal, self._changed, self._time = (template, replicas, ROLLING), -lag_s, clock.monotonic()
        self._faults: list[_Fault] = []
        self._numbers = itertools.count(1)
        self._pods: list[_Pod] = []
        for _ in range(replicas):
            self._start(template, self._time)
            self._pods[-1].ready_at = self._time

    # -- what tests script

    def fail(self, operation: str, error: CodeBlueError, *, accepted: bool = False) -> None:
        """Let the next call of `operation` ("observe", "apply", "renew" …) raise `error`.

        `accepted`: the target does what was asked, and only its answer is lost.
        """
        self._faults.append(_Fault(operation, error, accepted))

    def deploy(self, template: Template) -> None:
        """What a pipeline does: no precondition, no fence."""
        self._force(template, "deploy")

    def scale(self, replicas: int) -> None:
        """What an operator or an autoscaler does."""
        self.desired = replicas
        self._respecified()

    def restart(self, pod: str) -> None:
        """A container of this pod died and was started again; it is ready at once."""
        next(p for p in self._pods if p.name == pod).restarts += 1

    def oom_kill(self, pod: str) -> None:
        """As `restart`, because it was killed for memory."""
        self.restart(pod)
        self.oom_kills[pod] = self.oom_kills.get(pod, 0) + 1

    def behave(self, version: str, behaviour: Behaviour) -> None:
        """From here on pods of `version` behave like this, those that run as well."""
        self.advance()
        self.behaviours[version] = behaviour
        for pod in self._pods:
            if pod.template.version == version:
                after = behaviour.ready_after_s
                pod.ready_at = None if after is None else pod.started + after

    # -- what clients ask for

    def fault(self, operation: str, *, before: bool) -> None:
        """Raise what was scripted for this operation, before it is done or after."""
        for fault in self._faults:
            if fault.operation == operation and fault.accepted is not before:
                self._faults.remove(fault)
                raise fault.error

    def change(self, change: Change, fence: Fence) -> str:
        """Accept one fenced and preconditioned change, whole or not at all. Raises LeaseLost, Conflict."""
        if fence.epoch != self.epoch:
            raise LeaseLost(f"{self.name} carries epoch {self.epoch}, ours is {fence.epoch}.")
        if change.precondition != str(self.version):
            raise Conflict(f"{self.name} is at version {self.version}, the change was made for {change.precondition}.")
        body = json.loads(change.body)
        self.marks.update(decode_marks(body.get("marks", {})))
        if body.get("at_once") and not self.surged:
            self.surged, self.strategy = self.strategy, AT_ONCE
        if "strategy" in body:
            self.surged, self.strategy = "", body["strategy"]
        self.run = body.get("run") or self.run
        if "replace" in body:
            self.replaced.add(body["replace"])
        if "template" in body:
            self._force(_read(body["template"]), "codeblue")
        else:
            self.version += 1
        self.accepted.append(change)
        return f"version {self.version}, generation {self.generation}"

    def stamp(self, epoch: int) -> None:
        """Write a lease's epoch on the workload."""
        self.epoch = epoch
        self.version += 1

    def pods(self) -> tuple[Pod, ...]:
        """All pods at this moment, those on their way out included."""
        self.advance()
        return tuple(self._view(p) for p in self._pods)

    def behaviour(self, template_version: str) -> Behaviour:
        """What pods of a version do."""
        return self.behaviours.get(template_version, Behaviour())

    @property
    def stalled(self) -> str:
        """The controller's message when a rollout made no progress within its deadline."""
        idle = self.clock.monotonic() - max([self._changed, *(p.ready_at or 0.0 for p in self._pods)])
        done = all(p.template.exact == self.template.exact and p.ready(self._time) for p in self._pods)
        if done or idle <= self._deadline_s:
            return ""
        return f"no progress for {idle:.0f} s of {self._deadline_s:.0f}"

    # -- the controller

    def advance(self) -> None:
        """Do everything that the controller and the pods did until now."""
        now = self.clock.monotonic()
        while True:
            if self._step(self._time):
                continue
            moments = [self._changed + self._lag_s, *(m for p in self._pods for m in (p.ready_at, p.gone_at) if m)]
            later = [m for m in moments if self._time < m <= now]
            if not later:
                break
            self._time = min(later)
        self._time = now

    def _step(self, at: float) -> bool:
        if self.observed != self.generation and at >= self._changed + self._lag_s and not self.paused:
            self.observed, self._goal = self.generation, (self.template, self.desired, self.strategy)
        self._pods = [p for p in self._pods if p.gone_at is None or p.gone_at > at]
        template, desired, strategy = self._goal
        replicas = [
            Replica(p.name, p.template.exact == template.exact and f"uid-{p.name}" not in self.replaced, p.ready(at))
            for p in self._pods
            if p.gone_at is None
        ]
        moves = next_moves(desired, desired if strategy == AT_ONCE else 1, replicas)
        for pod in self._pods:
            if pod.name in moves.stop:
                pod.gone_at = at + self._grace_s
        for _ in range(moves.start):
            self._start(template, at)
        return not moves.none

    def _start(self, template: Template, at: float) -> None:
        after = self.behaviour(template.version).ready_after_s
        name = f"{self.name}-{template.exact[:8]}-{next(self._numbers)}"
        self._pods.append(_Pod(name, template, at, self.clock.now(), None if after is None else at + after))

    def _view(self, pod: _Pod) -> Pod:
        ready = pod.ready(self._time)
        trouble = "" if ready else self.behaviour(pod.template.version).trouble
        return Pod(
            name=pod.name,
            uid=f"uid-{pod.name}",
            template=pod.template.exact,
            release=pod.template.release,
            images=pod.template.images,
            ready=ready,
            terminating=pod.gone_at is not None or f"uid-{pod.name}" in self.replaced,
            restarts=3 if trouble else pod.restarts,
            trouble=trouble,
            running_since=pod.born,
        )

    def _force(self, template: Template, manager: str) -> None:
        self.manager = manager
        if template.exact == self.template.exact:
            self.version += 1
            return
        self.template = template
        number = self.revisions[0].number + 1
        former = [replace(r, current=False) for r in self.revisions if r.template.exact != template.exact]
        self.revisions = [Revision(number, template, current=True, created=self.clock.now()), *former[:HISTORY_LIMIT]]
        self._respecified()

    def _respecified(self) -> None:
        self.advance()
        self.version += 1
        self.generation += 1
        self._changed = self.clock.monotonic()


def encode_marks(marks: Mapping[str, Mark]) -> dict[str, list[str]]:
    """Marks as JSON data."""
    return {r: [m.standing.value, m.at.isoformat(), m.by, m.why] for r, m in marks.items()}


def decode_marks(data: Mapping[str, list[str]]) -> dict[str, Mark]:
    """The reverse of `encode_marks`."""
    return {
        release: Mark(Standing(standing), datetime.fromisoformat(at).astimezone(UTC), by, why)
        for release, (standing, at, by, why) in data.items()
    }


def _read(body: str) -> Template:
    data = json.loads(body)
    image, _, version = data["image"].rpartition(":")
    return memory_template(version, reference=data["reference"], image=image)
