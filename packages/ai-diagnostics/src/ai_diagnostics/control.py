"""Flags and modes: their names, what values they take, and the state that every worker applies (R61). No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

Value = bool | int
Kind = Literal["flag", "mode"]


@dataclass(frozen=True)
class Spec:
    """One flag or mode.

    Attributes:
        safe: what a process applies when it was never told a value: off. A deleted flag is not an enabled one.
        initial: what a new control store begins with.
        low, high: the bounds of a number; for a bool they are not used.
    """

    name: str
    kind: Kind
    safe: Value
    initial: Value
    low: int = 0
    high: int = 100

    @property
    def is_bool(self) -> bool:
        """Whether the value is true or false, and not a number."""
        return isinstance(self.safe, bool)

    def parse(self, text: str) -> Value:
        """Read a value as a person types it.

        Raises:
            ValueError: anything but exactly `true` or `false` (bool), or a whole number within the bounds, with an
                optional `%` for a percentage. There is no default: a lost value is an error, never a `true` (D26).
        """
        if self.is_bool:
            if text not in ("true", "false"):
                raise ValueError(f"{self.name} takes true or false, not {text!r}")
            return text == "true"
        digits = text.removesuffix("%")
        if not digits.isdecimal() or not self.low <= int(digits) <= self.high:
            raise ValueError(f"{self.name} takes a whole number from {self.low} to {self.high}, not {text!r}")
        return int(digits)

    def check(self, value: object) -> Value:
        """Accept a value that came as JSON; raises ValueError as `parse` does."""
        if isinstance(value, bool) or not isinstance(value, int):
            if self.is_bool and isinstance(value, bool):
                return value
            raise ValueError(f"{self.name} takes {self.takes}, not {value!r}")
        if self.is_bool:
            raise ValueError(f"{self.name} takes true or false, not {value!r}")
        return self.parse(str(value))

    @property
    def takes(self) -> str:
        """The values in words."""
        return "true or false" if self.is_bool else f"a whole number from {self.low} to {self.high}"


SPECS: Mapping[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec("ai_diagnostics_enabled", "flag", safe=False, initial=True),
        Spec("lab_integration_enabled", "flag", safe=False, initial=True),
        Spec("fhir_integration_enabled", "flag", safe=False, initial=True),
        Spec("ai_diagnostics_rollout", "flag", safe=0, initial=100),
        Spec("read_only", "mode", safe=False, initial=False),
        Spec("maintenance", "mode", safe=False, initial=False),
        Spec("breaker", "mode", safe=True, initial=True),
        Spec("breaker_threshold", "mode", safe=5, initial=5, low=1, high=100),
    )
}
FLAGS = tuple(spec.name for spec in SPECS.values() if spec.kind == "flag")
MODES = tuple(spec.name for spec in SPECS.values() if spec.kind == "mode")


def spec(name: str, kind: Kind | None = None) -> Spec:
    """Look a flag or mode up.

    Raises:
        ValueError: there is none of that name (and kind); the message lists those there are.
    """
    found = SPECS.get(name)
    if found is None or (kind is not None and found.kind != kind):
        known = [item.name for item in SPECS.values() if kind is None or item.kind == kind]
        raise ValueError(f"unknown {kind or 'flag or mode'} {name!r}; known are {', '.join(known)}")
    return found


@dataclass(frozen=True)
class Setting:
    """A stored value, and who set it when (ISO 8601, UTC) and why."""

    value: Value
    changed_at: str
    changed_by: str
    reason: str


@dataclass(frozen=True)
class ControlState:
    """All stored values; `version` grows by one with each change."""

    version: int
    settings: Mapping[str, Setting]

    def value(self, name: str) -> Value:
        """The stored value, or the safe one where nothing valid is stored."""
        found, known = self.settings.get(name), SPECS[name]
        try:
            return known.safe if found is None else known.check(found.value)
        except ValueError:
            return known.safe

    def changed(self, name: str, value: Value, *, actor: str, reason: str) -> ControlState:
        """The state with one value replaced."""
        new = Setting(SPECS[name].check(value), now(), actor, reason)
        return replace(self, version=self.version + 1, settings={**self.settings, name: new})


def initial_state(overrides: Mapping[str, Value]) -> ControlState:
    """What a new control store begins with."""
    values = {**{item.name: item.initial for item in SPECS.values()}, **overrides}
    at = now()
    return ControlState(1, {name: Setting(value, at, "initial", "initial") for name, value in values.items()})


def to_json(state: ControlState) -> dict[str, object]:
    """As the stores keep it."""
    return {name: vars(item) | {} for name, item in state.settings.items()}


def from_json(version: int, document: Mapping[str, Mapping[str, object]]) -> ControlState:
    """Read what `to_json` wrote. A name that this release does not know is left out: it is another release's.

    Raises:
        ValueError: it is not of that form.
    """
    settings = {}
    if not isinstance(version, int) or not isinstance(document, Mapping):
        raise ValueError("the control state has another form")  # noqa: TRY004  # damaged data, no programming error
    for name, item in document.items():
        value = item.get("value") if isinstance(item, Mapping) else None
        if name in SPECS and isinstance(value, bool | int):
            texts = (str(item.get(key, "")) for key in ("changed_at", "changed_by", "reason"))
            settings[name] = Setting(value, *texts)
    return ControlState(version, settings)


def now() -> str:
    """The present in ISO 8601, UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
