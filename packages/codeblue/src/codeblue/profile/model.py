"""The profile: everything a team says about its service, in one frozen value (R1c).

Durations are seconds (`float`), percentages fractions, paths absolute. `codeblue.profile.load` makes it from
`codeblue.yaml`; nothing here reads or writes anything. The larger sections are modules of their own.
"""

import os
import re
from typing import Annotated, Any, Final, Literal, Self, assert_never

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic.functional_validators import AfterValidator

from codeblue.model.target import Target
from codeblue.profile.acting import KnownGood, Lease, Runbooks, Triggers, Verify
from codeblue.profile.api import WATCH_MARGIN_S, Api, Watchdog
from codeblue.profile.channels import Pages
from codeblue.profile.contacts import Contacts
from codeblue.profile.flags import FlagStoreSettings
from codeblue.profile.people import Escalation, SeverityPlan, lint
from codeblue.profile.platform import Kubernetes, Local, Platform
from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.section import FrozenDict, Section
from codeblue.profile.service import Contract, FlagName, FlagState, Health
from codeblue.profile.signals import SignalsSection
from codeblue.profile.status_page import StatusPageSettings
from codeblue.profile.text import FilePath, Label
from codeblue.profile.units import show_duration

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def _format_version(value: object) -> int:
    if type(value) is int and value == 1:
        return value
    raise refusal("is not a version of the profile's format that is known here", "write version: 1")


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


def _target(platform: Platform) -> Target:
    match platform:
        case Kubernetes():
            return Target(platform.kind, platform.context, f"{platform.namespace}/{platform.deployment}")
        case Local():
            return Target(platform.kind, os.path.normpath(platform.directory), platform.workload)
        case never:
            assert_never(never)


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
    signals: SignalsSection = Field(default=SignalsSection(), description="Where its metrics come from.")
    flags: Annotated[dict[FlagName, FlagState], AfterValidator(FrozenDict)] = Field(
        default_factory=FrozenDict,
        description="Expected state of its feature flags: true, false or a percentage as a whole number (R42).",
    )
    flag_store: FlagStoreSettings | None = Field(
        default=None, description="Where those flags are stored; null: contract.commands flags_status and flags_set."
    )
    verify: Verify = Field(default=Verify(), description="When a recovery counts as verified.")
    triggers: Triggers = Field(default=Triggers(), description="When Code Blue acts by itself.")
    runbooks: Runbooks = Field(default=Runbooks(), description="Settings of single runbooks.")
    known_good: KnownGood = Field(default=KnownGood(), description="When a release has proven itself.")
    lease: Lease = Field(default=Lease(), description="The right to act on the service.")
    state: State = Field(default_factory=State, description="Where Code Blue keeps its record.")
    report: Report = Field(default_factory=Report, description="Where incident reports go.")
    api: Api | None = Field(default=None, description="What is answered over HTTP; null: nothing.")
    watchdog: Watchdog = Field(default=Watchdog(), description="Who watches Code Blue itself.")
    contacts: Contacts | None = Field(
        default=None, description="Who is called. Everybody whom a level names is required once `pages` has a channel."
    )
    pages: Pages | None = Field(default=None, description="Channels that people are paged on; null: nobody is paged.")
    status_page: StatusPageSettings | None = Field(
        default=None, description="The public status page; null: the public is told nothing."
    )
    escalation: Escalation = Field(default=Escalation(), description="Who is paged when.")
    severity: SeverityPlan = Field(default_factory=SeverityPlan, description="How bad it is, and what that means.")

    @property
    def workload(self) -> str:
        """The platform's name of what is protected."""
        match self.platform:
            case Kubernetes() as at:
                return at.deployment
            case Local() as at:
                return at.workload
            case never:
                assert_never(never)

    @property
    def signal_source(self) -> Literal["none", "scrape", "prometheus"]:
        """Where the metrics come from, `auto` resolved."""
        if self.signals.source == "auto":
            return "none" if self.contract.metrics is None else "scrape"
        return self.signals.source

    @property
    def ignored_routes(self) -> frozenset[str]:
        """Values of `signals.names.route_label` that are no traffic of clients: what asks for health and metrics.

        Probes come at their own pace, whatever the clients do: counted in, they would thin out every rate (R5, R6).
        """
        if self.signals.ignore_routes is not None:
            return frozenset(self.signals.ignore_routes)
        offered = self.contract
        health = (self.health.path, offered.health_database, offered.health_redis, offered.health_ai_services)
        return frozenset(path for path in (*health, offered.metrics, offered.processes) if path is not None)

    @property
    def target(self) -> Target:
        """What is protected, and where, as this profile names it."""
        return _target(self.platform)

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

    @model_validator(mode="after")
    def _every_level_reaches_somebody(self) -> Self:
        lint(self.pages, self.contacts, self.escalation, self.severity)
        return self

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
        if health.via in ("apiserver", "url") and isinstance(info.data.get("platform"), Local):
            why = "has no API server" if health.via == "apiserver" else "is asked through its own forwarder"
            raise refusal(f"needs kind: kubernetes, a local service {why}", "write via: auto", at=("via",), quiet=True)
        return health

    @field_validator("signals")
    @classmethod
    def _something_to_scrape(cls, signals: SignalsSection, info: ValidationInfo) -> SignalsSection:
        contract = info.data.get("contract")
        if signals.source == "scrape" and contract is not None and contract.metrics is None:
            raise refusal(
                "is scrape, but the contract names no path of metrics", "add contract.metrics: /metrics", at=("source",)
            )
        return signals

    @field_validator("watchdog")
    @classmethod
    def _slower_than_a_standby(cls, watchdog: Watchdog, info: ValidationInfo) -> Watchdog:
        lease = info.data.get("lease")
        if isinstance(lease, Lease) and watchdog.silent_after < lease.duration + WATCH_MARGIN_S:
            least = show_duration(lease.duration + WATCH_MARGIN_S)
            raise refusal(
                "is too short: whoever stands by looks at the lease for as long as it holds (lease.duration)",
                f"write {least} or more",
                at=("silent_after",),
            )
        return watchdog

    @field_validator("flag_store")
    @classmethod
    def _a_platform_with_config_maps(
        cls, store: FlagStoreSettings | None, info: ValidationInfo
    ) -> FlagStoreSettings | None:
        if store is not None and store.config_map is not None and isinstance(info.data.get("platform"), Local):
            raise refusal(
                "needs kind: kubernetes, a local service has no ConfigMaps",
                "write flagd_file: PATH",
                at=("config_map",),
                quiet=True,
            )
        return store

    @field_validator("contract")
    @classmethod
    def _a_place_that_exists(cls, contract: Contract, info: ValidationInfo) -> Contract:
        if contract.run_in == "pod" and isinstance(info.data.get("platform"), Local):
            raise refusal(
                "needs kind: kubernetes, a local service has no pods", "write run_in: local", at=("run_in",), quiet=True
            )
        return contract
