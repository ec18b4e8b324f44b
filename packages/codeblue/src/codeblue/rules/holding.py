"""How long something has been so without a break: the `for` of an alert, where what was not seen did not hold."""

from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.rules.windows import HALF_A_MS
from codeblue.rules.words import seconds


class Holding:
    """Since when a limit has been exceeded, at every look.

    Args:
        hold_s: how long that must be for a breach.
        gap_s: two looks that lie further apart say nothing about the time between them.
    """

    __slots__ = ("_gap_s", "_hold_s", "_seen_s", "since_s")

    def __init__(self, *, hold_s: float, gap_s: float) -> None:
        self._hold_s, self._gap_s = hold_s, gap_s + HALF_A_MS
        self._seen_s = 0.0
        self.since_s: float | None = None

    def over(self, at_s: float) -> bool:
        """It is exceeded now; whether it has been for long enough."""
        if self.since_s is None or not 0 <= at_s - self._seen_s <= self._gap_s:
            self.since_s = at_s
        self._seen_s = at_s
        return at_s - self.since_s >= self._hold_s - HALF_A_MS

    def ended(self) -> None:
        """It is not exceeded, or nobody can tell."""
        self.since_s = None

    def judge(self, rule: str, why: str, at_s: float) -> Verdict:
        """The verdict while it is exceeded, `why` says by what."""
        held = self.over(at_s)
        since_s = self.since_s
        if self._hold_s:
            relation = "≥" if held else "<"
            why += f", at every look for {seconds(at_s - (since_s or at_s))} {relation} {seconds(self._hold_s)}"
        return Verdict(rule, Outcome.BREACH if held else Outcome.OK, why, since_s=since_s)
