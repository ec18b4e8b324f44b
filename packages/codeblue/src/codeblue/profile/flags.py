"""Where the feature flags are stored: the section `flag_store` of a profile (R20)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from codeblue.profile.refusal import refusal
from codeblue.profile.secretref import SecretReference
from codeblue.profile.section import Section
from codeblue.profile.text import FilePath, HttpUrl, Name, Subdomain

STORES = ("flagd_file", "config_map", "unleash")


class ConfigMapStore(Section):
    """A ConfigMap of the service's namespace that its pods mount as a volume; never as a subPath or an environment."""

    name: Subdomain = Field(description="Name of the ConfigMap.")
    key: Name = Field(default="flags.json", description="Key whose text has the flags.")
    form: Literal["flagd", "plain"] = Field(
        default="flagd",
        description="Form of the text: flagd's definitions, or one JSON object of names and values.",
    )


class UnleashStore(Section):
    """Unleash, through its Admin API."""

    url: HttpUrl = Field(description="Its address, without /api.", examples=["https://unleash.hospital.org"])
    token: SecretReference = Field(description="Reference to a token that may change flags of the environment.")
    environment: Name = Field(description="The environment whose clients are meant.", examples=["production"])
    project: Name = Field(default="default", description="The project that the flags are in.")


class FlagStoreSettings(Section):
    """One place; without this section the commands flags_status and flags_set of the contract are used."""

    flagd_file: FilePath | None = Field(
        default=None,
        description="File with flagd's definitions on this machine, read by the service; null: none.",
    )
    config_map: ConfigMapStore | None = Field(default=None, description="A ConfigMap; null: none.")
    unleash: UnleashStore | None = Field(default=None, description="Unleash; null: none.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [name for name in STORES if getattr(self, name) is not None]
        if len(given) != 1:
            said = "names no place" if not given else f"names {' and '.join(given)}"
            raise refusal(f"{said}, but flags are in one", f"write one of {', '.join(STORES)}", quiet=True)
        return self
