"""All triggers of one service: what was sampled in, one verdict of each out (R4 to R8)."""

from collections import deque
from collections.abc import Iterable

from codeblue.model.health import Round
from codeblue.model.signal import Sampling
from codeblue.model.verdict import Verdict
from codeblue.profile.acting import Triggers
from codeblue.profile.triggers import Mode
from codeblue.rules.latency import LatencyTrigger
from codeblue.rules.memory import MemoryTrigger
from codeblue.rules.rates import RateTrigger
from codeblue.rules.triggers import HealthTrigger
from codeblue.rules.windows import Lengths, Windows

#: Attempts that R4 looks back over: more than `failures` can ever be.
ROUNDS = 200


class ServiceTriggers:
    """The triggers of one service and what they remember: bounded, whatever comes.

    Args:
        triggers: the profile's section.
    """

    def __init__(self, triggers: Triggers) -> None:
        errors, latency, memory, ai = triggers.errors, triggers.latency, triggers.memory, triggers.ai
        self._health = HealthTrigger(triggers.health.failures)
        self._errors = RateTrigger(
            "R5",
            "requests",
            threshold=errors.threshold,
            window_s=errors.window,
            lasting_s=errors.lasting,
            minimum=errors.minimum,
        )
        self._latency = LatencyTrigger(
            threshold_s=latency.threshold, window_s=latency.window, lasting_s=latency.lasting, minimum=latency.minimum
        )
        self._memory = MemoryTrigger(
            threshold=memory.threshold,
            window_s=memory.window,
            lasting_s=memory.lasting,
            after_oom_s=memory.after_oom,
        )
        self._ai = RateTrigger(
            "R8",
            "calls of the model",
            threshold=ai.threshold,
            window_s=ai.window,
            lasting_s=ai.lasting,
            minimum=ai.minimum,
        )
        self._windows = Windows(Lengths(errors.window, latency.window, ai.window, memory.window, memory.after_oom))
        self._rounds: deque[Round] = deque(maxlen=ROUNDS)

    def observe(self, round_: Round | None, sampling: Sampling | None) -> tuple[Verdict, ...]:
        """Take in what was seen, and judge.

        Args:
            round_: an attempt in the sense of R4; None where none was made since the last call.
            sampling: of the metrics; None where the service has none, or where this is not yet the time for the next.
                One that failed is no None: it has its reasons in `unknown`.

        Returns:
            That of R4 once there was an attempt; with a sampling those of R5, R6, R7, R8.
        """
        if round_ is not None:
            self._rounds.append(round_)
        health = (self._health.judge(self._rounds),) if self._rounds else ()
        if sampling is None:
            return health
        seen = self._windows
        seen.add(sampling)
        return (
            *health,
            self._errors.judge(seen.errors(), seen),
            self._latency.judge(seen),
            self._memory.judge(seen),
            self._ai.judge(seen.ai_failures(), seen),
        )

    def forget_rounds(self) -> None:
        """An incident is over: failures of before it do not count again."""
        self._rounds.clear()


#: Which section of the profile's `triggers` says what a rule may do by itself.
SECTIONS = {"R4": "health", "R5": "errors", "R6": "latency", "R7": "memory", "R8": "ai"}

_MODES: tuple[Mode, ...] = ("observe", "ask", "act")


def mode_of(triggers: Triggers, rules: Iterable[str]) -> Mode:
    """The strongest mode of these triggers (R1a), which are those that speak for what was decided: no other one can
    lend it its own. "observe" where there is none."""
    modes: list[Mode] = [getattr(triggers, SECTIONS[rule]).mode for rule in rules if rule in SECTIONS]
    return max(modes, key=_MODES.index, default="observe")


def observing(triggers: Triggers) -> frozenset[str]:
    """The rules that may only say what would be done."""
    return frozenset(rule for rule in SECTIONS if mode_of(triggers, (rule,)) == "observe")
