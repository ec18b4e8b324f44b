"""In-memory adapters for tests of runbooks and rules: they pass the same contract suites as the real ones."""

import json
from collections.abc import Mapping

from codeblue.model.change import Change, Fence, LeaseView, Receipt
from codeblue.model.errors import LeaseHeld, LeaseLost
from codeblue.model.release import Mark, Pod, Revision, Template, Workload
from codeblue.ports.platform import Overlay, Place, PodFacts, Room, Routing, Usage
from codeblue.testing.memory_cluster import MemoryCluster, encode_marks, memory_template

_SERVICE = Place("service", "memory://service")


class MemoryPlatform:
    """Keeps `ports.platform.Platform`; a client without state of its own of a `MemoryCluster`."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster

    @property
    def target(self) -> str:
        """The workload's name for messages."""
        return f"memory workload {self.cluster.name}"

    async def identity(self) -> str:
        """See `Platform.identity`."""
        return "memory-user"

    async def observe(self) -> Workload:
        """See `Platform.observe`."""
        at = self.cluster
        at.fault("observe", before=True)
        pods = at.pods()
        live = [p for p in pods if not p.terminating]
        return Workload(
            name=at.name,
            uid=at.uid,
            version=str(at.version),
            generation=at.generation,
            observed_generation=at.observed,
            paused=at.paused,
            desired=at.desired,
            total=len(live),
            updated=sum(p.template == at.template.exact for p in live),
            available=sum(p.ready for p in live),
            template=at.template,
            epoch=at.epoch,
            marks=dict(at.marks),
            owners=at.owners,
            run=at.run,
            template_manager=at.manager,
            surged=at.surged,
            strategy=at.strategy,
            stalled=at.stalled,
            pods=pods,
        )

    async def history(self) -> tuple[Revision, ...]:
        """See `Platform.history`."""
        self.cluster.fault("history", before=True)
        return tuple(self.cluster.revisions)

    async def overlay(self, wanted: Template, current: Template) -> Overlay:
        """See `Platform.overlay`."""
        former, today = json.loads(wanted.body)["reference"], json.loads(current.body)["reference"]
        image = wanted.images[0].removesuffix(f":{wanted.version}")
        template = memory_template(wanted.version, reference=today, image=image)
        return Overlay(template, (f"{former!r} → {today!r}, today's reference",) if former != today else ())

    def replace_template(
        self, seen: Workload, wanted: Template, marks: Mapping[str, Mark], *, at_once: bool, run: str
    ) -> Change:
        """See `Platform.replace_template`."""
        body = {"template": wanted.body, "marks": encode_marks(marks), "at_once": at_once, "run": run}
        summary = f"template {seen.template.label} → {wanted.label}{', all replicas at once' if at_once else ''}"
        return self._change("template", summary, seen, body)

    def restore_strategy(self, seen: Workload) -> Change | None:
        """See `Platform.restore_strategy`."""
        if not seen.surged:
            return None
        return self._change("strategy", f"strategy back to {seen.surged}", seen, {"strategy": seen.surged})

    def mark(self, seen: Workload, marks: Mapping[str, Mark]) -> Change | None:
        """See `Platform.mark`."""
        new = {r: m for r, m in marks.items() if r not in seen.marks or seen.marks[r].standing != m.standing}
        if not new:
            return None
        summary = ", ".join(f"{release[:10]} is {mark.standing}" for release, mark in new.items())
        return self._change("marks", summary, seen, {"marks": encode_marks(new)})

    def replace_pod(self, seen: Workload, pod: Pod) -> Change | None:
        """See `Platform.replace_pod`."""
        if pod.uid not in {p.uid for p in seen.live_pods}:
            return None
        return self._change("pod", f"replace {pod.name}", seen, {"replace": pod.uid})

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `Platform.apply`."""
        self.cluster.fault("apply", before=True)
        accepted = self.cluster.change(change, fence)
        self.cluster.fault("apply", before=False)
        return Receipt(change=change.summary, accepted=accepted, at=self.cluster.clock.now())

    async def room(self, wanted: Template, replicas: int) -> Room:
        """See `Platform.room`; memory has room for everything, unless a test says otherwise."""
        if not self.cluster.roomy:
            return Room(fits=False, why=f"{replicas} more of {wanted.label} do not fit")
        return Room(fits=True, why=f"{replicas} more of {wanted.label} fit: nothing is limited in memory")

    async def routing(self) -> Routing:
        """See `Platform.routing`."""
        self.cluster.fault("routing", before=True)
        live = [p for p in self.cluster.pods() if not p.terminating]
        return Routing(
            service=_SERVICE,
            pods=tuple(Place(f"pod/{p.name}", f"memory://{p.name}") for p in live),
            backends=(*(p.name for p in live if p.ready), *self.cluster.strangers),
            strangers=self.cluster.strangers,
        )

    async def usage(self) -> tuple[Usage, ...] | None:
        """See `Platform.usage`; each pod uses the same."""
        live = [p for p in self.cluster.pods() if not p.terminating]
        self.cluster.fault("usage", before=True)
        return tuple(Usage(p.name, 0.05, self.cluster.memory_bytes, 256 * 1024 * 1024) for p in live)

    async def facts(self) -> tuple[PodFacts, ...]:
        """See `Platform.facts`; kills are what `MemoryCluster.oom_kill` made of them."""
        self.cluster.fault("facts", before=True)
        live = [p for p in self.cluster.pods() if not p.terminating]
        limit, used = 256 * 1024 * 1024, self.cluster.memory_bytes
        return tuple(PodFacts(p.name, p.restarts, self.cluster.oom_kills.get(p.name, 0), used, limit) for p in live)

    async def close(self) -> None:
        """See `Platform.close`."""

    def _change(self, kind: str, summary: str, seen: Workload, body: Mapping[str, object]) -> Change:
        return Change(kind, self.target, summary, seen.version, json.dumps(body, sort_keys=True))


class MemoryLease:
    """Keeps `ports.lease.Lease` beside the workload of a `MemoryCluster`."""

    def __init__(self, cluster: MemoryCluster, *, duration_s: float = 15.0) -> None:
        self.cluster, self.duration_s = cluster, duration_s

    async def view(self) -> LeaseView | None:
        """See `Lease.view`."""
        self.cluster.fault("view", before=True)
        holder, epoch, _ = self.cluster.holder
        return LeaseView(holder, epoch, self.cluster.renewed, self.duration_s) if holder else None

    async def acquire(self, holder: str, *, predecessor: str = "") -> Fence:
        """See `Lease.acquire`."""
        self.cluster.fault("acquire", before=True)
        clock = self.cluster.clock
        watched, since = self.cluster.holder, clock.monotonic()
        while True:
            now = self.cluster.holder
            if now[0] in ("", holder, predecessor):
                if watched[0] not in ("", holder, predecessor):
                    raise LeaseHeld(f"{watched[0]} acted until a moment ago.", remedy="Decide again.")
                return self._take(holder)
            if now != watched:
                raise LeaseHeld(
                    f"{now[0]} acts on {self.cluster.name} (epoch {now[1]}); it renewed while we watched.",
                    remedy="Let its run finish, or abort it there.",
                )
            if clock.monotonic() - since > self.duration_s:
                return self._take(holder)
            await clock.sleep(self.duration_s / 10)

    async def renew(self, fence: Fence) -> None:
        """See `Lease.renew`."""
        self.cluster.fault("renew", before=True)
        holder, epoch, beat = self.cluster.holder
        if (holder, epoch) != (fence.holder, fence.epoch):
            raise LeaseLost(f"The lease of {self.cluster.name} is at epoch {epoch}, ours was {fence.epoch}.")
        self._write(holder, epoch, beat + 1)

    async def release(self, fence: Fence) -> None:
        """See `Lease.release`."""
        holder, epoch, beat = self.cluster.holder
        if (holder, epoch) == (fence.holder, fence.epoch):
            self._write("", epoch, beat + 1)

    def _take(self, holder: str) -> Fence:
        epoch = max(self.cluster.holder[1], self.cluster.epoch) + 1
        self._write(holder, epoch, 0)
        self.cluster.stamp(epoch)
        return Fence(holder, epoch, "memory")

    def _write(self, holder: str, epoch: int, beat: int) -> None:
        self.cluster.holder, self.cluster.renewed = (holder, epoch, beat), self.cluster.clock.now()
