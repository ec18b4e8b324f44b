"""What Code Blue answers over HTTP, and who outside watches it: the sections `api` and `watchdog` of a profile."""

import re
from ipaddress import IPv6Address
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.section import Section
from codeblue.profile.text import plain
from codeblue.profile.units import Seconds, duration

#: Where it listens unless something else is said: this machine only.
LISTEN: Final = "127.0.0.1:8700"

#: A standby says something once for every duration of the lease, and its look takes a moment more.
WATCH_MARGIN_S: Final = 5.0

_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)
_LISTEN: Final = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]{2,45})\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5})", re.ASCII)
_USER: Final = re.compile(r"[UW][A-Z0-9]{2,30}", re.ASCII)


def parse_listen(value: object) -> tuple[str, int]:
    """ "127.0.0.1:8700" or "[::1]:8700" as host and port.

    Raises:
        PydanticCustomError: for anything else; the port 0 is refused, nobody would know where to knock.
    """
    remedy = f'write host and port, for example "{LISTEN}", or "0.0.0.0:8700" for every address of this machine'
    found = _LISTEN.fullmatch(plain(value, "an address to listen on", LISTEN))
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise refusal("is not an address to listen on", remedy)
    host = found["six"] or found["host"]
    if found["six"]:
        try:
            IPv6Address(host)
        except ValueError:
            raise refusal("is not an address to listen on", remedy) from None
    elif not _HOST.fullmatch(host):
        raise refusal("is not an address to listen on", remedy)
    return host, int(found["port"])


def _listen(value: object) -> str:
    parse_listen(value)
    return str(value)


def _user(value: Any) -> str:
    text = plain(value, "the id of a Slack user", "U" + "(the member's id)")
    if not _USER.fullmatch(text):
        raise refusal(
            "is not the id of a Slack user", "write the member id from the person's profile in Slack, not the name"
        )
    return text


_SlackUser = Annotated[
    str, BeforeValidator(_user), WithJsonSchema({"type": "string", "pattern": "^[UW][A-Z0-9]{2,30}$"})
]


class Api(Section):
    """What `codeblue serve` answers over HTTP. An endpoint whose secret is not named does not exist."""

    listen: Annotated[
        str,
        BeforeValidator(_listen),
        WithJsonSchema({"type": "string", "pattern": r"^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):\d{1,5}$"}),
    ] = Field(default=LISTEN, description="Host and port to listen on. There is no TLS here: a proxy adds it.")
    alerts_token: SecretReference | None = Field(
        default=None,
        description="Reference to the bearer token that Alertmanager sends; null: POST /v1/alerts does not exist.",
    )
    status_token: SecretReference | None = Field(
        default=None,
        description="Reference to the bearer token of those who may read; null: GET /v1/status does not exist.",
    )
    slack_signing_secret: SecretReference | None = Field(
        default=None,
        description="Reference to the Slack app's signing secret; null: POST /v1/slack/actions does not exist.",
    )
    slack_approvers: tuple[_SlackUser, ...] = Field(
        default=(),
        max_length=200,
        strict=False,
        description="Ids of the Slack users who may approve a run there; whoever is in the channel may acknowledge.",
    )
    pagerduty_secret: SecretReference | None = Field(
        default=None,
        description="Reference to the secret of a PagerDuty webhook subscription (v3); null: POST /v1/pagerduty does "
        "not exist.",
    )
    alerts_per_hour: int = Field(
        default=2000,
        ge=10,
        le=100_000,
        description="New alerts that are recorded in an hour at most; the sender is told to try again later (10 to "
        "100000).",
    )
    alert_expires: Seconds = duration(
        "6h",
        ge=60,
        le=7 * 86400,
        description="How long an alert counts as firing when nothing more is heard of it (1m to 7d); longer than the "
        "sender's repeat_interval.",
    )
    alert_lag: Seconds = duration(
        "15m",
        ge=0,
        le=86400,
        description="How long an alert may fire on after its incident is over before it counts as a new one (0s to "
        "1d).",
    )


class Watchdog(Section):
    """Who watches Code Blue itself."""

    url: SecretReference | None = Field(
        default=None,
        description="Reference to the URL of a dead man's switch outside, which calls people when our signs of life "
        "stay away; null: none.",
    )
    every: Seconds = duration("1m", ge=1, le=3600, description="Time between two signs of life (1s to 1h).")
    silent_after: Seconds = duration(
        "2m",
        ge=5,
        le=3600,
        description="The loop is taken to hang when its last cycle is older than this (5s to 1h): no more signs of "
        "life, and /healthz says 503.",
    )
