"""What one worker process applies now: its view of flags and modes, and what it has done under them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ai_diagnostics import control
from ai_diagnostics.control import SPECS, ControlState, Value

Reason = Literal["stored", "never_loaded", "stuck"]


@dataclass(frozen=True)
class Effective:
    """A value in force.

    Attributes:
        reason: `stored` = read from the control store; `never_loaded` = the safe default, because the store was
            never reached; `stuck` = the release fault `stuck-flags`.
        loaded_at: since when this process applies the value (ISO 8601, UTC).
    """

    value: Value
    reason: Reason
    loaded_at: str


@dataclass(frozen=True)
class View:
    """All values in force; replaced as a whole, so that a reader never sees half of a change."""

    version: int
    values: Mapping[str, Effective]


@dataclass
class Guarded:
    """How often code behind a flag ran in this process, and when last (Unix seconds): the proof of an OFF (B7)."""

    calls: int = 0
    last_at: float | None = None


def _safe() -> View:
    at = control.now()
    return View(0, {name: Effective(spec.safe, "never_loaded", at) for name, spec in SPECS.items()})


@dataclass
class Live:
    """The view, and the counts. One writer (the pulse thread) replaces `view`; the event loop reads it.

    Attributes:
        checked_at: when the control store was last read (Unix seconds), or None; the view may be old after it.
        reachable: whether the last read succeeded.
        stuck: the release fault: the first view stays for ever.
    """

    view: View = field(default_factory=_safe)
    checked_at: float | None = None
    reachable: bool = False
    stuck: bool = False
    guarded: dict[str, Guarded] = field(default_factory=dict)

    def apply(self, state: ControlState) -> bool:
        """Take a state over; returns whether anything changed. A value that stays keeps its `loaded_at`."""
        self.checked_at, self.reachable = time.time(), True
        if state.version == self.view.version or (self.stuck and self.view.version):
            return False
        at, values = control.now(), {}
        reason: Reason = "stuck" if self.stuck else "stored"
        for name in SPECS:
            before, value = self.view.values[name], state.value(name)
            same = before.reason == reason and before.value == value
            values[name] = before if same else Effective(value, reason, at)
        self.view = View(state.version, values)
        return True

    def on(self, name: str) -> bool:
        """Whether a bool flag or mode is on."""
        return self.view.values[name].value is True

    def number(self, name: str) -> int:
        """The value of a numeric flag or mode."""
        return int(self.view.values[name].value)

    def in_rollout(self, subject: str) -> bool:
        """Whether `ai_diagnostics_rollout` includes a subject; the same subject always falls the same way."""
        bucket = int.from_bytes(hashlib.sha256(b"rollout:" + subject.encode()).digest()[:4], "big") % 100
        return bucket < self.number("ai_diagnostics_rollout")

    def count(self, flag: str) -> None:
        """Note that code behind a flag ran."""
        entry = self.guarded.setdefault(flag, Guarded())
        entry.calls += 1
        entry.last_at = time.time()
