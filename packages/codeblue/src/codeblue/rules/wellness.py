"""When a service counts as well: what the triggers say now, and what they last knew where they say nothing (B5)."""

from collections.abc import Collection, Sequence

from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.profile.acting import Triggers
from codeblue.rules.blindness import BLIND
from codeblue.rules.service import SECTIONS

#: Rules that say something in every look; any other that says nothing has nothing to say against the service.
_ALWAYS = frozenset({*SECTIONS, BLIND})

#: The longest window of a proof: it is waited for.
PROOF_S = 60.0


class LastKnown:
    """Which triggers were above their limit when they were last known, held for long enough or not.

    A trigger that becomes unknown keeps that until it is seen at or below its limit: clients that give up on a service
    that fails take the very readings away that would say so.
    """

    def __init__(self) -> None:
        self._over: set[str] = set()

    def observe(self, verdicts: Sequence[Verdict]) -> None:
        """Take in one look's verdicts."""
        self._over &= _ALWAYS | {v.rule for v in verdicts}
        for verdict in verdicts:
            if is_over(verdict):
                self._over.add(verdict.rule)
            elif verdict.outcome is Outcome.OK:
                self._over.discard(verdict.rule)

    def is_well(self) -> bool:
        """Whether none of them was."""
        return not self._over


def is_over(verdict: Verdict) -> bool:
    """Whether the limit is exceeded, for long enough or not."""
    return verdict.outcome is Outcome.BREACH or (verdict.outcome is Outcome.OK and verdict.since_s is not None)


def doubts(rules: Collection[str], verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """What these rules have against the service's being well now: what is over its limit, and what is unknown.

    Args:
        rules: of the breaches that it would have to be well of.
    """
    found = {v.rule: v for v in verdicts if v.rule in rules}
    silent = [Verdict(rule, Outcome.UNKNOWN, "not looked at yet") for rule in sorted(_ALWAYS & set(rules) - set(found))]
    return (*(v for v in found.values() if is_over(v) or v.outcome is Outcome.UNKNOWN), *silent)


def told(verdicts: Sequence[Verdict]) -> str:
    """These verdicts in one line."""
    words = [
        f"{v.rule} is unknown: {v.why}" if v.outcome is Outcome.UNKNOWN else f"{v.rule}: {v.why}" for v in verdicts
    ]
    return "; ".join(words)


def proof_of(triggers: Triggers) -> Triggers:
    """The same limits for what is true now: over short windows, and without the time for which they must be exceeded.

    After a change, what was counted before it must be out of the window before anything can be said.
    """
    longest = min(triggers.errors.window, PROOF_S)
    errors, latency, ai = (
        section.model_copy(update=dict.fromkeys(("window", "lasting"), min(section.window, longest)))
        for section in (triggers.errors, triggers.latency, triggers.ai)
    )
    memory = triggers.memory.model_copy(update={"lasting": 0.0})
    return triggers.model_copy(update={"errors": errors, "latency": latency, "ai": ai, "memory": memory})
