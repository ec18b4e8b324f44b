"""The kill switch (R20, R21): AI features off, proven in every process of every pod; and back to what was before.

OFF is proven three times: the store has it for everybody, every worker process of every pod applies it, and after the
calls that were in flight the model is called no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Failed, NotOffered, Refused, Temporary, UsageError
from codeblue.model.event import Draft
from codeblue.model.flag import FlagValue, Stored, off, same, spoken
from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.ports.flags import FlagStore
from codeblue.ports.platform import Place
from codeblue.profile.model import Profile
from codeblue.record.flags import DISABLE, FLAG_KINDS, RESTORE, prior_values
from codeblue.record.pages import AI_OFF, NOTICE, REQUESTED, anchor_data
from codeblue.runbooks.processes import can_be_asked, census, is_idle, judge
from codeblue.runbooks.step import Check, Ensure, Make, Runbook, Step, World

Values = tuple[tuple[str, FlagValue], ...]

#: Writing a few flags, one command each.
_STORE_S: Final = 120.0
_NO_STORE: Final = "Add flags, and the commands flags_status and flags_set (contract.commands): docs/flags.md."


@dataclass(frozen=True, slots=True)
class DisableRequest:
    """Which flags; () for all of the profile."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Which flags; () for all that were switched off.

    Attributes:
        expected: to the values of the profile (`flags`) in place of those before.
    """

    names: tuple[str, ...] = ()
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """Frozen.

    Attributes:
        wanted: the value that each flag gets.
        prior: what the store had before; None where it could not be told.
        quiet: whether calls of the model can be counted, so that silence can be proven.
        left_out: one line for each proof that the service gives no means for.
    """

    wanted: Values
    prior: tuple[tuple[str, FlagValue | None], ...]
    quiet: bool
    left_out: tuple[str, ...]


class FlagsDisable(Runbook[Inputs]):
    """See the module."""

    name = DISABLE
    title = "Switch the AI features off"
    safe_state = "What was switched off stays off; whatever did not report may still be on."

    def deadline_s(self, profile: Profile) -> float:
        own = profile.runbooks.flags
        return _STORE_S + own.every_process + own.in_flight + 2 * own.quiet + 30.0

    async def resolve(self, world: World, request: DisableRequest) -> Inputs:
        store = _store(world)
        names = _chosen(request.names, world.profile)
        try:
            seen = await store.read(names)
        except Temporary:  # a kill switch does not wait for what it only wants to remember
            seen = {}
        saved = prior_values(world.record.read(kinds=FLAG_KINDS))
        prior = tuple((name, saved.get(name, seen[name].value if name in seen else None)) for name in names)
        wanted = tuple((name, off(world.profile.flags[name])) for name in names)
        return Inputs(wanted, prior, world.profile.signal_source != "none", tuple(_left_out(world)))

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        wanted = dict(inputs.wanted)
        steps: list[Step] = [Write(world, "switch-off", "Switch the flags off", wanted), Tell(world, inputs, run)]
        if can_be_asked(world):
            steps.append(EveryProcess(world, wanted))
        else:
            steps.append(NotProven())
        if inputs.quiet:
            steps.append(Quiet(world, wanted))
        return steps

    def load(self, data: dict[str, Any]) -> Inputs:
        return _load(data)

    def plan(self, inputs: Inputs) -> list[str]:
        before = dict(inputs.prior)
        lines = [f"{name}: {spoken(before[name])} → {spoken(value)}" for name, value in inputs.wanted]
        return [*lines, *(f"not proven: {line}" for line in inputs.left_out)]


class FlagsRestore(Runbook[Inputs]):
    """See the module."""

    name = RESTORE
    title = "Restore the flags"
    safe_state = "Flags that were not restored are as they were; `codeblue flags status` shows them."

    def deadline_s(self, profile: Profile) -> float:
        return _STORE_S + profile.runbooks.flags.every_process + 30.0

    async def resolve(self, world: World, request: RestoreRequest) -> Inputs:
        store = _store(world)
        before: Mapping[str, FlagValue] = prior_values(world.record.read(kinds=FLAG_KINDS))
        if request.expected:
            before = world.profile.flags
        names = _chosen(request.names, world.profile) if request.names else tuple(before)
        missing = [name for name in names if name not in before]
        if missing or not names:
            what = f"the value that {', '.join(missing)} had before" if missing else "of flags that were switched off"
            raise Refused(
                f"The record knows nothing {what}." if not missing else f"The record does not know {what}.",
                remedy="`codeblue flags restore --expected` sets them as the profile says they should be.",
            )
        seen = await store.read(names)
        prior = tuple((name, seen[name].value) for name in names)
        return Inputs(tuple((name, before[name]) for name in names), prior, quiet=False, left_out=())

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        wanted = dict(inputs.wanted)
        steps: list[Step] = [Write(world, "restore", "Write the former values", wanted)]
        steps.append(EveryProcess(world, wanted) if can_be_asked(world) else NotProven())
        return steps

    def load(self, data: dict[str, Any]) -> Inputs:
        return _load(data)

    def plan(self, inputs: Inputs) -> list[str]:
        now = dict(inputs.prior)
        return [f"{name}: {spoken(now[name])} → {spoken(value)}" for name, value in inputs.wanted]


class Write(Ensure[Mapping[str, Stored]]):
    """The store has these values, for everybody; proven by reading it again."""

    limit_s = _STORE_S

    def __init__(self, world: World, id_: str, title: str, wanted: Mapping[str, FlagValue]) -> None:
        self.id, self.title = id_, title
        self._store, self._wanted = _store(world), wanted

    async def observe(self) -> Mapping[str, Stored]:
        return await self._store.read(tuple(self._wanted))

    def change(self, seen: Mapping[str, Stored]) -> Change | None:
        return self._store.change(seen, self._wanted)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        return await self._store.apply(change, fence)

    def holds(self, seen: Mapping[str, Stored]) -> str:
        wrong = [name for name, value in self._wanted.items() if not same(seen[name].value, value)]
        if wrong:  # a store that finds nothing to write although something is missing
            raise Failed(f"{self._store.place} does not have {', '.join(wrong)} as wanted.")
        values = ", ".join(f"{name} {spoken(value)}" for name, value in self._wanted.items())
        return f"{self._store.place}: {values}"


class Tell(Make):
    """The Clinical lead is told that AI features are off (R3): by the incident's pager, or by a page of its own."""

    id, title, limit_s = "tell", "Have the Clinical lead told", 30.0

    def __init__(self, world: World, inputs: Inputs, run: str) -> None:
        self._world, self._inputs, self._run = world, inputs, run
        self.key = f"{run}:off"

    async def find(self) -> str | None:
        found = [e for e in self._world.record.read(kinds=(AI_OFF, REQUESTED)) if e.data.get("run") == self._run]
        return f"#{found[-1].seq}" if found else None

    async def make(self) -> str:
        record, clock = self._world.record, self._world.clock
        run = next(e for e in record.read(run=self._run, kinds=("run.requested",)))
        anchor = anchor_data(clock.anchor())
        if run.incident:
            flags = {name: value for name, value in self._inputs.wanted}
            data: dict[str, Any] = {"run": self._run, "flags": flags, "anchor": anchor}
            return f"#{record.append(Draft(AI_OFF, 'engine', data, incident=run.incident)).seq}"
        data = {
            "run": self._run,
            "level": NOTICE,
            "role": "clinical_lead",
            "summary": f"{self._world.profile.service}: AI features are switched off",
            "next_step": "codeblue flags status",
            "anchor": anchor,
        }
        return f"#{record.append(Draft(REQUESTED, 'engine', data, incident=page_of(self._run))).seq}"

    async def prove(self, reference: str) -> Verdict:
        found = await self.find()
        outcome = Outcome.OK if found == reference else Outcome.BREACH
        return Verdict(self.id, outcome, f"the pager has it as event {reference} of the record")


class EveryProcess(Check):
    """Every worker process of every pod applies the values, those of new pods as well (D27)."""

    id, title, every_s = "every-process", "See the values in every process of every pod", 1.0

    def __init__(self, world: World, wanted: Mapping[str, FlagValue]) -> None:
        self._world, self._wanted = world, wanted
        self.limit_s = world.profile.runbooks.flags.every_process

    async def probe(self) -> Verdict:
        return judge(self.id, await census(self._world), self._wanted)


class NotProven(Check):
    """Says that nobody can be asked: then it is not done, whatever the store has."""

    id, title, limit_s, attempts = "every-process", "See the values in every process of every pod", 5.0, 1

    async def probe(self) -> Verdict:
        why = "the store has the values, and the profile names no way to ask the processes (contract.processes)"
        return Verdict(self.id, Outcome.UNKNOWN, why, final=True)


class Quiet(Check):
    """After the calls in flight, no pod calls the model any more, and no process runs code behind the flags."""

    id, title, every_s = "quiet", "See that the model is called no more", 1.0

    def __init__(self, world: World, wanted: Mapping[str, FlagValue]) -> None:
        own = world.profile.runbooks.flags
        self._world, self._own, self._wanted = world, own, wanted
        self.limit_s = own.in_flight + 2 * own.quiet + 30.0
        self._off_at: float | None = None
        self._before: dict[str, float] | None = None
        self._since = 0.0

    async def probe(self) -> Verdict:
        now = self._world.clock.monotonic()
        if self._off_at is None:
            self._off_at = now
        waits_s = self._off_at + self._own.in_flight - now
        if waits_s > 0:
            what = f"calls that were under way have up to {self._own.in_flight:g} s to end"
            return Verdict(self.id, Outcome.UNKNOWN, what)
        places = (await self._world.platform.routing()).pods
        sampling = await self._world.signals.sample(places)
        calls = {r.pod: r.ai_calls for r in sampling.readings if r.ai_calls is not None}
        idle = {pod.name for pod in (await self._world.platform.observe()).live_pods if is_idle(pod)}
        blind = next((pod for pod in map(_pod, places) if pod not in {*calls, *idle} and "" not in calls), None)
        if blind is not None:
            reasons = sampling.unknown.get(f"pod/{blind}") or "; ".join(sampling.unknown.values())
            why = f"calls of the model cannot be counted in {blind}: {reasons or 'it does not count them'}"
            return Verdict(self.id, Outcome.UNKNOWN, why)
        counts = {f"{pod or 'the service'} called the model": n for pod, n in calls.items()} | await self._guarded()
        if self._before is None:
            self._before, self._since = counts, now
        made = {who: _grown(self._before.get(who, 0.0), n) for who, n in counts.items()}
        loud = [(n, who) for who, n in made.items() if n > 0]
        if loud:
            n, who = max(loud)
            return Verdict(self.id, Outcome.BREACH, f"{who} {n:.0f} times after it was off", final=True)
        quiet_s = now - self._since
        said = f"0 calls of the model in {quiet_s:.0f} s, in {len(calls)} pods"
        if quiet_s < self._own.quiet:
            return Verdict(self.id, Outcome.UNKNOWN, f"{said}, of {self._own.quiet:g} s")
        return Verdict(self.id, Outcome.OK, said)

    async def _guarded(self) -> dict[str, float]:
        """How often each process ran what is behind the flags, where it counts that."""
        if not can_be_asked(self._world):
            return {}
        processes = (await census(self._world)).processes
        return {
            f"{p.name} ran what is behind {name}": float(n)
            for p in processes
            for name, n in p.guarded.items()
            if name in self._wanted
        }


def _pod(place: Place) -> str:
    return place.name.removeprefix("pod/")


def _grown(before: float, now: float) -> float:
    """What a counter counted since; one that began anew has counted everything since then, as one of a new pod."""
    return now - before if now >= before else now


def page_of(run: str) -> str:
    """The id of the page that a run asks for where there is no incident."""
    return f"page-{run.removeprefix('run-')}"


def _store(world: World) -> FlagStore:
    if world.flags is None or not world.profile.flags:
        raise NotOffered("The profile does not say where the flags are. Nothing was changed.", remedy=_NO_STORE)
    return world.flags


def _chosen(names: tuple[str, ...], profile: Profile) -> tuple[str, ...]:
    unknown = [name for name in names if name not in profile.flags]
    if unknown:
        raise UsageError(
            f"The profile has no flag {', '.join(unknown)}. Nothing was changed.",
            remedy=f"Its flags are {', '.join(profile.flags)}.",
        )
    return names or tuple(profile.flags)


def _left_out(world: World) -> list[str]:
    left = []
    if not can_be_asked(world):
        left.append("every process: the profile has neither contract.processes nor contract.commands.flags_status")
    if world.profile.signal_source == "none":
        left.append("the model is called no more: the profile has no metrics")
    return left


def _load(data: dict[str, Any]) -> Inputs:
    return Inputs(
        wanted=tuple((name, value) for name, value in data["wanted"]),
        prior=tuple((name, value) for name, value in data["prior"]),
        quiet=data["quiet"],
        left_out=tuple(data["left_out"]),
    )
