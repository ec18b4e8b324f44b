"""When and how Code Blue acts: the sections `verify`, `triggers`, `runbooks`, `known_good` and `lease` of a profile."""

from typing import Annotated, Literal

from pydantic import Field

from codeblue.profile.section import Section
from codeblue.profile.triggers import AiTrigger, ErrorsTrigger, LatencyTrigger, MemoryTrigger, Mode
from codeblue.profile.units import Fraction, Seconds, duration, percentage

Policy = Literal["safe", "literal"]


class Verify(Section):
    """When a recovery counts as verified (R11, R39–R46)."""

    checks: int = Field(default=10, ge=1, le=100, description="Health checks after a rollback, at most (1 to 100).")
    every: Seconds = duration(
        "10s",
        ge=0.1,
        le=300,
        description="Time between two checks (100ms to 5m).",
    )
    stable_for: Seconds = duration(
        "30s",
        ge=0,
        le=3600,
        description="How long everything must stay healthy without a gap (0s to 1h).",
    )
    latency_samples: int = Field(default=10, ge=1, le=1000, description="Health requests that are timed (1 to 1000).")
    latency_p95: Seconds = duration(
        "2s",
        ge=0.001,
        le=300,
        description="Limit of their 95th percentile (1ms to 5m).",
    )
    error_rate: Fraction = percentage(
        "5 %",
        description="Limit of the share of failed requests.",
    )
    memory: Fraction = percentage(
        "95 %",
        description="Limit of working set ÷ memory limit, per pod.",
    )


class HealthTrigger(Section):
    """R4: consecutive failures of the health check."""

    failures: int = Field(
        default=3, ge=1, le=100, description="Fires when consecutive failures are more than this: 3 fires on the 4th."
    )
    mode: Mode = Field(
        default="observe",
        description="observe: say what would be done; ask: wait for an approval; act: do it.",
    )


class Budget(Section):
    """How many automatic rollbacks are tried before only people decide (R10)."""

    rollbacks: int = Field(default=2, ge=1, le=100, description="Automatic rollbacks (1 to 100) …")
    per: Seconds = duration(
        "1h",
        ge=60,
        le=7 * 86400,
        description="… within this time (1m to 7d).",
    )


class Triggers(Section):
    """When Code Blue acts by itself (R4–R10)."""

    health: HealthTrigger = Field(default=HealthTrigger(), description="Failed health checks in a row (R4).")
    errors: ErrorsTrigger = Field(default=ErrorsTrigger(), description="Share of failed requests (R5).")
    latency: LatencyTrigger = Field(default=LatencyTrigger(), description="95th percentile of response times (R6).")
    memory: MemoryTrigger = Field(default=MemoryTrigger(), description="Memory of each pod (R7).")
    ai: AiTrigger = Field(default=AiTrigger(), description="Share of failed calls of the model (R8).")
    cooldown: Seconds = duration(
        "10m",
        ge=0,
        le=86400,
        description="Pause after an automatic action (0s to 1d).",
    )
    budget: Budget = Field(default=Budget(), description="Limit of automatic rollbacks.")
    recent_change: Annotated[Seconds, Field(ge=1, le=30 * 86400)] | None = Field(
        default=None,
        description="How young a change must be to be blamed (1s to 30d); null: since the last known-good verdict.",
    )
    scale_down: Seconds = duration(
        "1h",
        ge=60,
        le=30 * 86400,
        description="How long 0 replicas count as meant that way, and no trigger fires; then people are told (R1b).",
    )
    blind: Seconds = duration(
        "5m",
        ge=1,
        le=86400,
        description="How long all signals may be unknown until people are told (B5).",
    )
    policy: Policy = Field(
        default="safe", description="safe; or literal: the document word by word (docs/deviations.md)."
    )


class QuickRollback(Section):
    """R11: one budget for the whole run."""

    deadline: Seconds = duration(
        "300s",
        ge=10,
        le=300,
        description="Limit of the whole run (10s to 5m).",
    )
    at_once: bool = Field(
        default=False, description="Replace all pods at once (`--surge`): faster, needs room for twice the pods."
    )


class Flags(Section):
    """R20, R21: how it is proven that AI features are off."""

    every_process: Seconds = duration(
        "90s",
        ge=1,
        le=900,
        description="Limit until every process of every pod reports the value (1s to 15m).",
    )
    in_flight: Seconds = duration(
        "60s",
        ge=0,
        le=900,
        description="How long a call of the model that was under way may still take (0s to 15m).",
    )
    quiet: Seconds = duration(
        "10s",
        ge=1,
        le=900,
        description="For how long after that the model must not be called (1s to 15m).",
    )


class Runbooks(Section):
    """Settings of single runbooks."""

    quick_rollback: QuickRollback = Field(default=QuickRollback(), description="The quick rollback (R11).")
    flags: Flags = Field(default=Flags(), description="Switching the AI features off (R20).")


class KnownGood(Section):
    """When a release has proven itself (B2)."""

    soak: Seconds = duration(
        "10m",
        ge=0,
        le=7 * 86400,
        description="Healthy time without a gap until it is known-good (0s to 7d).",
    )


class Lease(Section):
    """The right to act on the service, kept in its platform."""

    duration: Seconds = duration(
        "15s",
        ge=5,
        le=60,
        description="How long it holds without renewal (5s to 60s).",
    )
