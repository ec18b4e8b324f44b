"""The circuit breaker in front of the model: after so many failures in a row nobody asks for a while (R49, R61)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]


class BreakerOpen(Exception):
    """The breaker lets nothing through; `retry_after_s` says when it tries again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the circuit breaker is open for {retry_after_s:.1f} s more")
        self.retry_after_s = retry_after_s


@dataclass
class Breaker:
    """Closed → (threshold failures in a row) → open → (reset_s) → half open: one trial → closed or open again.

    One per process, used from its event loop only. Threshold and on/off come with each call, because they are modes
    that can change at any time; switched off it still counts, so that switching it on takes effect at once.
    """

    reset_s: float
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    opened_at: float | None = None
    trial: bool = False

    def enter(self, *, enabled: bool, threshold: int) -> None:
        """Ask to make a call; raises BreakerOpen. A call that was let in must end with `success` or `failure`."""
        if not enabled or self.failures < threshold:
            self.opened_at = None
            return
        if self.opened_at is None:
            self.opened_at = self.clock()
        left_s = self.opened_at + self.reset_s - self.clock()
        if left_s > 0:
            raise BreakerOpen(left_s)
        if self.trial:
            raise BreakerOpen(1.0)
        self.trial = True

    def success(self) -> None:
        """The call succeeded."""
        self.failures, self.opened_at, self.trial = 0, None, False

    def failure(self) -> None:
        """The call failed: the count grows, and an open breaker stays open for another `reset_s`."""
        self.failures += 1
        self.trial = False
        self.opened_at = self.clock()

    def cancelled(self) -> None:
        """The call was given up by the caller: nothing is known about the other side."""
        self.trial = False

    def state(self, *, enabled: bool, threshold: int) -> State:
        """What `enter` would do now."""
        if not enabled or self.failures < threshold:
            return "closed"
        if self.opened_at is not None and self.clock() >= self.opened_at + self.reset_s:
            return "half_open"
        return "open"
