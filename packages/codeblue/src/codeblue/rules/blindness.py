"""When nobody can see any more (B5, R10): no verdict about the service, but people have to know of it."""

from dataclasses import dataclass

from codeblue.model.health import Outcome
from codeblue.model.signal import Sampling
from codeblue.model.verdict import Verdict

#: The rule's id. A breach of it is about us: nothing that could be done to the service answers it.
BLIND = "signals"
#: What is said where all that is read is what the platform knows: else "ok" would stand beside R5 to R8 unknown.
NO_METRICS = ", none of them of requests: R5, R6 and R8 need the service's metrics (contract.metrics)"


@dataclass(slots=True)
class Blindness:
    """Fires when a source of metrics, or every pod, could not be read for longer than `after_s`.

    A single pod that does not answer is the business of the health trigger. A metrics system that is away is told also
    while the pods themselves can still be read.

    Attributes:
        after_s: how long, seconds.
    """

    after_s: float
    _since_s: float | None = None

    def observe(self, sampling: Sampling, at_s: float) -> Verdict:
        """The verdict after one more sampling.

        Args:
            at_s: now, on a clock that is never set: only differences count.
        """
        away = {source: why for source, why in sampling.unknown.items() if not source.startswith("pod/")}
        counted = any(r.requests is not None for r in sampling.readings)
        if not away and (counted or not sampling.unknown):
            self._since_s = None
            none = "" if counted or not sampling.readings else NO_METRICS
            return Verdict(BLIND, Outcome.OK, f"{len(sampling.readings)} readings{none}")
        if self._since_s is None:
            self._since_s = at_s
        blind_s = at_s - self._since_s
        source, why = next(iter((away or sampling.unknown).items()))
        over = blind_s > self.after_s
        sign = ">" if over else "≤"
        text = f"nothing from {source} for {blind_s:.0f} s {sign} {self.after_s:.0f} s: {why}"
        return Verdict(BLIND, Outcome.BREACH if over else Outcome.UNKNOWN, text)
