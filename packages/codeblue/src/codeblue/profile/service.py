"""What the service says of itself: the sections `health`, `contract` and `flags` of a profile."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic.functional_validators import AfterValidator

from codeblue.profile.refusal import refusal
from codeblue.profile.section import FrozenDict, Section
from codeblue.profile.text import HttpUrl, Name, UrlPath
from codeblue.profile.units import Seconds, duration

Via = Literal["auto", "direct", "apiserver", "url"]
CommandName = Literal["database_health", "external_health", "flags_set", "flags_status", "smoke", "verify_rollback"]

COMMANDS: Final[tuple[str, ...]] = get_args(CommandName)
#: Programs that take options behind a script's name for themselves, up to `--` (D26).
_SWALLOWING: Final = frozenset(("npm", "pnpm", "npm.cmd"))
_FLAG: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_SECRET_ARGUMENT: Final = re.compile(
    r"://[^/@\s]{0,100}:[^/@\s]{1,200}@"
    r"|^--?[a-z-]{0,40}?(password|passwd|token|secret|api-?key)[a-z-]{0,40}(=.|$)"
    r"|^[A-Z0-9_]{0,40}?(PASSWORD|TOKEN|SECRET|API_?KEY)[A-Z0-9_]{0,40}=.",
    re.IGNORECASE,
)


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


class Health(Section):
    """How an attempt in the sense of R4 is made: one round of probes."""

    path: UrlPath = Field(default="/api/health", description="Path of the shallow health answer.")
    interval: Seconds = duration(
        "10s",
        ge=0.1,
        le=3600,
        description="Time from one round to the next (100ms to 1h).",
    )
    timeout: Seconds = duration(
        "5s",
        ge=0.05,
        le=300,
        description="Limit of one probe (50ms to 5m), at most the interval.",
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

    @field_validator("commands")
    @classmethod
    def _a_value_that_arrives(cls, commands: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """D26: npm takes `--enabled false` for itself, and the script behind it sees no value."""
        setter = commands.get("flags_set")
        if setter is None:
            return commands
        missing = [what for what in ("{flag}", "{value}") if not any(what in argument for argument in setter)]
        if missing:
            raise refusal(
                f"does not say where {' and '.join(missing)} stand",
                "write them as arguments: [npm, run, set-flag, --, '{flag}', '{value}']",
                at=("flags_set",),
                quiet=True,
            )
        if Path(setter[0]).name in _SWALLOWING:
            before = setter[1 : setter.index("--")] if "--" in setter else setter[1:]
            if any("{" in argument or argument.startswith("-") for argument in before[2:]):
                raise refusal(
                    f"gives {Path(setter[0]).name} itself the flag or the value, and the script would never see them",
                    "write -- before the script's own arguments: [npm, run, set-flag, --, '{flag}', '{value}']",
                    at=("flags_set",),
                    quiet=True,
                )
        return commands

    run_in: Literal["local", "pod"] = Field(
        default="local", description="Where operator commands run: on this machine, or in a pod of the service."
    )
