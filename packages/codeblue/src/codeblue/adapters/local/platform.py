"""The platform port on a local workload."""

import asyncio
import json
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from codeblue.adapters.local import proc, store
from codeblue.adapters.local.files import Layout
from codeblue.adapters.local.state import State, marks_to
from codeblue.adapters.local.status import PodStatus, Status, read_status
from codeblue.adapters.local.supervisor import Supervisor, forwarding
from codeblue.adapters.local.template import overlay, parse, why_not_runnable
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Unreachable
from codeblue.model.release import Mark, Pod, Revision, Template, Workload
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Overlay, Place, PodFacts, Room, Routing, Usage

T = TypeVar("T")

#: Seconds that one call may take.
CALL_S = 10.0

#: Seconds between the two looks at a process that its use of the processor is the difference of.
_SAMPLE_S = 0.1


class LocalPlatform:
    """Keeps `ports.platform.Platform` for the workload in a directory (docs/local-platform.md).

    Args:
        directory: where it was started.
        clock: for waiting and for the times of receipts.
        report_s: how long to wait for a report of a controller that is just being restarted.
    """

    def __init__(self, directory: Path, clock: Clock, *, report_s: float = 5.0) -> None:
        self._layout, self._clock, self._report_s = Layout(directory), clock, report_s
        self._supervisor = Supervisor(self._layout)

    @property
    def target(self) -> str:
        """The workload by its directory, which is what a message needs."""
        return f"local workload in {self._layout.directory}"

    async def identity(self) -> str:
        """The owner of the files that this process may write: the user by the kernel, not by the environment."""
        return pwd.getpwuid(os.getuid()).pw_name

    async def observe(self) -> Workload:
        """See `Platform.observe`. A report that the controller did not write just now is no observation."""
        status = await self._status()
        state = await self._call(lambda: store.load(self._layout))
        pods = tuple(_pod(p, ends=p.uid in state.replaced) for p in status.pods)
        live = [p for p in pods if not p.terminating]
        return Workload(
            name=state.name,
            uid=state.uid,
            version=str(state.version),
            generation=state.generation,
            observed_generation=status.observed,
            paused=False,
            desired=state.desired,
            total=len(live),
            updated=sum(p.template == state.template.exact for p in live),
            available=sum(p.ready for p in live),
            template=state.template,
            epoch=state.epoch,
            marks=state.marks,
            template_manager=state.manager,
            surged=state.surged,
            strategy=state.strategy,
            stalled=status.stalled,
            pods=pods,
        )

    async def history(self) -> tuple[Revision, ...]:
        """See `Platform.history`."""
        return await self._call(lambda: _revisions(store.load(self._layout)))

    async def overlay(self, wanted: Template, current: Template) -> Overlay:
        """See `Platform.overlay`."""
        return await self._call(lambda: overlay(wanted, current))

    def replace_template(
        self, seen: Workload, wanted: Template, marks: Mapping[str, Mark], *, at_once: bool, run: str
    ) -> Change:
        """See `Platform.replace_template`."""
        body = {"template": wanted.body, "marks": marks_to(marks), "at_once": at_once, "run": run}
        summary = f"template {seen.template.label} → {wanted.label}{', all replicas at once' if at_once else ''}"
        return self._change("template", summary, seen, body)

    def restore_strategy(self, seen: Workload) -> Change | None:
        """See `Platform.restore_strategy`."""
        if not seen.surged:
            return None
        return self._change("strategy", f"strategy back to {seen.surged}", seen, {"strategy": seen.surged})

    def mark(self, seen: Workload, marks: Mapping[str, Mark]) -> Change | None:
        """See `Platform.mark`. A standing that is there already is not written again for a newer reason."""
        new = {r: m for r, m in marks.items() if r not in seen.marks or seen.marks[r].standing != m.standing}
        if not new:
            return None
        summary = ", ".join(f"{release[:10]} is {mark.standing}" for release, mark in new.items())
        return self._change("marks", summary, seen, {"marks": marks_to(new)})

    def replace_pod(self, seen: Workload, pod: Pod) -> Change | None:
        """See `Platform.replace_pod`: another replica is started first, as in a rollout."""
        if pod.uid not in {p.uid for p in seen.live_pods}:
            return None
        return self._change("pod", f"replace {pod.name}", seen, {"replace": pod.uid})

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `Platform.apply`. Epoch and version are tested under the lock of the state that the change goes into."""
        at = self._clock.now()
        after = await self._call(lambda: store.edit(self._layout, lambda state: state.with_change(change, fence, at)))
        accepted = f"version {after.version}, generation {after.generation}"
        return Receipt(change=change.summary, accepted=accepted, at=self._clock.now())

    async def room(self, wanted: Template, replicas: int) -> Room:
        """See `Platform.room`: the memory that the kernel calls available against what a replica uses now."""
        usage = await self.usage()
        available = await self._call(proc.available_bytes)
        if not usage or available is None:
            return Room(None, "no replica runs whose memory could be measured" if not usage else "no MemAvailable")
        each = max(u.memory_bytes for u in usage)
        needed = each * replicas
        sign = "≤" if needed <= available else ">"
        why = f"{replicas} × {each >> 20} MiB = {needed >> 20} MiB {sign} {available >> 20} MiB available"
        return Room(needed <= available, why)

    async def routing(self) -> Routing:
        """See `Platform.routing`. A stranger is a program that holds the service's port in place of the forwarder."""
        status = await self._status()
        state = await self._call(lambda: store.load(self._layout))
        programs = await self._call(self._supervisor.programs)
        live = [p for p in status.pods if not p.terminating]
        ours = await self._call(lambda: forwarding(self._layout, programs))
        strangers = () if ours or not await _listens(state.service_port) else (f"127.0.0.1:{state.service_port}",)
        return Routing(
            service=Place("service", f"http://127.0.0.1:{state.service_port}"),
            pods=tuple(Place(f"pod/{p.name}", f"http://127.0.0.1:{p.port}") for p in live),
            backends=(*(p.name for p in live if p.ready and ours), *strangers),
            strangers=strangers,
        )

    async def usage(self) -> tuple[Usage, ...] | None:
        """See `Platform.usage`: of each replica's whole process tree, from /proc."""
        live = [p for p in (await self._status()).pods if p.pid and not p.terminating]
        before = await self._call(lambda: _cpu(live))
        started = self._clock.monotonic()
        await self._clock.sleep(_SAMPLE_S)
        after = await self._call(lambda: _cpu(live))
        elapsed = max(self._clock.monotonic() - started, _SAMPLE_S)
        sizes = await self._call(lambda: {p.name: proc.memory_bytes(proc.tree(p.pid)) for p in live})
        return tuple(
            Usage(p.name, max(0.0, after[p.name] - before[p.name]) / elapsed, sizes[p.name], None)
            for p in live
            if sizes[p.name]
        )

    async def facts(self) -> tuple[PodFacts, ...]:
        """See `Platform.facts`. There is no limit of memory here, and a process that was killed does not show by whom:
        both are unknown."""
        live = [p for p in (await self._status()).pods if not p.terminating]
        sizes = await self._call(lambda: {p.name: proc.memory_bytes(proc.tree(p.pid)) for p in live if p.pid})
        return tuple(PodFacts(p.name, p.restarts, memory_bytes=sizes.get(p.name) or None) for p in live)

    async def close(self) -> None:
        """See `Platform.close`; there is nothing to release."""

    def _change(self, kind: str, summary: str, seen: Workload, body: Mapping[str, object]) -> Change:
        return Change(kind, self.target, summary, seen.version, json.dumps(body, sort_keys=True))

    async def _status(self) -> Status:
        """A report of now. Raises NotFound, Forbidden; Unreachable when the controller gives none."""
        await self._call(lambda: store.load(self._layout))
        deadline = self._clock.monotonic() + self._report_s
        while True:
            status = await self._call(lambda: read_status(self._layout))
            if status is not None and status.fresh:
                return status
            if not await self._call(self._supervisor.answers):
                raise Unreachable(
                    f"supervisord of the {self.target} does not run; what its replicas do is not known.",
                    remedy="Start the workload again; `start` finds and replaces what is left of it.",
                )
            if self._clock.monotonic() > deadline:
                raise Unreachable(
                    f"The controller of the {self.target} gave no report for {self._report_s:g} s.",
                    remedy=f"See {self._layout.logs / 'controller.log'}; kill a frozen one, and it is restarted.",
                )
            await self._clock.sleep(0.1)

    async def _call(self, what: Callable[[], T]) -> T:
        """Do something blocking in a thread, with the limit that each call of a port has."""
        try:
            async with asyncio.timeout(CALL_S):
                return await asyncio.to_thread(what)
        except TimeoutError as error:
            raise Unreachable(f"{self.target} did not answer within {CALL_S:g} s.") from error


def _pod(status: PodStatus, *, ends: bool) -> Pod:
    return Pod(
        name=status.name,
        uid=status.uid,
        template=status.exact,
        release=status.release,
        images=status.images,
        ready=status.ready,
        terminating=status.terminating or ends,
        restarts=status.restarts,
        trouble=status.trouble,
        running_since=status.running_since,
    )


def _revisions(state: State) -> tuple[Revision, ...]:
    revisions = []
    for number, entry in enumerate(state.history):
        template = parse(entry.body)
        why = why_not_runnable(template)
        revisions.append(Revision(entry.number, template, number == 0, entry.created, not why, why))
    return tuple(revisions)


def _cpu(pods: list[PodStatus]) -> dict[str, float]:
    return {p.name: proc.cpu_seconds(proc.tree(p.pid)) for p in pods}


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
