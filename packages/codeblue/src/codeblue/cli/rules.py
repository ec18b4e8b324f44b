"""`codeblue rules`: recorded series against the profile's triggers, without any server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from codeblue.cli.frame import Common, show, untouched
from codeblue.model.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codeblue.rules.replay import Difference
    from codeblue.rules.rule_tests import Expected

_DEFAULT = Common()

app = App(name="rules", help="Recorded series against the profile's triggers.")


@app.command
@untouched()
def test(file: Path, /, *, common: Common = _DEFAULT) -> int:
    """Replay recorded series against the profile's triggers. Needs no server, changes nothing.

    The format is that of Prometheus' own rule tests (input_series with 0+10x5, _ and stale; alert_rule_test with
    eval_time, alertname and exp_alerts): the same file passes `promtool test rules` beside the rules that
    `codeblue export alert-rules` writes.

    Exit 0 when every test comes out as expected; 1 when one does not, with the arithmetic of its verdict; 2 for a
    faulty file or profile.

    Parameters
    ----------
    file
        The rule tests.
    """
    from codeblue.rules.prometheus import ALERTS, alert_rules, metrics_of
    from codeblue.rules.replay import run_tests
    from codeblue.rules.rule_tests import parse

    profile = common.load()
    metrics = metrics_of(profile)
    rules = alert_rules(profile, metrics)
    tests = parse(_read(file), str(file), frozenset(ALERTS[alert.trigger] for alert in rules.alerts))
    differences = list(run_tests(tests, rules, profile.triggers, metrics))
    count = sum(len(group.tests) for group in tests.groups)
    document = {
        "schema": "codeblue/rules-test/1",
        "service": profile.service,
        "ok": not differences,
        "tests": count,
        "failures": [_plain(difference) for difference in differences],
    }
    if not differences:
        show(common, document, f"{file}: all {count} tests come out as expected.")
        return int(ExitCode.DONE)
    lines = [line for difference in differences for line in _told(str(file), difference)]
    lines += [
        f"{len(differences)} of {count} tests do not come out as expected.",
        "Next: change triggers in the profile where the series are right, else the expectation in the file.",
    ]
    show(common, document, "\n".join(lines))
    return int(ExitCode.FAILED)


def _read(file: Path) -> bytes:
    from codeblue.rules.rule_tests import BOUNDS

    if not file.is_file():
        what = "is no regular file" if file.exists() else "does not exist"
        raise UsageError(f"{file} {what}. Nothing was tested.", remedy="name a file of rule tests (docs/triggers.md).")
    with file.open("rb") as stream:
        return stream.read(BOUNDS.max_bytes + 1)


def _told(file: str, difference: "Difference") -> list[str]:
    test = difference.test
    return [
        f"{file}:{test.line}: {difference.group}: {test.alert} at {test.at_ms / 1000:g} s",
        *(f"    expected: {line}" for line in _alerts(test.expected)),
        *(f"    fires:    {line}" for line in _alerts(difference.got)),
        f"    because:  {difference.why}",
    ]


def _alerts(alerts: "Sequence[Expected]") -> list[str]:
    lines = []
    for alert in alerts:
        labels, notes = (
            ", ".join(f"{name}={text!r}" for name, text in sorted(texts.items()))
            for texts in (alert.labels, alert.annotations)
        )
        lines.append(f"{{{labels}}} with annotations {{{notes}}}")
    return lines or ["nothing"]


def _plain(difference: "Difference") -> dict[str, Any]:
    def alerts(some: "Sequence[Expected]") -> list[dict[str, Any]]:
        return [{"labels": dict(a.labels), "annotations": dict(a.annotations)} for a in some]

    test = difference.test
    return {
        "group": difference.group,
        "line": test.line,
        "alertname": test.alert,
        "eval_time_s": test.at_ms / 1000,
        "expected": alerts(test.expected),
        "fires": alerts(difference.got),
        "why": difference.why,
    }
