"""Where the service's metrics come from and what they are called: the section `signals` of a profile (R5-R8, R62)."""

import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator
from pydantic.functional_validators import AfterValidator

from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.section import FrozenDict, Section
from codeblue.profile.text import HttpUrl, plain
from codeblue.profile.units import Seconds, duration

Source = Literal["auto", "none", "scrape", "prometheus"]

_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}", re.ASCII)
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}", re.ASCII)


def _metric_name(value: object) -> str:
    if isinstance(value, str) and _METRIC.fullmatch(value):
        return value
    raise refusal("is not the name of a metric", "write it as the service exports it, for example http_requests_total")


def _label_name(value: object) -> str:
    if isinstance(value, str) and _LABEL.fullmatch(value):
        return value
    raise refusal("is not the name of a label", "write letters, digits and '_', for example status")


def _label_value(value: object) -> str:
    return plain(value, "the value of a label", "ai-diagnostics-prod")


MetricName = Annotated[
    str, BeforeValidator(_metric_name), WithJsonSchema({"type": "string", "pattern": f"^{_METRIC.pattern}$"})
]
LabelName = Annotated[
    str, BeforeValidator(_label_name), WithJsonSchema({"type": "string", "pattern": f"^{_LABEL.pattern}$"})
]
LabelValue = Annotated[str, BeforeValidator(_label_value), WithJsonSchema({"type": "string", "minLength": 1})]


class Names(Section):
    """What the service calls its metrics; the defaults are the contract's (R62). null: it has none."""

    requests: MetricName | None = Field(default="http_requests_total", description="Counter of answered requests.")
    status_label: LabelName = Field(
        default="status", description="Its label with the HTTP status, `503` or `5xx`; 500 and above are errors."
    )
    errors: MetricName | None = Field(
        default=None, description="Counter of failed requests, where it is one of its own; null: told by the status."
    )
    latency: MetricName | None = Field(
        default="http_request_duration_seconds", description="Histogram of the response time in seconds."
    )
    route_label: LabelName = Field(default="route", description="Label of both that names the route.")
    ai_requests: MetricName | None = Field(default="ai_requests_total", description="Counter of calls of the model.")
    ai_failures: MetricName | None = Field(
        default="ai_failures_total", description="Counter of those of them that failed."
    )
    working_set: MetricName | None = Field(
        default="service_memory_working_set_bytes", description="Gauge of a pod's working set."
    )
    memory_limit: MetricName | None = Field(
        default="service_memory_limit_bytes", description="Gauge of a pod's memory limit."
    )
    oom_kills: MetricName | None = Field(
        default="service_oom_kills_total", description="Counter of processes of a pod that were killed for memory."
    )


class Prometheus(Section):
    """A Prometheus that scrapes the service."""

    url: HttpUrl = Field(description="Its address, up to a path prefix if it has one.", examples=["http://prom:9090"])
    job: LabelValue | None = Field(
        default=None, description="Its job for the service, the label `job`; null: the service's name."
    )
    match: Annotated[dict[Annotated[str, BeforeValidator(_label_name)], LabelValue], AfterValidator(FrozenDict)] = (
        Field(default_factory=FrozenDict, description="Further labels that every series must have, by name.")
    )
    pod_label: LabelName = Field(
        default="pod", description="Label that names the pod; a series without it is taken by `instance`."
    )
    lookback: Seconds = duration(
        "2m", ge=5, le=900, description="How far each look goes back (5s to 15m): more than two scrape intervals."
    )
    token: SecretReference | None = Field(
        default=None, description="Reference to a bearer token; read anew at each look."
    )
    username: LabelValue | None = Field(default=None, description="User for basic authentication.")
    password: SecretReference | None = Field(default=None, description="Reference to that user's password.")

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> "Prometheus":
        if (self.username is None) != (self.password is None):
            raise refusal("has only one of username and password", "write both, or neither")
        if self.token is not None and self.username is not None:
            raise refusal("has a token and a user", "write the token or the user, not both")
        return self


class SignalsSection(Section):
    """Where the metrics of the service come from."""

    source: Source = Field(
        default="auto",
        description="scrape (each pod, at contract.metrics), prometheus, none, or auto: scrape where the contract "
        "names a path.",
    )
    interval: Seconds = duration("10s", ge=1, le=300, description="Time from one look to the next (1s to 5m).")
    timeout: Seconds = duration(
        "5s", ge=0.1, le=60, description="Limit of one look, for each source (100ms to 1m), at most the interval."
    )
    names: Names = Field(default=Names(), description="What the metrics are called.")
    ignore_routes: tuple[LabelValue, ...] | None = Field(
        default=None,
        description="Routes that are no traffic of clients, by the route label; null: those that the profile itself "
        "names, of health, metrics and processes. Name them all where the platform's own probe (readiness, liveness) "
        "asks for another path: it is not in the profile, and would count as traffic.",
    )
    prometheus: Prometheus | None = Field(default=None, description="The Prometheus to ask, for source: prometheus.")

    @field_validator("timeout")
    @classmethod
    def _within_the_interval(cls, timeout: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval")
        if interval is not None and timeout > interval:
            raise refusal(
                f"is longer than the interval ({timeout:g} s > {interval:g} s), so looks would overlap",
                "write a timeout that is at most signals.interval",
            )
        return timeout

    @model_validator(mode="after")
    def _a_source_that_exists(self) -> "SignalsSection":
        if self.source == "prometheus" and self.prometheus is None:
            raise refusal("is prometheus, but nothing says where it is", "add prometheus: {url: …}", at=("source",))
        return self
