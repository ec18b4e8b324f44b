"""What the public is told, and where: the section `status_page` of a profile (R22)."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from codeblue.profile.channels import ApiUrl
from codeblue.profile.people import SeverityName
from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.section import Section
from codeblue.profile.text import plain

_ID: Final = re.compile(r"[a-z0-9]{8,24}", re.ASCII)
_TEMPLATE: Final = re.compile(
    r"page|your|example|component|incident|status|changeme|placeholder|dummy|sample|test|todo"
)
_STEPS: Final = "0123456789abcdefghijklmnopqrstuvwxyz0"
_MAX_TEXT: Final = 1000


def parse_id(value: object) -> str:
    """An id of Statuspage: twelve or so lower-case letters and digits.

    Raises:
        PydanticCustomError: for another form, and for what a template leaves behind (D33): words, `abcd1234`, `aaaa…`.
    """
    example = "(lower-case letters and digits)"
    text = plain(value, "an id of Statuspage", example)
    remedy = "copy it from the page's own address in Statuspage (manage.statuspage.io/pages/ID)"
    if _TEMPLATE.search(text.lower()):
        raise refusal("is a placeholder", remedy, quiet=True)
    if not _ID.fullmatch(text):
        raise refusal("is not an id of Statuspage", remedy, quiet=True)
    parts = [text[n : n + 4] for n in range(0, len(text) - 3)]
    if len(set(text)) < 5 or sum(part in _STEPS for part in parts) >= 3 or text[:6] * 2 == text:
        raise refusal("is a placeholder", remedy, quiet=True)
    return text


def _public(value: object) -> str:
    text = plain(value, "what the public reads", "We are investigating degraded results.")
    if len(text) > _MAX_TEXT:
        raise refusal(f"is longer than {_MAX_TEXT} characters", "write a short text")
    return text


def _title(value: object) -> str:
    text = _public(value)
    if len(text) > 255:
        raise refusal("is longer than 255 characters", "write a short name")
    return text


def _listed(value: object) -> object:
    if not isinstance(value, (list, tuple)):
        raise refusal("is not a list", "write a list: [one, another]")
    return tuple(value)


def _no_twice(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise refusal("names something twice", "write each once")
    return value


StatuspageId = Annotated[
    str, BeforeValidator(parse_id), WithJsonSchema({"type": "string", "pattern": "^[a-z0-9]{8,24}$"})
]
Public = Annotated[str, BeforeValidator(_public), WithJsonSchema({"type": "string", "minLength": 1})]


class Wording(Section):
    """What each status says. Nothing else ever reaches the public: no name, no version, no cause (B9)."""

    investigating: Public = Field(
        default="We are investigating degraded results of AI diagnostics.", description="While the cause is unknown."
    )
    identified: Public = Field(
        default="The cause has been identified, and we are restoring the service.",
        description="Once it is decided what to do, or being done.",
    )
    monitoring: Public = Field(
        default="The service has been restored. We are verifying that it stays healthy.",
        description="After a proven rollback, while its verification goes on.",
    )
    resolved: Public = Field(
        default="The service works normally again.", description="When the service is proven healthy."
    )


class StatusPageSettings(Section):
    """A page of Atlassian Statuspage."""

    page: StatuspageId = Field(description="Id of the page. Placeholders are refused (D33).")
    api_key: SecretReference = Field(description="Reference to an API key of somebody who may manage the page.")
    mode: Literal["act", "observe"] = Field(
        default="act", description="act: tell the public; observe: only say what would be told."
    )
    severities: Annotated[
        tuple[SeverityName, ...],
        BeforeValidator(_listed),
        AfterValidator(_no_twice),
        WithJsonSchema({"type": "array", "items": {"enum": ["SEV1", "SEV2", "SEV3", "SEV4"]}}),
    ] = Field(default=("SEV1", "SEV2"), description="Incidents that the public is told about.")
    title: Annotated[str, BeforeValidator(_title), WithJsonSchema({"type": "string", "minLength": 1})] = Field(
        default="AI Diagnostics Service Degradation", description="Name of each entry (R22)."
    )
    wording: Wording = Field(default=Wording(), description="What each status says.")
    components: Annotated[
        tuple[StatuspageId, ...],
        BeforeValidator(_listed),
        AfterValidator(_no_twice),
        WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9]{8,24}$"}}),
    ] = Field(default=(), description="Ids of the page's components that are shown as affected.")
    affected: Literal["degraded_performance", "partial_outage", "major_outage"] = Field(
        default="degraded_performance", description="Their status until the entry is resolved."
    )
    impact: Literal["none", "minor", "major", "critical"] | None = Field(
        default=None, description="Impact of the entry; null: the page derives it from the components."
    )
    api: ApiUrl = Field(default="https://api.statuspage.io/v1", description="Base address of the API.")
