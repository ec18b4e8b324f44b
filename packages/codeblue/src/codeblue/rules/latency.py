"""R6: the response time that 95 of 100 requests stay below."""

from dataclasses import replace

from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.rules.holding import Holding
from codeblue.rules.windows import Unseen, Windows, quantile
from codeblue.rules.words import blind, counted, seconds

QUANTILE = 0.95


class LatencyTrigger:
    """The 95th percentile within every window of `window_s` exceeds `threshold_s`, for `lasting_s` in all.

    A histogram without a finite bucket above the threshold can never say more than the threshold: that is unknown, and
    never "fast enough" (D18).

    Args:
        minimum: fewer requests than this within the window say nothing.
    """

    __slots__ = ("_holding", "_minimum", "_threshold_s", "_window_s", "rule")

    def __init__(self, *, threshold_s: float, window_s: float, lasting_s: float, minimum: float) -> None:
        self.rule = "R6"
        self._threshold_s, self._minimum = threshold_s, minimum
        self._window_s = window_s
        self._holding = Holding(hold_s=lasting_s - window_s, gap_s=window_s)

    def judge(self, seen: Windows) -> Verdict:
        """The verdict at the time of the last sampling."""
        buckets = seen.buckets()
        within = f"within {seconds(self._window_s)}"
        if isinstance(buckets, Unseen):
            return self._unknown(f"response times {within}: {buckets.value}", seen)
        blunt = too_low(tuple(bound for bound, _ in buckets), self._threshold_s)
        if blunt:
            return self._unknown(blunt, seen)
        requests = buckets[-1][1]
        if requests < self._minimum:
            return self._unknown(f"{counted(requests)} requests {within} < {counted(self._minimum)}", seen)
        p95_s = quantile(QUANTILE, buckets)
        if p95_s is None:
            return self._unknown("the histogram of the response times says nothing", seen)
        over = p95_s > self._threshold_s
        why = (
            f"p95 of {counted(requests)} requests {within}: "
            f"{counted(p95_s)} s {'>' if over else '≤'} {counted(self._threshold_s)} s"
        )
        if over:
            return replace(self._holding.judge(self.rule, why, seen.at_s), measured=p95_s)
        self._holding.ended()
        return Verdict(self.rule, Outcome.OK, why, measured=p95_s)

    def _unknown(self, why: str, seen: Windows) -> Verdict:
        self._holding.ended()
        return Verdict(self.rule, Outcome.UNKNOWN, blind(why, seen))


def too_low(bounds: tuple[float, ...], threshold_s: float) -> str:
    """Why this layout of buckets cannot show a response time above the threshold; "" where it can (D18).

    Args:
        bounds: upper bounds in seconds, ascending.
    """
    finite = [bound for bound in bounds if bound < float("inf")]
    if not finite:
        return "the histogram of the response times has no finite bucket (D18)"
    if finite[-1] > threshold_s:
        return ""
    return (
        f"the histogram ends at {counted(finite[-1])} s, so that its p95 can never be above {counted(threshold_s)} s "
        "(D18): give it a bucket above that"
    )
