"""The profile: everything a team says about its service, in one frozen value (R1c).

Durations are seconds (`float`), percentages fractions, paths absolute. `codeblue.profile.load` makes it from
`codeblue.yaml`; nothing here reads or writes anything.
"""

import difflib
import os
import re
from typing import Annotated, Any, Final, Generic, Literal, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import AfterValidator

from codeblue.model.target import Target
from codeblue.profile.contacts import Contacts
from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.text import Context, EnvName, FilePath, HttpUrl, Label, Name, Port, Subdomain, UrlPath
from codeblue.profile.units import Fraction, Seconds

Mode = Literal["observe", "ask", "act"]
Policy = Literal["safe", "literal"]
Via = Literal["auto", "direct", "apiserver", "url"]
CommandName = Literal["database_health", "external_health", "flags_status", "smoke", "verify_rollback"]

COMMANDS: Final[tuple[str, ...]] = (
    "database_health",
    "external_health",
    "flags_status",
    "smoke",
    "verify_rollback",
)
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_FLAG: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_SECRET_ARGUMENT: Final = re.compile(
    r"://[^/@\s]{0,100}:[^/@\s]{1,200}@"
    r"|^--?[a-z-]{0,40}?(password|passwd|token|secret|api-?key)[a-z-]{0,40}(=.|$)"
    r"|^[A-Z0-9_]{0,40}?(PASSWORD|TOKEN|SECRET|API_?KEY)[A-Z0-9_]{0,40}=.",
    re.IGNORECASE,
)


K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V], Generic[K, V]):
    """A dict that refuses to change, so that a frozen profile is frozen all the way down."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the profile is frozen")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


def _flag_name(name: object) -> str:
    if isinstance(name, str) and _FLAG.fullmatch(name):
        return name
    raise refusal("is not the name of a flag", "write letters, digits, '_', '.', '-', with a letter at the start")


def _flag_state(value: object) -> bool | int:
    if isinstance(value, bool) or (isinstance(value, int) and 0 <= value <= 100):
        return value
    raise refusal(
        "is not the state of a flag", "write true, false or a whole percentage from 0 to 100 without the % sign"
    )


def _command_name(name: object) -> object:
    if name in COMMANDS:
        return name
    near = difflib.get_close_matches(str(name)[:60], COMMANDS, 1)
    raise refusal(
        "is not the name of an operator command", f"write {near[0]}" if near else f"write one of {', '.join(COMMANDS)}"
    )


def _argv(value: object) -> object:
    remedy = "write the program and each argument as an item of a list: [npm, run, smoke]"
    if not isinstance(value, tuple):
        raise refusal("is not a list of a program and its arguments (there is no shell)", remedy, quiet=True)
    if not value:
        raise refusal("is an empty list", remedy)
    return value


def _argument(item: object) -> str:
    if not isinstance(item, str):
        raise refusal("is not text", "put the argument in quotes")
    if _SECRET_ARGUMENT.search(item):
        raise refusal(
            "looks like a secret in an argument, where every process list shows it",
            "let the command read the secret from its environment or a file",
            quiet=True,
        )
    return item


def _program_first(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value[0].strip():
        raise refusal("begins with an empty text", "write the name of the program first", at=("0",))
    return value


def _format_version(value: object) -> int:
    if type(value) is int and value == 1:
        return value
    raise refusal("is not a version of the profile's format that is known here", "write version: 1")


FlagName = Annotated[str, BeforeValidator(_flag_name)]
FlagState = Annotated[
    bool | int,
    BeforeValidator(_flag_state),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 100}]}),
]
Argv = Annotated[
    tuple[Annotated[str, BeforeValidator(_argument)], ...],
    BeforeValidator(_argv),
    AfterValidator(_program_first),
    WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "string"}}),
]


class Section(BaseModel):
    """What all sections share: strict types, no unknown keys, frozen, and no input in error texts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Kubernetes(Section):
    """The service is a Deployment."""

    kind: Literal["kubernetes"] = Field(description="The platform that runs the service.")
    context: Context = Field(
        description="Context of the kubeconfig. Required: never whatever is current at the moment.",
        examples=["prod-eu"],
    )
    kubeconfig: FilePath | None = Field(
        default=None, description="Kubeconfig file; null: $KUBECONFIG or ~/.kube/config, as kubectl finds it."
    )
    namespace: Label = Field(description="Namespace, lower case.", examples=["ai-diagnostics-prod"])
    deployment: Subdomain = Field(description="Name of the Deployment.", examples=["ai-diagnostics-api"])
    service: Label | None = Field(
        default=None, description="Name of the Service that clients use; null: tier 0, readiness of the pods only."
    )
    port: Port | None = Field(
        default=None, description="Port of the Service to probe, number or name; null: its only or first port."
    )
    container: Label | None = Field(
        default=None, description="Container whose image names the release; null: the first one."
    )
    version_env: EnvName | None = Field(
        default="RELEASE_VERSION",
        description="Variable of the container that names the version; where it is not set, the tag of the image does.",
    )


class Local(Section):
    """The service is a set of processes on this machine."""

    kind: Literal["local"] = Field(description="The platform that runs the service.")
    directory: FilePath = Field(
        description="Directory of the local platform, relative to the profile's file.", examples=["./local"]
    )
    workload: Label = Field(
        default="",
        description="Name of the workload.",
        json_schema_extra={"default": "<service>"},
    )


Platform = Annotated[Kubernetes | Local, Field(discriminator="kind")]


def _target(platform: Kubernetes | Local) -> Target:
    if isinstance(platform, Kubernetes):
        return Target(platform.kind, platform.context, f"{platform.namespace}/{platform.deployment}")
    return Target(platform.kind, os.path.normpath(platform.directory), platform.workload)


class Health(Section):
    """How an attempt in the sense of R4 is made: one round of probes."""

    path: UrlPath = Field(default="/api/health", description="Path of the shallow health answer.")
    interval: Seconds = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description="Time from one round to the next (100ms to 1h).",
        json_schema_extra={"default": "10s"},
    )
    timeout: Seconds = Field(
        default=5.0,
        ge=0.05,
        le=300,
        description="Limit of one probe (50ms to 5m), at most the interval.",
        json_schema_extra={"default": "5s"},
    )
    via: Via = Field(
        default="auto",
        description="Way to the service: direct (its address), apiserver (the API server's proxy), url, or auto.",
    )
    url: HttpUrl | None = Field(
        default=None,
        validate_default=True,
        description="Base address for `via: url`, without user, password or query; only there.",
    )
    version_field: Name | None = Field(
        default="version", description="Field of the JSON answer that names the release; null: it names none."
    )

    @field_validator("timeout")
    @classmethod
    def _within_the_interval(cls, timeout: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval")
        if interval is not None and timeout > interval:
            raise refusal(
                f"is longer than the interval ({timeout:g} s > {interval:g} s), so rounds would overlap",
                "write a timeout that is at most health.interval",
            )
        return timeout

    @field_validator("url")
    @classmethod
    def _only_with_via_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        via = info.data.get("via")
        if via == "url" and url is None:
            raise refusal("is missing, but via is url", "add url: with the service's address, or write via: auto")
        if via is not None and via != "url" and url is not None:
            raise refusal("is only used with via: url", "write via: url, or delete url", quiet=True)
        return url


class Contract(Section):
    """What the service offers beyond a readiness probe (R59, R60, R62); each piece buys procedures (R1c)."""

    health_database: UrlPath | None = Field(
        default=None, description="Path of the database's health (`/api/health/database`); null: not offered."
    )
    health_redis: UrlPath | None = Field(
        default=None, description="Path of Redis's health (`/api/health/redis`); null: not offered."
    )
    health_ai_services: UrlPath | None = Field(
        default=None, description="Path of the AI services' health (`/api/health/ai-services`); null: not offered."
    )
    metrics: UrlPath | None = Field(default=None, description="Path of the metrics (`/metrics`); null: not offered.")
    processes: UrlPath | None = Field(
        default=None, description="Path that lists the worker processes and their flags; null: not offered."
    )
    commands: Annotated[
        dict[Annotated[CommandName, BeforeValidator(_command_name)], Argv],
        AfterValidator(FrozenDict),
    ] = Field(
        default_factory=FrozenDict,
        description="Operator commands by name, each a program with its arguments as a list; no shell.",
    )
    run_in: Literal["local", "pod"] = Field(
        default="local", description="Where operator commands run: on this machine, or in a pod of the service."
    )


class Verify(Section):
    """When a recovery counts as verified (R11, R39–R46)."""

    checks: int = Field(default=10, ge=1, le=100, description="Health checks after a rollback, at most (1 to 100).")
    every: Seconds = Field(
        default=10.0,
        ge=0.1,
        le=300,
        description="Time between two checks (100ms to 5m).",
        json_schema_extra={"default": "10s"},
    )
    stable_for: Seconds = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How long everything must stay healthy without a gap (0s to 1h).",
        json_schema_extra={"default": "30s"},
    )
    latency_samples: int = Field(default=10, ge=1, le=1000, description="Health requests that are timed (1 to 1000).")
    latency_p95: Seconds = Field(
        default=2.0,
        ge=0.001,
        le=300,
        description="Limit of their 95th percentile (1ms to 5m).",
        json_schema_extra={"default": "2s"},
    )
    error_rate: Fraction = Field(
        default=0.05, description="Limit of the share of failed requests.", json_schema_extra={"default": "5 %"}
    )
    memory: Fraction = Field(
        default=0.95, description="Limit of working set ÷ memory limit, per pod.", json_schema_extra={"default": "95 %"}
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
    per: Seconds = Field(
        default=3600.0,
        ge=60,
        le=7 * 86400,
        description="… within this time (1m to 7d).",
        json_schema_extra={"default": "1h"},
    )


class Triggers(Section):
    """When Code Blue acts by itself (R4–R10)."""

    health: HealthTrigger = Field(default=HealthTrigger(), description="Failed health checks in a row (R4).")
    cooldown: Seconds = Field(
        default=600.0,
        ge=0,
        le=86400,
        description="Pause after an automatic action (0s to 1d).",
        json_schema_extra={"default": "10m"},
    )
    budget: Budget = Field(default=Budget(), description="Limit of automatic rollbacks.")
    recent_change: Annotated[Seconds, Field(ge=1, le=30 * 86400)] | None = Field(
        default=None,
        description="How young a change must be to be blamed (1s to 30d); null: since the last known-good verdict.",
    )
    policy: Policy = Field(
        default="safe", description="safe; or literal: the document word by word (docs/deviations.md)."
    )


class QuickRollback(Section):
    """R11: one budget for the whole run."""

    deadline: Seconds = Field(
        default=300.0,
        ge=10,
        le=300,
        description="Limit of the whole run (10s to 5m).",
        json_schema_extra={"default": "300s"},
    )
    at_once: bool = Field(
        default=False, description="Replace all pods at once (`--surge`): faster, needs room for twice the pods."
    )


class Runbooks(Section):
    """Settings of single runbooks."""

    quick_rollback: QuickRollback = Field(default=QuickRollback(), description="The quick rollback (R11).")


class KnownGood(Section):
    """When a release has proven itself (B2)."""

    soak: Seconds = Field(
        default=600.0,
        ge=0,
        le=7 * 86400,
        description="Healthy time without a gap until it is known-good (0s to 7d).",
        json_schema_extra={"default": "10m"},
    )


class Lease(Section):
    """The right to act on the service, kept in its platform."""

    duration: Seconds = Field(
        default=15.0,
        ge=5,
        le=60,
        description="How long it holds without renewal (5s to 60s).",
        json_schema_extra={"default": "15s"},
    )


class State(Section):
    """Where Code Blue keeps its record."""

    directory: FilePath = Field(
        default="~/.local/state/codeblue",
        validate_default=True,
        description="Directory of the state; default: below ~/.local/state/codeblue/, one for each service and target.",
        json_schema_extra={"default": "~/.local/state/codeblue/<service>/<target>"},
    )
    database: SecretReference | None = Field(
        default=None,
        description="Reference to the URL of a PostgreSQL database ({env: NAME} or {file: PATH}); null: SQLite in the "
        "directory.",
    )


class Report(Section):
    """Where incident reports go."""

    directory: FilePath = Field(
        default="./incidents",
        validate_default=True,
        description="Directory of the reports, relative to the profile.",
        json_schema_extra={"default": "./incidents"},
    )


class Pages(Section):
    """Channels that people are paged on: references only."""

    slack_webhook: SecretReference | None = Field(
        default=None, description="Reference to the URL of a Slack webhook; null: no Slack."
    )
    pagerduty_routing_key: SecretReference | None = Field(
        default=None, description="Reference to the routing key of a PagerDuty service; null: no PagerDuty."
    )


class Profile(Section):
    """The whole of `codeblue.yaml`."""

    version: Annotated[Literal[1], BeforeValidator(_format_version)] = Field(
        description="Version of the profile's format: 1.", examples=[1]
    )
    service: Label = Field(
        description="Name of the protected service, an RFC 1123 label.", examples=["ai-diagnostics-api"]
    )
    platform: Platform = Field(description="Where the service runs.")
    health: Health = Field(default=Health(), description="How its health is asked for.")
    contract: Contract = Field(default=Contract(), description="What it offers beyond a readiness probe.")
    flags: Annotated[dict[FlagName, FlagState], AfterValidator(FrozenDict)] = Field(
        default_factory=FrozenDict,
        description="Expected state of its feature flags: true, false or a percentage as a whole number (R42).",
    )
    verify: Verify = Field(default=Verify(), description="When a recovery counts as verified.")
    triggers: Triggers = Field(default=Triggers(), description="When Code Blue acts by itself.")
    runbooks: Runbooks = Field(default=Runbooks(), description="Settings of single runbooks.")
    known_good: KnownGood = Field(default=KnownGood(), description="When a release has proven itself.")
    lease: Lease = Field(default=Lease(), description="The right to act on the service.")
    state: State = Field(default_factory=State, description="Where Code Blue keeps its record.")
    report: Report = Field(default_factory=Report, description="Where incident reports go.")
    contacts: Contacts | None = Field(default=None, description="Who is called.")
    pages: Pages | None = Field(default=None, description="Channels that people are paged on.")

    _digest: str = PrivateAttr(default="")

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the bytes of the file it was loaded from; "" where there was none."""
        return self._digest

    @property
    def workload(self) -> str:
        """The platform's name of what is protected."""
        return self.platform.deployment if isinstance(self.platform, Kubernetes) else self.platform.workload

    @property
    def target(self) -> Target:
        """What is protected, and where, as this profile names it."""
        return _target(self.platform)

    def model_post_init(self, context: Any) -> None:
        self._digest = (context or {}).get("digest", "")

    @model_validator(mode="before")
    @classmethod
    def _named_after_the_service(cls, data: Any, info: ValidationInfo) -> Any:
        """A default that holds the service's name; and sections whose defaults depend on what else is written."""
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        for section in ("state", "report"):
            filled.setdefault(section, {})
        service = data.get("service")
        if not isinstance(service, str) or not _LABEL.fullmatch(service):
            return filled
        platform = filled.get("platform")
        if isinstance(platform, dict) and platform.get("kind") == "local":
            filled["platform"] = {"workload": service} | platform
        return filled

    @field_validator("state", mode="before")
    @classmethod
    def _apart_from_other_targets(cls, state: Any, info: ValidationInfo) -> Any:
        """One service runs in several places, and their runs must never meet: each has a state of its own."""
        service, platform = info.data.get("service"), info.data.get("platform")
        if not isinstance(state, dict) or service is None or platform is None:
            return state
        more = str(platform.kubeconfig or "") if isinstance(platform, Kubernetes) else ""
        return {"directory": f"~/.local/state/codeblue/{service}/{_target(platform).folder(more)}"} | state

    @field_validator("health")
    @classmethod
    def _a_way_that_exists(cls, health: Health, info: ValidationInfo) -> Health:
        if health.via == "apiserver" and isinstance(info.data.get("platform"), Local):
            raise refusal(
                "needs kind: kubernetes, a local service has no API server", "write via: auto", at=("via",), quiet=True
            )
        return health

    @field_validator("contract")
    @classmethod
    def _a_place_that_exists(cls, contract: Contract, info: ValidationInfo) -> Contract:
        if contract.run_in == "pod" and isinstance(info.data.get("platform"), Local):
            raise refusal(
                "needs kind: kubernetes, a local service has no pods", "write run_in: local", at=("run_in",), quiet=True
            )
        return contract
