"""All triggers of one service."""

from collections import deque

from codeblue.model.health import Outcome, Round
from codeblue.model.signal import Sampling
from codeblue.model.verdict import Verdict
from codeblue.profile.acting import Mode, Triggers
from codeblue.rules.triggers import HealthTrigger


class ServiceRules:
    """Stub until the others come."""

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers
        self._health = HealthTrigger(triggers.health.failures)
        self._rounds: deque[Round] = deque(maxlen=200)

    def observe(self, round_: Round, sampling: Sampling) -> tuple[Verdict, ...]:
        """Verdicts, R4 first."""
        self._rounds.append(round_)
        return (self._health.judge(tuple(self._rounds)),)

    def mode(self, verdicts: tuple[Verdict, ...]) -> Mode:
        """The strongest mode of the triggers that fire."""
        order: tuple[Mode, ...] = ("observe", "ask", "act")
        fires = [v for v in verdicts if v.outcome is Outcome.BREACH]
        return max((self._triggers.health.mode for v in fires), key=order.index, default="observe")
