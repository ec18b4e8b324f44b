"""Alerts of somebody else's monitoring, as verdicts: they count as the trigger that they name, or for people only."""

from collections.abc import Sequence
from dataclasses import replace

from codeblue.engine.runs import Runs
from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.record.alerts import FOLDED_KINDS, AlertFold, AlertView, Truncation, breaches
from codeblue.rules.alerts import concerns
from codeblue.rules.decision import ALERT

#: So many alerts are named in a verdict.
NAMED = 3


class Alerts:
    """The alerts that fire now, read from the record that `runs` has."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        api = runs.world.profile.api
        self._fold = AlertFold(api.alert_expires, lag_s=api.alert_lag) if api is not None else None

    def judge(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """The verdicts with what the alerts say.

        Args:
            verdicts: our own. An alert about our service that names one of their triggers makes it a breach where it is
                none; every other alert is for people.
        """
        if self._fold is None:
            return tuple(verdicts)
        for event in self._runs.record.read(after=self._fold.seq, kinds=FOLDED_KINDS):
            self._fold.add(event)
        now, profile = self._runs.world.clock.now(), self._runs.world.profile
        firing, left_out = self._fold.firing(now), self._fold.truncated(now)
        ours = {a.seq: a for a in firing if a.trigger and concerns(a, profile)}
        named = breaches(ours.values())
        judged = [_raised(v, named.pop(v.rule)) if v.rule in named else v for v in verdicts]
        judged += [_raised(Verdict(rule, Outcome.UNKNOWN, ""), alert) for rule, alert in named.items()]
        others = [a for a in firing if a.seq not in ours]
        if others or left_out:
            judged.append(Verdict(ALERT, Outcome.BREACH, _words(others, left_out)))
        return tuple(judged)


def _raised(verdict: Verdict, alert: AlertView) -> Verdict:
    if verdict.outcome is Outcome.BREACH:
        return verdict
    ours = f"; seen from here: {verdict.outcome}, {verdict.why}" if verdict.why else ""
    why = f"alert {alert.name!r} fires since {alert.starts_at:%Y-%m-%d %H:%M:%S} UTC{ours}"
    return replace(verdict, outcome=Outcome.BREACH, why=why, alerted=True)


def _words(alerts: Sequence[AlertView], left_out: Sequence[Truncation]) -> str:
    names = list(dict.fromkeys(_name(a) for a in alerts))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    said = [f"{len(alerts)} alerts fire: {', '.join(names[:NAMED])}{more}"] if alerts else []
    count = sum(t.left_out for t in left_out)
    said += [f"a message left {count} alerts out"] if count else []
    said += ["a message was refused as too much"] if any(not t.left_out for t in left_out) else []
    return "; ".join(said)


def _name(alert: AlertView) -> str:
    return f"{alert.name!r} ({alert.trigger} of something else)" if alert.trigger else repr(alert.name)
