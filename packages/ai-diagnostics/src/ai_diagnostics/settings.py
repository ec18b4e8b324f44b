"""The whole configuration, read once from the environment; every error is shown, before anything starts."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ai_diagnostics import faults as faults_module
from ai_diagnostics.faults import Faults


class SettingsError(ValueError):
    """The environment is wrong; the message has one line per error."""


@dataclass(frozen=True)
class Settings:
    """What one service process was told.

    `started` is the monotonic time of the service's start (shared by its workers), `*_s` are seconds.
    """

    version: str = "0.1.0"
    host: str = "0.0.0.0"  # noqa: S104  # a container's port is its only interface
    port: int = 5000
    workers: int = 2
    grace_s: float = 20.0
    pod: str = ""
    faults: Faults = Faults()
    started: float = field(default_factory=time.monotonic)


def read(env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: with every error found, one a line.
    """
    errors: list[str] = []

    def number(name: str, default: int, low: int, high: int) -> int:
        text = env.get(name, "").strip()
        if not text:
            return default
        if not text.isdecimal() or not low <= int(text) <= high:
            errors.append(f"{name}={text!r} must be a whole number from {low} to {high}")
            return default
        return int(text)

    found = Faults()
    try:
        found = faults_module.parse(env.get("RELEASE_FAULT", ""))
    except ValueError as error:
        errors.append(str(error))
    settings = Settings(
        version=env.get("RELEASE_VERSION", "").strip() or "0.1.0",
        host=env.get("HOST", "").strip() or "0.0.0.0",  # noqa: S104
        port=number("PORT", 5000, 0, 65535),
        workers=number("WORKERS", 2, 1, 64),
        grace_s=float(number("GRACE_S", 20, 0, 3600)),
        pod=env.get("POD_NAME", "").strip() or socket.gethostname(),
        faults=found,
    )
    if errors:
        raise SettingsError("\n".join(errors))
    return settings
