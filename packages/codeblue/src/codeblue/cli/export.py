"""`codeblue export`: what the profile says, in the language of other tools."""

from typing import TYPE_CHECKING

from cyclopts import App

from codeblue.cli.frame import Common, show, untouched
from codeblue.model.errors import ExitCode

if TYPE_CHECKING:
    from codeblue.rules.prometheus import Alert

_DEFAULT = Common()

app = App(name="export", help="What the profile says, in the language of other tools.")


@app.command
@untouched()
def alert_rules(*, common: Common = _DEFAULT) -> int:
    """The profile's triggers as alerting rules of Prometheus, on standard output. Nothing is asked, nothing changed.

    `promtool check rules FILE` checks the file, and `codeblue rules test` replays recorded series against the same
    triggers. What differs between Code Blue's verdicts and these alerts, and why: docs/triggers.md.
    """
    from codeblue.rules.prometheus import alert_rules as rules_of
    from codeblue.rules.prometheus import metrics_of

    profile = common.load()
    rules = rules_of(profile, metrics_of(profile))
    document = {
        "schema": "codeblue/alert-rules/1",
        "service": rules.service,
        "interval_s": rules.interval_s,
        "rules": [_plain(alert) for alert in rules.alerts],
        "left_out": dict(rules.left_out),
        "file": rules.text,
    }
    show(common, document, rules.text.rstrip("\n"))
    return int(ExitCode.DONE)


def _plain(alert: "Alert") -> dict[str, object]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for_s": alert.hold_s,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
    }
