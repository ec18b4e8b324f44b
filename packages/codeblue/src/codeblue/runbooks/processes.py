"""What every worker process of every pod says of itself, and whether it applies what it should (R20, R21, R42, B7).

The pods come from the platform, anew each time; a pod whose processes say nothing is unknown, and never agrees (D27).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codeblue.model.flag import FlagValue, same
from codeblue.model.health import Outcome
from codeblue.model.release import Pod
from codeblue.model.verdict import Verdict
from codeblue.runbooks.step import World

#: Limit of the command that lists processes.
COMMAND_S = 30.0

#: What a platform says of a pod that has no process at this moment: whoever comes up next reads the stored values.
_NO_PROCESS = frozenset(
    ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError")
)


@dataclass(frozen=True, slots=True)
class Process:
    """One worker process, as it reports itself.

    Attributes:
        place: where that was read.
        pod: the pod that it says it is in, "" where it does not say.
        live: whether it still reports; a frozen one does not.
        values: flags and modes as it applies them now; as they came, so anything.
        workers: how many processes its pod should have; None where it does not say.
        loaded_at: when it took them over, in its own words.
        guarded: how often code behind a flag was run, by flag; empty where it does not count that.
    """

    place: str
    pod: str
    pid: str
    live: bool
    values: Mapping[str, Any]
    workers: int | None = None
    loaded_at: str = ""
    guarded: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.pod or self.place} process {self.pid}"


@dataclass(frozen=True, slots=True)
class Census:
    """All processes that could be asked about.

    Attributes:
        pods: those of the workload that are meant to stay, as the platform has them.
        silent: places that did not answer, with the reason; a pod by its name.
    """

    pods: tuple[Pod, ...]
    processes: tuple[Process, ...]
    silent: Mapping[str, str]


def can_be_asked(world: World) -> bool:
    """Whether the profile says how the processes are asked."""
    return world.profile.contract.processes is not None or world.commands.offers("flags_status")


async def census(world: World) -> Census:
    """Ask every pod of the workload for its processes. Raises as `Platform.observe`."""
    pods = (await world.platform.observe()).live_pods
    path, found, silent = world.profile.contract.processes, list[Process](), dict[str, str]()
    if path is None:
        for result in await world.commands.everywhere("flags_status", timeout_s=COMMAND_S):
            processes = _processes(result.output, result.detail)
            found += processes
            if not processes:
                silent[f"flags_status ({result.detail})"] = "reports no process"
        return Census(pods, tuple(found), silent)
    for place in (await world.platform.routing()).pods:
        name = place.name.removeprefix("pod/")
        probe, body = await world.prober.read(place, path, timeout_s=world.profile.health.timeout)
        if probe.outcome is not Outcome.OK:
            silent[name] = probe.detail
            continue
        processes = _processes(body, name)
        found += processes
        if not processes:
            silent[name] = "reports no process"
    return Census(pods, tuple(found), silent)


def judge(rule: str, seen: Census, expected: Mapping[str, FlagValue]) -> Verdict:
    """Whether every process of every pod applies exactly these values.

    A pod of which the platform says that it has no process (a crash loop) keeps nothing from being proven: what comes
    up in it reads the stored values. A service without any pod has no process, and nothing that could be on.
    """
    for process in seen.processes:
        if not process.live:
            return Verdict(rule, Outcome.UNKNOWN, f"{process.name} does not report any more")
        for name, value in expected.items():
            said = process.values.get(name)
            if said is None:
                return Verdict(rule, Outcome.UNKNOWN, f"{process.name} does not report {name}")
            if not same(said, value):
                shown = f"{name} is {json.dumps(said)[:20]}, expected {json.dumps(value)}"
                return Verdict(rule, Outcome.BREACH, f"{process.name}: {shown}")
    idle = [p.name for p in seen.pods if is_idle(p)]
    for pod in seen.pods:
        if pod.name not in idle and not _speaks(pod.name, seen):
            why = seen.silent.get(pod.name, "; ".join(seen.silent.values()) or "none of its processes reports")
            return Verdict(rule, Outcome.UNKNOWN, f"{pod.name}: {why}")
        have, should = _counted(pod.name, seen)
        if have < should:
            return Verdict(rule, Outcome.UNKNOWN, f"{pod.name}: {have} of its {should} processes report")
    if not seen.pods:
        return Verdict(rule, Outcome.OK, "there is no pod, so no process: whoever comes up reads the stored values")
    count = len({(p.pod or p.place, p.pid) for p in seen.processes})
    crashed = f"; no process in {', '.join(idle)} (crashing): whoever comes up reads the stored values" if idle else ""
    return Verdict(rule, Outcome.OK, f"{len(expected)} values as expected in {count} processes{crashed}")


def is_idle(pod: Pod) -> bool:
    """Whether the platform says that the pod has no process at this moment."""
    return pod.trouble in _NO_PROCESS and not pod.ready


def _speaks(pod: str, seen: Census) -> bool:
    """Whether a process of this very pod was heard of; of one that names no pod of ours the place counts."""
    known = {p.name for p in seen.pods}
    return any(pod == (p.pod if p.pod in known else p.place) for p in seen.processes)


def _counted(pod: str, seen: Census) -> tuple[int, int]:
    """How many processes of a pod report, and how many it should have by the most that any of them says.

    One that is frozen is taken off the service's own list after a while: only the number tells that it is there.
    """
    own = {p.pid: p for p in seen.processes if (p.pod or p.place) == pod and p.live}
    return len(own), max((p.workers or 0 for p in own.values()), default=0)


def _processes(body: bytes, place: str) -> list[Process]:
    """Those that an answer lists; none for an answer of another form."""
    data = _last_object(body)
    data = data.get("data", data) if isinstance(data, dict) else None  # a command wraps it, the HTTP answer does not
    processes = data.get("processes") if isinstance(data, dict) else None
    return [_process(p, place) for p in processes if isinstance(p, dict)] if isinstance(processes, list) else []


def _last_object(body: bytes) -> Any:
    """A document, or its last line that is one: programs like npm print lines of their own before it."""
    for text in (body, *reversed(body.splitlines()[-20:])):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    return None


def _process(said: dict[str, Any], place: str) -> Process:
    values: dict[str, Any] = {}
    loaded: list[str] = []
    for kind in ("flags", "modes"):
        entries = said.get(kind)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            values[name] = entry.get("value") if isinstance(entry, dict) else entry
            if isinstance(entry, dict) and isinstance(entry.get("loaded_at"), str):
                loaded.append(entry["loaded_at"])
    pod, workers = said.get("pod"), said.get("workers")
    return Process(
        place=place,
        pod=pod if isinstance(pod, str) else "",
        pid=str(said.get("pid", "?"))[:20],
        live=said.get("live") is not False,
        values=values,
        workers=workers if isinstance(workers, int) and not isinstance(workers, bool) else None,
        loaded_at=max(loaded, default="")[:40],
        guarded=_guarded(said.get("guarded_calls")),
    )


def _guarded(said: object) -> dict[str, int]:
    entries = said.items() if isinstance(said, dict) else ()
    counts = {str(name): entry.get("calls") for name, entry in entries if isinstance(entry, dict)}
    return {name: n for name, n in counts.items() if isinstance(n, int) and not isinstance(n, bool)}


def named(processes: Sequence[Process]) -> list[Process]:
    """Each process once, by pod and number: pods that share a store list each other's."""
    return list({(p.pod or p.place, p.pid): p for p in processes}.values())
