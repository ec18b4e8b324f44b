"""The triggers: what was sampled in, a verdict with its arithmetic out."""

from collections.abc import Sequence
from dataclasses import dataclass

from codeblue.model.health import Outcome, Round
from codeblue.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class HealthTrigger:
    """R4: more than `failures` consecutive failed attempts; one success resets; unknown neither counts nor resets.

    Attributes:
        failures: the document's 3; the trigger fires on attempt `failures + 1`.
    """

    failures: int = 3
    rule: str = "R4"

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        """The verdict over the rounds, oldest first."""
        if not rounds:
            return Verdict(self.rule, Outcome.UNKNOWN, "no attempt yet")
        bad = 0
        for round_ in reversed(rounds):
            if round_.outcome is Outcome.OK:
                break
            bad += round_.outcome is Outcome.BREACH
        last = rounds[-1]
        if bad > self.failures:
            why = f"{bad} consecutive failures > {self.failures}: {last.service.detail}"
            return Verdict(self.rule, Outcome.BREACH, why, measured=float(bad))
        if last.outcome is Outcome.UNKNOWN:
            return Verdict(
                self.rule, Outcome.UNKNOWN, f"the attempt got no answer about the service: {last.service.detail}"
            )
        return Verdict(self.rule, Outcome.OK, f"{bad} consecutive failures ≤ {self.failures}", measured=float(bad))
