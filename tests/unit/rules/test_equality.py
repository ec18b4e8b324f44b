"""Code Blue's verdicts and those of a real Prometheus that evaluates the exported rules, over the same series."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from tests.unit.rules.generated import generate
from tests.unit.rules.promtool import firing
from tests.unit.rules.reference import REASONS, ROUNDING, SWITCHES, Reference

from codeblue.model.health import Outcome
from codeblue.profile.load import load_text
from codeblue.rules.notation import Series
from codeblue.rules.prometheus import alert_rules, metrics_of
from codeblue.rules.replay import replay
from codeblue.rules.rule_tests import AlertTest, Group

pytestmark = pytest.mark.slow

DOC = Path(__file__).parents[3] / "docs/triggers.md"
PROFILE = "version: 1\nservice: api\nplatform: {kind: local, directory: ./local}\n"
TIGHT = (
    "triggers:\n"
    "  health: {failures: 1}\n"
    "  errors: {window: 1m, lasting: 1m, minimum: 1}\n"
    "  latency: {window: 30s, lasting: 90s, minimum: 1}\n"
    "  memory: {window: 20s, lasting: 2m, after_oom: 40s}\n"
    "  ai: {window: 40s, lasting: 100s, minimum: 5}\n"
)
#: Profile, interval of the series, time between two looks, intervals; 50 cases each.
CHUNKS = [
    ("", 10, 10, 80),
    ("", 10, 10, 80),
    ("", 10, 10, 80),
    ("health: {interval: 5s}\n", 5, 5, 120),
    ("health: {interval: 15s}\n", 15, 15, 60),
    ("health: {interval: 15s}\n", 15, 10, 60),
    (TIGHT, 10, 10, 80),
    (TIGHT, 10, 10, 80),
    (TIGHT + "health: {interval: 5s}\n", 5, 5, 110),
    ("", 10, 60, 110),
]
CASES = 50
#: What rounding can make of a value, relative to it.
EPSILON = 1e-9


def ours(series: list[Series], text: str, *, interval_ms: int, every_ms: int, end_ms: int) -> dict[int, set[str]]:
    profile = load_text(PROFILE + text)
    group = Group("", interval_ms, tuple(series), (AlertTest(end_ms, "", (), 0),))
    return {
        look.at_ms: {
            alert
            for rule, verdict in look.verdicts.items()
            if verdict.outcome is Outcome.BREACH
            for alert in ([f"{rule}/{pod}" for pod in verdict.pods] or [rule])
        }
        for look in replay(group, profile.triggers, metrics_of(profile), every_ms=every_ms)
    }


@pytest.mark.done("4.2")
@pytest.mark.req("R4", "R5", "R6", "R7", "R8")
@pytest.mark.parametrize("chunk", range(len(CHUNKS)))
def test_the_verdicts_are_those_of_prometheus_but_for_what_is_listed(chunk: int, tmp_path: Path) -> None:
    text, interval_s, every_s, length = CHUNKS[chunk]
    at = {"every_ms": every_s * 1000, "end_ms": interval_s * (length - 1) * 1000}
    profile = load_text(PROFILE + text)
    metrics = metrics_of(profile)
    rules = alert_rules(profile, metrics)
    cases = {
        f"seed-{seed}": generate(seed, interval_s=interval_s, length=length)
        for seed in range(chunk * CASES, (chunk + 1) * CASES)
    }
    theirs = firing(rules, cases, tmp_path, interval_s=interval_s, **at)

    def reference(series: list[Series], switched: tuple[str, ...] = (), strictness: float = 0.0) -> dict[int, set[str]]:
        model = Reference(rules, profile.triggers, metrics, profile.health.interval, frozenset(switched), strictness)
        return model.firing(series, interval_ms=interval_s * 1000, **at)

    reasons: Counter[str] = Counter()
    different = 0
    fired: Counter[str] = Counter()
    for name, series in cases.items():
        own = ours(series, text, interval_ms=interval_s * 1000, **at)
        fired.update({alert[:2] for alerts in theirs[name].values() for alert in alerts})
        if own == theirs[name]:
            continue
        different += 1
        loose, strict = reference(series, strictness=-EPSILON), reference(series, strictness=EPSILON)
        assert all(strict[t] <= theirs[name][t] <= loose[t] for t in own), f"{name}: the reference is not Prometheus"
        chosen = (s for n in range(len(SWITCHES) + 1) for s in combinations(SWITCHES, n) if reference(series, s) == own)
        reason = next(chosen, None)
        assert reason is not None, f"{name}: no listed reason explains the difference"
        reasons.update(reason or (ROUNDING,))
    print(f"chunk {chunk}: {different} differ {dict(reasons)}, fired {dict(fired)}")
    assert len(fired) == 5  # the series make each trigger fire
    assert different <= 0.6 * CASES  # else the listed reasons would excuse anything


def test_the_reasons_are_those_of_the_documentation() -> None:
    _, _, rest = DOC.read_text("utf-8").partition("## Where Prometheus says something else")
    listed = re.findall(r"^\| \*\*(.+?)\*\* \|", rest, re.MULTILINE)
    assert set(listed) >= set(REASONS)
