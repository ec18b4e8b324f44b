"""R5 and R8: too large a share of requests, or of calls of the model, fails."""

from dataclasses import replace

from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.rules.holding import Holding
from codeblue.rules.windows import Share, Unseen, Windows
from codeblue.rules.words import blind, counted, percent, seconds


class RateTrigger:
    """The share of failures in every window of `window_s` exceeds `threshold`, for `lasting_s` in all.

    The first window reaches back before the first look, so that the looks must agree for `lasting_s - window_s`. Fewer
    than `minimum` within a window, no two readings in it, or none before it is unknown, and breaks the holding (R10).

    Args:
        rule, what: "R5", "requests".
        threshold: a fraction; exceeded means strictly above it.
    """

    __slots__ = ("_holding", "_minimum", "_threshold", "_what", "_window_s", "rule")

    def __init__(
        self, rule: str, what: str, *, threshold: float, window_s: float, lasting_s: float, minimum: float
    ) -> None:
        self.rule, self._what = rule, what
        self._threshold, self._minimum = threshold, minimum
        self._window_s = window_s
        self._holding = Holding(hold_s=lasting_s - window_s, gap_s=window_s)

    def judge(self, share: Share | Unseen, seen: Windows) -> Verdict:
        """The verdict at the time of the last sampling.

        Args:
            share: of the window that ends there.
            seen: where it comes from.
        """
        if isinstance(share, Unseen):
            return self._unknown(f"{self._what} within {seconds(self._window_s)}: {share.value}", seen)
        some, all_ = share
        if all_ < self._minimum:
            few = f"{counted(all_)} {self._what} within {seconds(self._window_s)} < {counted(self._minimum)}"
            return self._unknown(few, seen)
        part = some / all_
        over = part > self._threshold
        why = (
            f"{counted(some)} of {counted(all_)} {self._what} failed within {seconds(self._window_s)}: "
            f"{percent(part)} {'>' if over else '≤'} {percent(self._threshold)}"
        )
        if over:
            return replace(self._holding.judge(self.rule, why, seen.at_s), measured=part)
        self._holding.ended()
        return Verdict(self.rule, Outcome.OK, why, measured=part)

    def _unknown(self, why: str, seen: Windows) -> Verdict:
        self._holding.ended()
        return Verdict(self.rule, Outcome.UNKNOWN, blind(why, seen))
