"""A release becomes known-good (B2): verified, watched for the soak time, then marked in the platform."""

from dataclasses import dataclass
from typing import Any

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Refused
from codeblue.model.health import Outcome
from codeblue.model.release import Mark, Standing, Workload
from codeblue.model.verdict import Verdict
from codeblue.profile.model import Profile
from codeblue.runbooks import recovery
from codeblue.runbooks.quick_rollback import RestoreStrategy
from codeblue.runbooks.rollout import Stable
from codeblue.runbooks.service_checks import Signals
from codeblue.runbooks.step import Ensure, Runbook, Step, World


@dataclass(frozen=True, slots=True)
class Request:
    """Nothing to choose: it is about what runs now."""


class KnownGood(Runbook[recovery.Inputs]):
    """See the module."""

    name = "known_good"
    title = "Known-good after its soak"
    yields = True  # it watches for minutes, and a rollback is more urgent than its result
    safe_state = "The release keeps the standing that it had."

    def deadline_s(self, profile: Profile) -> float:
        return 540.0 + profile.known_good.soak * 2

    async def resolve(self, world: World, request: Request) -> recovery.Inputs:
        return await recovery.Recovery().resolve(world, recovery.Request())

    def steps(self, inputs: recovery.Inputs, world: World, run: str) -> list[Step]:
        checks = [s for s in recovery.Recovery().steps(inputs, world, run) if not isinstance(s, Stable)]
        soak_s = world.profile.known_good.soak
        soak: list[Step] = [Soaking(world, inputs.template, inputs.version, for_s=soak_s)] if soak_s else []
        # a rollback that lost its rights on the way could not put the strategy back: who marks a release does
        return [RestoreStrategy(world), *checks, *soak, MarkKnownGood(world, inputs, run)]

    def load(self, data: dict[str, Any]) -> recovery.Inputs:
        return recovery.Recovery().load(data)

    def plan(self, inputs: recovery.Inputs) -> list[str]:
        return recovery.Recovery().plan(inputs)


class Soaking(Stable):
    """Healthy for the soak time, with no signal over the limit of its trigger: one that is begins the soak anew."""

    def __init__(self, world: World, target: str, version: str, *, for_s: float) -> None:
        super().__init__(world, target, version, for_s=for_s)
        self._signals = Signals(world) if world.profile.signal_source != "none" else None
        self._signal, self._next_s = Verdict(self.id, Outcome.OK, ""), 0.0

    async def _look(self) -> Verdict:
        verdict = await super()._look()
        if not verdict.ok or self._signals is None:
            return verdict
        now_s = self._world.clock.monotonic()
        if now_s >= self._next_s:
            self._signal, self._next_s = await self._signals.look(), now_s + self._signals.every_s
        return verdict if self._signal.ok else Verdict(self.id, Outcome.UNKNOWN, self._signal.why)


class MarkKnownGood(Ensure[Workload]):
    """Write the standing where every machine finds it: in the platform."""

    id, title, limit_s = "mark", "Mark the release known-good", 30.0

    def __init__(self, world: World, inputs: recovery.Inputs, run: str) -> None:
        self._world, self._inputs, self._run = world, inputs, run

    async def observe(self) -> Workload:
        return await self._world.platform.observe()

    def change(self, seen: Workload) -> Change | None:
        if seen.template.exact != self._inputs.template:
            raise Refused(
                f"Another template came into force meanwhile: {seen.template.label}, by {seen.template_manager!r}.",
                remedy="Verify that one.",
            )
        soak_s = self._world.profile.known_good.soak
        why = f"healthy for {soak_s:g} s of {soak_s:g} s"
        mark = Mark(Standing.KNOWN_GOOD, self._world.clock.now(), self._run or "plan", why)
        return self._world.platform.mark(seen, {self._inputs.release: mark})

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        return await self._world.platform.apply(change, fence)

    def holds(self, seen: Workload) -> str:
        return f"{seen.template.label} is known-good"
