"""Recovery verification (R39-R46): what the service offers is asked, and any failure makes the verdict FAILED (D49)."""

from dataclasses import dataclass
from typing import Any

from codeblue.profile.model import Profile
from codeblue.runbooks.rollout import Stable
from codeblue.runbooks.service_checks import Command, Endpoint, ErrorRate, Flags, Latency, Memory, Pods, Signals
from codeblue.runbooks.step import Runbook, Step, World

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
        return 480.0 + profile.verify.stable_for

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
        if world.profile.signal_source == "none":
            left_out.append("triggers of the signals: the profile names no source of metrics")
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
        if world.profile.signal_source != "none":
            steps.append(Signals(world))
        if profile.verify.stable_for > 0:
            steps.append(Stable(world, inputs.template, inputs.version))
        return steps

    def load(self, data: dict[str, Any]) -> Inputs:
        return Inputs(**{**data, "left_out": tuple(data["left_out"])})

    def plan(self, inputs: Inputs) -> list[str]:
        return [f"verifies {inputs.label}", *(f"left out: {line}" for line in inputs.left_out)]


def _flags_can_be_asked(world: World) -> bool:
    offered = world.profile.contract.processes is not None or world.commands.offers("flags_status")
    return offered and bool(world.profile.flags)
