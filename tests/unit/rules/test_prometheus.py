"""The exported rules for services that call their metrics otherwise: the same replay here and by promtool."""

import json
from pathlib import Path

import pytest
from tests.unit.rules.promtool import firing, promtool

from codeblue.model.health import Outcome
from codeblue.profile.load import load_text
from codeblue.rules.notation import Series, expand
from codeblue.rules.prometheus import AlertRules, Metrics, alert_rules, metrics_of, promised
from codeblue.rules.replay import replay
from codeblue.rules.rule_tests import AlertTest, Group

PROFILE = load_text("version: 1\nservice: api\nplatform: {kind: local, directory: ./local}\n")
OWN = (("job", "api"), ("namespace", 'a "b" \\ c'))


def exported(metrics: Metrics) -> AlertRules:
    return alert_rules(PROFILE, metrics)


def series(name: str, values: str, **labels: str) -> Series:
    return Series(name, dict(OWN) | labels, expand(values, 1000))


def test_of_a_plain_profile_the_names_are_the_contracts() -> None:
    assert metrics_of(PROFILE) == Metrics((("job", "api"),), ignored_routes=frozenset({"/api/health"}))


def test_names_labels_and_routes_are_those_of_the_profile() -> None:
    names = {
        "requests": "a", "status_label": "b", "errors": "c", "latency": "d", "route_label": "e", "ai_requests": "f",
        "ai_failures": "g", "working_set": "h", "memory_limit": "i", "oom_kills": "j",
    }  # fmt: skip
    text = (
        f"version: 1\nservice: api\nplatform: {{kind: local, directory: ./local}}\n"
        f"signals: {{source: prometheus, names: {json.dumps(names)}, ignore_routes: [/x],\n"
        "  prometheus: {url: 'http://p:9090', job: j, match: {cluster: eu}, pod_label: kubernetes_pod}}\n"
    )
    matchers = (("job", "j"), ("cluster", "eu"))
    expected = Metrics(matchers, pod_label="kubernetes_pod", ignored_routes=frozenset({"/x"}), **names)
    assert metrics_of(load_text(text)) == expected


@pytest.mark.parametrize(
    ("metrics", "left_out"),
    [
        (Metrics(OWN), set()),
        (Metrics(OWN, requests=None), {"R5"}),
        (Metrics(OWN, latency=None, ai_failures=None), {"R6", "R8"}),
        (Metrics(OWN, ai_requests=None), {"R8"}),
        (Metrics(OWN, working_set=None), set()),
        (Metrics(OWN, oom_kills=None), set()),
        (Metrics(OWN, memory_limit=None, oom_kills=None), {"R7"}),
        (Metrics(OWN, errors="failures_total", ignored_routes=frozenset({"/api/health", "a|b.c"})), set()),
    ],
)
def test_what_the_service_does_not_offer_is_left_out_and_said(
    metrics: Metrics, left_out: set[str], tmp_path: Path
) -> None:
    rules = exported(metrics)
    assert {*rules.left_out} == left_out
    assert {alert.trigger for alert in rules.alerts} == {"R4", "R5", "R6", "R7", "R8"} - left_out
    assert all(f"# {trigger} is left out: the service " in rules.text for trigger in left_out)
    (tmp_path / "rules.yaml").write_text(rules.text)
    checked = promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    assert (checked.returncode, f"{5 - len(left_out)} rules found" in checked.stdout) == (0, True), checked.stderr


def test_severities_are_those_of_the_profiles_table() -> None:
    def severities(more: str) -> list[str]:
        text = "version: 1\nservice: api\nplatform: {kind: local, directory: ./local}\n"
        return [alert.labels["severity"] for alert in alert_rules(load_text(text + more), Metrics(OWN)).alerts]

    assert severities("") == ["SEV1", "SEV2", "SEV2", "SEV3", "SEV2"]
    assert severities("severity: {table: {memory: {degraded: SEV1}}}\n")[3] == "SEV1"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(30, "30s"), (90, "90s"), (120, "2m"), (3600, "1h"), (0.25, "250ms"), (0, "0ms"), (2.5, "2500ms")],
)
def test_durations_are_written_as_prometheus_takes_them(duration_s: float, text: str) -> None:
    assert promised(duration_s) == text


#: Failures on a route of clients, with an even load of health checks beside it: 20 % of the clients' requests fail.
ROUTES = (
    series("req", "0+100x40", pod="a", route="/api/diagnose", code="200"),
    series("req", "0+25x40", pod="a", route="/api/diagnose", code="503"),
    series("req", "0+9000x40", pod="a", route="/api/health", code="200"),
)
OTHERS = (
    Series("req", {"job": "api", "pod": "b", "code": "500"}, expand("0+100x40", 1000)),
    Series("req", dict(OWN) | {"job": "other", "pod": "b", "code": "500"}, expand("0+100x40", 1000)),
)
NAMED = Metrics(OWN, requests="req", status_label="code", ignored_routes=frozenset({"/api/health"}))


@pytest.mark.parametrize(
    ("metrics", "recorded", "expected"),
    [
        (NAMED, ROUTES, {"R5"}),
        (Metrics(OWN, requests="req", status_label="code"), ROUTES, set()),
        (NAMED, (*ROUTES[:1], *OTHERS), set()),
        (NAMED, (*ROUTES[:1], series("req", "0+25x40", pod="a", code="499")), set()),
        (NAMED, (*ROUTES[:1], series("req", "0+25x40", pod="a", code="600")), {"R5"}),
        (
            Metrics(OWN, requests="req", errors="bad"),
            (series("req", "0+100x40", pod="a", status="200"), series("bad", "0+6x40", pod="a")),
            {"R5"},
        ),
        (
            Metrics(OWN, requests="req", errors="bad", ignored_routes=frozenset({"/x", "a|b"})),
            (
                series("req", "0+100x40", pod="a", route="/y"),
                series("bad", "0+6x40", pod="a", route="/x"),
                series("bad", "0+6x40", pod="a", route="a|b"),
                series("bad", "0x40", pod="a", route="a"),
            ),
            set(),
        ),
        (
            Metrics(OWN, latency="took", ignored_routes=frozenset({"/api/health"})),
            (
                series("took_bucket", "0+900x40", pod="a", route="/api/health", le="1"),
                series("took_bucket", "0+900x40", pod="a", route="/api/health", le="60"),
                series("took_bucket", "0+900x40", pod="a", route="/api/health", le="+Inf"),
                series("took_bucket", "0+90x40", pod="a", route="/x", le="1"),
                series("took_bucket", "0+100x40", pod="a", route="/x", le="60"),
                series("took_bucket", "0+100x40", pod="a", route="/x", le="+Inf"),
            ),
            {"R6"},
        ),
        (
            Metrics(OWN, pod_label="kubernetes_pod", working_set="used", memory_limit="most", oom_kills=None),
            (
                series("used", "96x40", kubernetes_pod="a"),
                series("most", "100x40", kubernetes_pod="a"),
                series("used", "5x40", kubernetes_pod="b"),
                series("most", "0x40", kubernetes_pod="b"),
            ),
            {"R7"},
        ),
        (
            Metrics(OWN, working_set=None, memory_limit=None),
            (series("service_oom_kills_total", "0 1x9 2x9 3x9 4x9 5x9", pod="a"),),
            {"R7"},
        ),
    ],
)
@pytest.mark.req("R5", "R6", "R7")
def test_names_labels_and_routes_mean_the_same_here_and_there(
    metrics: Metrics, recorded: tuple[Series, ...], expected: set[str], tmp_path: Path
) -> None:
    rules = exported(metrics)
    end_ms = 400_000
    group = Group("", 10_000, recorded, (AlertTest(end_ms, "", (), 0),))
    ours = {
        look.at_ms: {rule for rule, verdict in look.verdicts.items() if verdict.outcome is Outcome.BREACH}
        for look in replay(group, PROFILE.triggers, metrics, every_ms=10_000)
    }
    theirs = firing(rules, {"case": recorded}, tmp_path, interval_s=10, every_ms=10_000, end_ms=end_ms)["case"]
    assert ours == {at: {alert[:2] for alert in alerts} for at, alerts in theirs.items()}
    assert set().union(*ours.values()) == expected
