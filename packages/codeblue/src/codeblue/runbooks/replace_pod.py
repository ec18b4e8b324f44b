"""One pod of many is ill and the release is not: end it, and see that another one serves in its place (R7)."""

from dataclasses import dataclass
from typing import Any

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Refused
from codeblue.model.release import Workload
from codeblue.profile.model import Profile
from codeblue.runbooks.rollout import Rollout
from codeblue.runbooks.step import Ensure, Runbook, Step, World


@dataclass(frozen=True, slots=True)
class Request:
    """Which pods, by name."""

    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Frozen.

    Attributes:
        uids: of the pods by name, so that nobody else is ended who has the name later.
        template: `Template.exact` that is in force, and stays so.
        uid: of the workload.
    """

    uids: tuple[tuple[str, str], ...]
    template: str
    label: str
    uid: str


class ReplacePod(Runbook[Inputs]):
    """See the module."""

    name = "replace_pod"
    title = "Replace a pod"
    safe_state = "The platform keeps the number of pods by itself; which of them is ill has to be looked at."

    def deadline_s(self, profile: Profile) -> float:
        return 300.0

    async def resolve(self, world: World, request: Request) -> Inputs:
        seen = await world.platform.observe()
        live = {p.name: p.uid for p in seen.live_pods}
        missing = [name for name in request.pods if name not in live]
        if missing or not request.pods:
            raise Refused(
                f"{world.platform.target} has no pod {', '.join(missing) or 'to replace'}. Nothing was changed.",
                remedy="`codeblue status` shows its pods.",
            )
        others = [p for p in seen.live_pods if p.ready and p.name not in request.pods]
        if not others:
            raise Refused(
                "No other pod is ready: replacing these would be an outage. Nothing was changed.",
                remedy="Scale up first, or roll back.",
            )
        uids = tuple((name, live[name]) for name in sorted(request.pods))
        return Inputs(uids, seen.template.exact, seen.template.label, seen.uid)

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        ends: list[Step] = [EndPod(world, name, uid, n) for n, (name, uid) in enumerate(inputs.uids, 1)]
        return [*ends, Rollout(world, inputs.template, 240.0, uid=inputs.uid)]

    def load(self, data: dict[str, Any]) -> Inputs:
        return Inputs(**{**data, "uids": tuple((name, uid) for name, uid in data["uids"])})

    def plan(self, inputs: Inputs) -> list[str]:
        return [f"replaces {name} by another pod of {inputs.label}" for name, _ in inputs.uids]


class EndPod(Ensure[Workload]):
    """This very pod is gone, or on its way out."""

    limit_s = 60.0

    def __init__(self, world: World, name: str, uid: str, number: int) -> None:
        self._world, self._name, self._uid = world, name, uid
        self.id, self.title = f"end-{number}", f"End pod {name}"

    async def observe(self) -> Workload:
        return await self._world.platform.observe()

    def change(self, seen: Workload) -> Change | None:
        pod = next((p for p in seen.live_pods if p.uid == self._uid), None)
        return self._world.platform.replace_pod(seen, pod) if pod else None

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        return await self._world.platform.apply(change, fence)

    def holds(self, seen: Workload) -> str:
        return f"{self._name} is gone"
