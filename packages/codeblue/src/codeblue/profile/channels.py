"""The channels that people are paged on: the section `pages` of a profile. Secrets are references only."""

import re
from collections.abc import Collection
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from codeblue.profile.people import CHANNELS, ChannelNames, RoleName, Roles
from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.section import FrozenDict, Section
from codeblue.profile.text import FilePath, HttpUrl, plain

#: How the reference tells the order of channels.
ORDER: Final = ", ".join(CHANNELS)
_SLACK_CHANNEL: Final = re.compile(r"[CG][A-Z0-9]{6,20}", re.ASCII)
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def _https(url: str) -> str:
    """What leaves this machine is encrypted."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise refusal("is not encrypted", "write a URL that begins with https://", quiet=True)
    return url.rstrip("/")


#: Where a provider's API is. http only on this machine, for tests and a proxy of one's own.
ApiUrl = Annotated[HttpUrl, AfterValidator(_https)]


def _slack_channel(value: object) -> str:
    remedy = "write the id that Slack shows below a channel's details, which begins with C or G"
    text = plain(value, "the id of a Slack channel", "C" + "(letters and digits)")
    if not _SLACK_CHANNEL.fullmatch(text):
        raise refusal("is not the id of a Slack channel", remedy)
    return text


SlackChannelId = Annotated[
    str,
    BeforeValidator(_slack_channel),
    WithJsonSchema({"type": "string", "pattern": "^[CG][A-Z0-9]{6,20}$"}),
]


class SlackPages(Section):
    """A Slack channel, written to with a bot token, or with an incoming webhook."""

    token: SecretReference | None = Field(
        default=None, description="Reference to a bot token with chat:write; with `channel`. null: a webhook."
    )
    channel: SlackChannelId | None = Field(
        default=None, description="Id of the channel, which the app must be in; with `token`."
    )
    webhook: SecretReference | None = Field(
        default=None, description="Reference to the URL of an incoming webhook, in the place of token and channel."
    )
    roles: Roles | None = Field(default=None, description="Who reads it; null: everybody.")
    api: ApiUrl = Field(default="https://slack.com/api", description="Base address of the Web API.")

    @property
    def reached(self) -> Collection[str] | None:
        """The roles that it reaches; None: all."""
        return self.roles

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.token is None) == (self.webhook is None):
            raise refusal("names not exactly one way", "write token and channel, or webhook", quiet=True)
        if (self.token is None) != (self.channel is None):
            missing = "channel" if self.channel is None else "token"
            raise refusal(f"needs {missing} as well", f"add {missing}, or write webhook in their place", quiet=True)
        return self


class PagerDutyPages(Section):
    """Integrations (Events API v2) of PagerDuty services; who is called for a key is PagerDuty's own rota."""

    routing_key: SecretReference | None = Field(
        default=None, description="Reference to the routing key for everybody whom `roles` does not name; null: none."
    )
    roles: Annotated[dict[RoleName, SecretReference], AfterValidator(FrozenDict)] = Field(
        default_factory=FrozenDict, description="References to routing keys by role, for people with another rota."
    )
    api: ApiUrl = Field(
        default="https://events.pagerduty.com",
        description="Where events go; for accounts in the EU https://events.eu.pagerduty.com.",
    )

    @property
    def reached(self) -> Collection[str] | None:
        """The roles that it reaches; None: all."""
        return None if self.routing_key is not None else self.roles

    @model_validator(mode="after")
    def _some_key(self) -> Self:
        if self.routing_key is None and not self.roles:
            raise refusal("names no routing key", "add routing_key: {env: NAME} or {file: PATH}", quiet=True)
        return self


class Pages(Section):
    """Channels that people are paged on; secrets are references only."""

    pagerduty: PagerDutyPages | None = Field(default=None, description="PagerDuty; null: none.")
    slack: SlackPages | None = Field(default=None, description="Slack; null: none.")
    apprise: Annotated[dict[RoleName, SecretReference], AfterValidator(FrozenDict)] | None = Field(
        default=None,
        description="References to apprise URLs (e-mail, SMS, calls and more) by role, one URL on each line of the "
        "secret; null: none.",
    )
    slack_webhook: SecretReference | None = Field(
        default=None, description="Reference to the URL of a Slack webhook, short for slack: {webhook: …}; null: none."
    )
    pagerduty_routing_key: SecretReference | None = Field(
        default=None,
        description="Reference to the routing key of a PagerDuty service, short for pagerduty: {routing_key: …}; "
        "null: none.",
    )
    inbox: FilePath | None = Field(
        default=None,
        description="Directory of this machine that gets each page as a file, for trying things out; null: none.",
    )
    order: ChannelNames = Field(
        default=(), description="Channels in the order in which they are tried; those left out follow: " + ORDER + "."
    )

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        for short, name in (("slack_webhook", "slack"), ("pagerduty_routing_key", "pagerduty")):
            if getattr(self, short) is not None and getattr(self, name) is not None:
                raise refusal(f"says the same as {name}", f"delete {short}", at=(short,), quiet=True)
        return self
