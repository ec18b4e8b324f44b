"""Who is reached when, and over which channels: the sections `escalation` and `severity` of a profile (R2, R3)."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic.functional_validators import AfterValidator

from codeblue.profile.contacts import Contacts
from codeblue.profile.refusal import refusal
from codeblue.profile.section import FrozenDict, Section
from codeblue.profile.units import Seconds, duration

RoleName = Literal[
    "on_call", "devops_lead", "ai_team", "security", "clinical_lead", "cto", "clinical_director", "ceo", "cmo"
]
SeverityName = Literal["SEV1", "SEV2", "SEV3", "SEV4"]
ImpactName = Literal["outage", "degraded", "none"]
TriggerName = Literal[
    "health",
    "error_rate",
    "latency",
    "memory",
    "ai",
    "alert",
    "security",
    "corruption",
    "patient-safety",
    "regulatory",
    "unrecoverable",
    "signals",
    "inhibition",
    "other",
]

#: Every channel with the keys of `pages` that configure it, in the order that they are tried in by default.
CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "pagerduty": ("pagerduty_routing_key", "pagerduty"),
    "slack": ("slack_webhook", "slack"),
    "apprise": ("apprise",),
    "inbox": ("inbox",),
}
#: People who are told outside of the levels: Security, and the Clinical lead.
TOLD: Final[tuple[RoleName, ...]] = ("security", "clinical_lead")


def _listed(value: object) -> object:
    if not isinstance(value, (list, tuple)):
        raise refusal("is not a list", "write a list: [one, another]")
    return tuple(value)


def _no_twice(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise refusal("names something twice", "write each name once")
    return value


def _somebody(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise refusal("names nobody", "write at least one role, as in [on_call]")
    return value


Roles = Annotated[
    tuple[RoleName, ...],
    BeforeValidator(_listed),
    AfterValidator(_no_twice),
    AfterValidator(_somebody),
    WithJsonSchema({"type": "array", "minItems": 1, "items": {"enum": list(get_args(RoleName))}}),
]
ChannelNames = Annotated[
    tuple[Literal["pagerduty", "slack", "apprise", "inbox"], ...],
    BeforeValidator(_listed),
    AfterValidator(_no_twice),
    WithJsonSchema({"type": "array", "items": {"enum": list(CHANNELS)}}),
]


def _channels(whose: str) -> "ChannelNames | None":
    found: ChannelNames | None = Field(
        default=None, description=f"Channels of {whose}, the primary one first; null: the next wider list."
    )
    return found


class FirstLevel(Section):
    """L1: from the beginning."""

    roles: Roles = Field(default=("on_call",), validate_default=True, description="Who is paged.")
    channels: ChannelNames | None = _channels("this level")


class SecondLevel(Section):
    """L2: the document's [15, 30) minutes."""

    after: Seconds = duration("15m", ge=0.1, le=86400, description="Time since the beginning (100ms to 1d).")
    roles: Roles = Field(default=("devops_lead", "ai_team"), validate_default=True, description="Who is paged.")
    channels: ChannelNames | None = _channels("this level")


class ThirdLevel(Section):
    """L3: the document's 30 minutes and more."""

    after: Seconds = duration("30m", ge=0.2, le=86400, description="Time since the beginning (200ms to 1d).")
    roles: Roles = Field(default=("cto", "clinical_director"), validate_default=True, description="Who is paged.")
    channels: ChannelNames | None = _channels("this level")


class FourthLevel(Section):
    """L4: critical patient safety, at once from any level."""

    roles: Roles = Field(default=("ceo", "cmo"), validate_default=True, description="Who is paged.")
    channels: ChannelNames | None = _channels("this level")


class Escalation(Section):
    """The ladder of an incident (R3)."""

    l1: FirstLevel = Field(default=FirstLevel(), description="Level 1.")
    l2: SecondLevel = Field(default=SecondLevel(), description="Level 2.")
    l3: ThirdLevel = Field(default=ThirdLevel(), validate_default=True, description="Level 3.")
    l4: FourthLevel = Field(default=FourthLevel(), description="Level 4.")
    until: Literal["mitigated", "acknowledged"] = Field(
        default="mitigated",
        description="What ends it: mitigated (the service is proven healthy, or a person says so), or acknowledged.",
    )
    repeat: Seconds = duration(
        "15m",
        ge=0,
        le=86400,
        description="The people of the level in force are paged again after this time without an acknowledgement; 0s: "
        "never.",
    )
    ack_expires: Seconds = duration(
        "30m",
        ge=0.1,
        le=86400,
        description="An acknowledgement after which nothing happens for so long counts no more (100ms to 1d).",
    )
    give_up: Seconds = duration(
        "30s",
        ge=0,
        le=600,
        description="How long a channel that is down is tried before the next one takes over (0s to 10m).",
    )
    tries: int = Field(default=5, ge=1, le=100, description="How often it is tried in that time, at most (1 to 100).")

    @field_validator("l3")
    @classmethod
    def _after_the_second(cls, l3: ThirdLevel, info: ValidationInfo) -> ThirdLevel:
        l2 = info.data.get("l2")
        if l2 is not None and l3.after <= l2.after:
            raise refusal(
                f"is not later than level 2 ({l3.after:g} s ≤ {l2.after:g} s)",
                "write a longer time than escalation.l2.after",
                at=("after",),
            )
        return l3


class Plan(Section):
    """What a severity means for the ladder."""

    starts_at: Literal["L1", "L2", "L3"] = Field(
        default="L1", description="The level of the beginning; the levels below it are paged with it."
    )
    up_to: Literal["L1", "L2", "L3"] = Field(
        default="L3", description="The last level that is reached by time alone; a person can always go further."
    )
    channels: ChannelNames | None = _channels("this severity")

    @field_validator("up_to")
    @classmethod
    def _not_below_the_start(cls, up_to: str, info: ValidationInfo) -> str:
        start = info.data.get("starts_at")
        if isinstance(start, str) and up_to < start:
            raise refusal(f"is below starts_at ({up_to} < {start})", "write the same level or a higher one")
        return up_to


class QuietPlan(Plan):
    """As `Plan`, of what wakes nobody but the engineer on call."""

    up_to: Literal["L1", "L2", "L3"] = Field(
        default="L1", description="The last level that is reached by time alone; a person can always go further."
    )


class SeverityPlan(Section):
    """How bad it is (SEV1 to SEV4), from the trigger and the impact, and what follows from that (R3)."""

    table: Annotated[
        dict[TriggerName, Annotated[dict[ImpactName, SeverityName], AfterValidator(FrozenDict)]],
        AfterValidator(FrozenDict),
    ] = Field(
        default_factory=FrozenDict,
        description="trigger: {impact: severity}, where it is to be another one than in docs/escalation.md.",
    )
    sev1: Plan = Field(default=Plan(), description="Of SEV1, the worst.")
    sev2: Plan = Field(default=Plan(), description="Of SEV2.")
    sev3: Plan = Field(default=Plan(), description="Of SEV3.")
    sev4: QuietPlan = Field(default=QuietPlan(), description="Of SEV4: by time alone only level 1 is paged.")


def configured(pages: object) -> tuple[str, ...]:
    """The channels that `pages` has keys for, in their order: `pages.order`, then those that it leaves out."""
    if pages is None:
        return ()
    there = [name for name, keys in CHANNELS.items() if any(getattr(pages, key, None) is not None for key in keys)]
    first = [name for name in getattr(pages, "order", ()) if name in there]
    return (*first, *(name for name in there if name not in first))


def by_level(escalation: Escalation) -> dict[str, tuple[RoleName, ...]]:
    """Every level with whom it pages, and those who are told outside of the levels."""
    e = escalation
    levels = {"L1": e.l1.roles, "L2": e.l2.roles, "L3": e.l3.roles, "L4": e.l4.roles}
    return {**levels, "notice": TOLD}


def lint(pages: object, contacts: Contacts | None, escalation: Escalation, severity: SeverityPlan) -> None:
    """Everybody has a phone; and once `pages` is configured, every level reaches everybody it names (R2, R3, D21).

    Raises:
        PydanticCustomError: with the keys that it is about.
    """
    channels = configured(pages)
    if channels != ("inbox",):  # a directory of this machine calls nobody
        for role in get_args(RoleName):
            contact = getattr(contacts, role, None)
            if contact is not None and contact.phone is None:
                raise refusal("is missing", f"add phone to contacts.{role}", at=("contacts", role, "phone"))
    if not channels:
        return
    for path, names in _named(escalation, severity):
        for name in names or ():
            if name not in channels:
                raise refusal(
                    f"names {name}, which pages does not configure",
                    f"configure pages.{CHANNELS[name][0]}, or write only {', '.join(channels)}",
                    at=path,
                )
        if names == ():
            raise refusal("is an empty list: nobody would be paged", "name a channel, or write null", at=path)
    missing: dict[str, list[str]] = {}
    for level, roles in by_level(escalation).items():
        for role in roles:
            if getattr(contacts, role, None) is None:
                missing.setdefault(role, []).append(level)
    if missing:
        who = "; ".join(f"{role} ({_why(levels)})" for role, levels in missing.items())
        raise refusal(
            f"a level reaches nobody: {len(missing)} of the people who are to be paged have no contact: {who}",
            f"add contacts.{next(iter(missing))} with name and phone, and so on"
            if len(missing) > 1
            else f"add contacts.{next(iter(missing))} with name and phone",
            at=("contacts",) if contacts is not None else ("pages",),
            quiet=True,
        )
    for level, roles in by_level(escalation).items():
        for role in roles:
            if not any(_reaches(pages, name, role) for name in channels):
                raise refusal(
                    f"no channel reaches {role} ({_why([level])})",
                    f"give {role} an address in one of {', '.join(channels)}",
                    at=("pages",),
                    quiet=True,
                )
    _lint_lists(pages, escalation, severity)


def _lint_lists(pages: object, escalation: Escalation, severity: SeverityPlan) -> None:
    """Each list of channels reaches everybody who is paged over it: the level's, else the severity's."""
    for path, names in _named(escalation, severity):
        if names is None:
            continue
        for level, roles in _paged_over(path, escalation).items():
            missed = [role for role in roles if not any(_reaches(pages, name, role) for name in names)]
            if missed:
                who = ", ".join(missed)
                other = [n for n in configured(pages) if n not in names and all(_reaches(pages, n, r) for r in missed)]
                raise refusal(
                    f"reaches nobody of {who} ({_why([level])}): {', '.join(names)} "
                    f"{'has' if len(names) == 1 else 'have'} no address of theirs",
                    f"give {who} an address in pages.{CHANNELS[names[0]][-1]}"
                    + (f", or add {other[0]} to the list" if other else ", or write null: the next wider list"),
                    at=path,
                )


def _paged_over(path: tuple[str, ...], escalation: Escalation) -> dict[str, tuple[RoleName, ...]]:
    """The levels with their people whose pages go over the list of channels at this place of the profile."""
    everybody = by_level(escalation)
    if path[0] == "escalation":
        level = path[1].upper()
        return {level: everybody[level]}
    own = {f"L{n}" for n in range(1, 5) if getattr(escalation, f"l{n}").channels is not None}
    return {level: roles for level, roles in everybody.items() if level not in own}


def _why(levels: list[str]) -> str:
    return " and ".join("told outside of the levels" if level == "notice" else level for level in levels)


def _reaches(pages: object, channel: str, role: str) -> bool:
    """Whether a channel has an address for a role: those with one for each role list them."""
    given = [value for key in CHANNELS[channel] if (value := getattr(pages, key, None)) is not None]
    reached = [value if isinstance(value, Mapping) else getattr(value, "reached", None) for value in given]
    return any(roles is None or role in roles for roles in reached)


def _named(escalation: Escalation, severity: SeverityPlan) -> list[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    levels = [(("escalation", f"l{n}", "channels"), getattr(escalation, f"l{n}").channels) for n in range(1, 5)]
    return levels + [(("severity", f"sev{n}", "channels"), getattr(severity, f"sev{n}").channels) for n in range(1, 5)]
