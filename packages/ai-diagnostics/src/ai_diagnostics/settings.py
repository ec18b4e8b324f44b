"""The whole configuration, read once from the environment; every error is shown, before anything starts.

The variables are listed in this package's README. Nothing is mandatory: without any, the service keeps its data in
SQLite below `DATA_DIR`, and every external system is `disabled`.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ai_diagnostics import control, secret
from ai_diagnostics import faults as faults_module
from ai_diagnostics.faults import Faults
from ai_diagnostics.schema import LATEST, OLDEST_SUPPORTED
from ai_diagnostics.secret import Secret

PROMPT_VERSIONS, LATEST_PROMPT = ("p1", "p2"), "p2"  # their texts are in prompt.py
MIN_SECRET = 32  # characters; HS256 needs a key of at least 256 bits (RFC 7518, 3.2)


class SettingsError(ValueError):
    """The environment is wrong; the message has one line per error."""


@dataclass(frozen=True)
class Storage:
    """Where data and control state live: MongoDB when `mongodb_uri` is set, else the two SQLite files.

    The control state (flags, modes, process reports) is kept apart from the data, so that restoring the data never
    lifts a read-only mode or brings an old flag back.
    """

    sqlite_path: Path
    control_path: Path
    mongodb_uri: Secret | None = None
    mongodb_database: str = "ai_diagnostics"
    control_database: str = "ai_diagnostics_control"
    auto_migrate: bool = True
    schema_version: int = LATEST


@dataclass(frozen=True)
class Upstream:
    """One external HTTP API; `url` None means that it is not configured (`disabled`)."""

    url: str | None = None
    key: Secret | None = None


@dataclass(frozen=True)
class Settings:
    """What one service process was told. `started` is the monotonic start time; `*_s` are seconds."""

    storage: Storage
    version: str = "0.1.0"
    host: str = "0.0.0.0"  # noqa: S104  # a container's port is its only interface
    port: int = 5000
    workers: int = 2
    grace_s: float = 20.0
    pod: str = ""
    pod_uid: str = ""
    faults: Faults = field(default_factory=Faults)
    started: float = field(default_factory=time.monotonic)
    jwt_keys: Mapping[str, Secret] = field(default_factory=dict)
    redis_url: Secret | None = None
    openrouter: Upstream = field(default_factory=Upstream)
    rxnorm: Upstream = field(default_factory=Upstream)
    fhir: Upstream = field(default_factory=Upstream)
    lab: Upstream = field(default_factory=Upstream)
    model: str = "openai/gpt-4o-mini"
    prompt_version: str = LATEST_PROMPT
    ai_timeout_s: float = 25.0
    breaker_reset_s: float = 30.0
    memory_limit_bytes: int | None = None
    initial: Mapping[str, control.Value] = field(default_factory=dict)


class _Reader:
    """Reads typed variables and collects what is wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.errors: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self.env.get(name, "").strip() or default

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.text(name)
        try:
            value = float(text) if text else default
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            self.errors.append(f"{name}={text!r} must be a number from {low:g} to {high:g}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        text = self.text(name).lower()
        if text not in ("", "true", "false"):
            self.errors.append(f"{name}={text!r} must be true or false")
        return default if not text else text == "true"

    def choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if text not in known:
            self.errors.append(f"{name}={text!r} is unknown; known are {', '.join(known)}")
        return text

    def secret(self, name: str) -> Secret | None:
        try:
            return secret.from_env(self.env, name)
        except ValueError as error:
            self.errors.append(str(error))
            return None

    def upstream(self, prefix: str, key: str, default_url: str = "") -> Upstream:
        found = self.secret(key) if key else None
        url = self.text(f"{prefix}_BASE_URL", default_url if found else "").rstrip("/")
        if url and not url.startswith(("http://", "https://")):
            self.errors.append(f"{prefix}_BASE_URL={url!r} must begin with http:// or https://")
        return Upstream(url or None, found)


def read(env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: with every error found, one a line.
    """
    reader = _Reader(env)
    faults = Faults()
    try:
        faults = faults_module.parse(reader.text("RELEASE_FAULT"))
    except ValueError as error:
        reader.errors.append(str(error))
    settings = Settings(
        storage=_storage(reader),
        version=reader.text("RELEASE_VERSION", "0.1.0"),
        host=reader.text("HOST", "0.0.0.0"),  # noqa: S104
        port=int(reader.number("PORT", 5000, 0, 65535)),
        workers=int(reader.number("WORKERS", 2, 1, 64)),
        grace_s=reader.number("GRACE_S", 20, 0, 3600),
        pod=reader.text("POD_NAME") or socket.gethostname(),
        pod_uid=reader.text("POD_UID"),
        faults=faults,
        jwt_keys=_jwt_keys(reader),
        redis_url=reader.secret("REDIS_URL"),
        openrouter=reader.upstream("OPENROUTER", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
        rxnorm=reader.upstream("RXNORM", ""),
        fhir=reader.upstream("FHIR", "FHIR_TOKEN"),
        lab=reader.upstream("LAB", "LAB_API_KEY"),
        model=reader.text("OPENROUTER_MODEL", "openai/gpt-4o-mini"),
        prompt_version=reader.choice("PROMPT_VERSION", LATEST_PROMPT, PROMPT_VERSIONS),
        ai_timeout_s=reader.number("AI_TIMEOUT_S", 25, 0.1, 600),
        breaker_reset_s=reader.number("BREAKER_RESET_S", 30, 0.1, 3600),
        memory_limit_bytes=int(reader.number("MEMORY_LIMIT_BYTES", 0, 0, 2**50)) or None,
        initial=_initial(reader),
    )
    if reader.errors:
        raise SettingsError("\n".join(reader.errors))
    return settings


def _storage(reader: _Reader) -> Storage:
    directory = Path(reader.text("DATA_DIR") or Path(tempfile.gettempdir()) / f"ai-diagnostics-{os.getuid()}")
    path = Path(reader.text("SQLITE_PATH") or directory / "ai-diagnostics.db")
    uri = reader.secret("MONGODB_URI")
    database = reader.text("MONGODB_DATABASE", "ai_diagnostics")
    return Storage(
        sqlite_path=path,
        control_path=Path(reader.text("CONTROL_SQLITE_PATH") or path.with_name("control.db")),
        mongodb_uri=uri,
        mongodb_database=database,
        control_database=reader.text("CONTROL_DATABASE", f"{database}_control"),
        auto_migrate=reader.flag("AUTO_MIGRATE", uri is None),
        schema_version=int(reader.number("SCHEMA_VERSION", LATEST, OLDEST_SUPPORTED, LATEST)),
    )


def _jwt_keys(reader: _Reader) -> dict[str, Secret]:
    """Keys by key id: `JWT_KEYS` (a JSON object), and `JWT_SECRET` under `JWT_KID` or an id derived from it."""
    keys: dict[str, str] = {}
    listed = reader.secret("JWT_KEYS")
    if listed is not None:
        try:
            parsed = json.loads(listed.reveal())
        except json.JSONDecodeError:
            parsed = None
        if not isinstance(parsed, dict) or not all(isinstance(value, str) for value in parsed.values()):
            reader.errors.append('JWT_KEYS must be a JSON object of texts: {"key id": "secret"}')
        else:
            keys.update(parsed)
    single = reader.secret("JWT_SECRET")
    if single is not None:
        keys[reader.text("JWT_KID") or key_id(single)] = single.reveal()
    for kid, text in keys.items():
        if len(text) < MIN_SECRET:
            reader.errors.append(f"the JWT secret with key id {kid!r} is shorter than {MIN_SECRET} characters")
    return {kid: Secret(text) for kid, text in keys.items()}


def key_id(key: Secret) -> str:
    """The key id of a secret that was given none: it changes whenever the secret does (R38)."""
    return "k-" + hashlib.sha256(key.reveal().encode()).hexdigest()[:12]


def _initial(reader: _Reader) -> dict[str, control.Value]:
    """`INITIAL_CONTROL`: `name=value` pairs that replace the values a new control store begins with."""
    found: dict[str, control.Value] = {}
    for item in filter(None, (part.strip() for part in reader.text("INITIAL_CONTROL").split(","))):
        name, _, value = item.partition("=")
        try:
            found[name] = control.spec(name).parse(value)
        except ValueError as error:
            reader.errors.append(f"INITIAL_CONTROL: {error}")
    return found
