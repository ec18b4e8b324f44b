"""`codeblue rules test` and `codeblue export alert-rules`: the same files serve promtool."""

import json
import re
from pathlib import Path

import pytest
from tests.unit.cli.program import PROFILE, Home
from tests.unit.rules.promtool import promtool

DOC = Path(__file__).parents[3] / "docs/triggers.md"
SUMMARIES = {
    "CodeBlueHealth": "api: more than 3 health checks in a row failed (R4)",
    "CodeBlueErrors": "api: more than 5 % of the requests fail, for 2m (R5)",
    "CodeBlueLatency": "api: p95 of the response times over 30s, for 2m (R6)",
    "CodeBlueMemory": "api, pod a: over 95 % of its memory or OOM killed, for 5m (R7)",
    "CodeBlueAi": "api: more than 10 % of the calls of the model fail, for 2m (R8)",
}
TRIGGERS = dict(zip(SUMMARIES, ("R4", "R5", "R6", "R7", "R8"), strict=True))
SEVERITY = dict(zip(SUMMARIES, ("SEV1", "SEV2", "SEV2", "SEV3", "SEV2"), strict=True))
#: Per second: good for five minutes, then each trigger's own kind of bad.
SERIES = r"""
      - {series: 'probe_success{job="api"}', values: "1x30 0x40"}
      - {series: 'http_requests_total{job="api", pod="a", status="200"}', values: "0+100x30 3050+50x39"}
      - {series: 'http_requests_total{job="api", pod="a", status="503"}', values: "0x30 50+50x39"}
      - {series: 'http_requests_total{job="other", pod="b", status="503"}', values: "0+1000x70"}
      - {series: 'http_request_duration_seconds_bucket{job="api", pod="a", le="30"}', values: "0+100x30 3000x39"}
      - {series: 'http_request_duration_seconds_bucket{job="api", pod="a", le="60"}', values: "0+100x70"}
      - {series: 'http_request_duration_seconds_bucket{job="api", pod="a", le="+Inf"}', values: "0+100x70"}
      - {series: 'ai_requests_total{job="api", pod="a", model="m"}', values: "0+10x70"}
      - {series: 'ai_failures_total{job="api", pod="a", reason="timeout"}', values: "0x30 5+5x39"}
      - {series: 'service_memory_working_set_bytes{job="api", pod="a"}', values: "5e8x30 9.6e8x39"}
      - {series: 'service_memory_limit_bytes{job="api", pod="a", source="cgroup"}', values: "1e9x70"}
      - {series: 'service_oom_kills_total{job="api", pod="a"}', values: "0x70"}
"""
#: When each of them first fires, 10 s between two looks.
FIRST = {
    "CodeBlueHealth": 340, "CodeBlueErrors": 400, "CodeBlueLatency": 310, "CodeBlueMemory": 610, "CodeBlueAi": 330,
}  # fmt: skip


def expects(alert: str, *, summary: str | None = None) -> str:
    pod = ', "pod": "a"' if alert == "CodeBlueMemory" else ""
    labels = f'{{"severity": "{SEVERITY[alert]}", "codeblue_trigger": "{TRIGGERS[alert]}", "service": "api"{pod}}}'
    notes = {"summary": summary or SUMMARIES[alert], "next": "`codeblue status` says what Code Blue sees and does"}
    return f"[{{exp_labels: {labels}, exp_annotations: {json.dumps(notes)}}}]"


def document(first: dict[str, int]) -> str:
    tests = [
        f"      - {{eval_time: {at}s, alertname: {alert}, exp_alerts: {found}}}"
        for alert, fires in first.items()
        for at, found in ((fires - 10, "[]"), (fires, expects(alert)), (fires + 9, expects(alert)))
    ]
    head = "rule_files: [rules.yaml]\nevaluation_interval: 10s\ntests:\n  - interval: 10s\n    input_series:"
    return head + SERIES + "    alert_rule_test:\n" + "\n".join(tests) + "\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def by_promtool(home: Home, file: str) -> bool:
    home.path.joinpath("rules.yaml").write_text(home.run("export", "alert-rules").out)
    answer = promtool("test", "rules", file, cwd=home.path)
    assert ("SUCCESS" in answer.stdout) != ("FAILED" in answer.stdout + answer.stderr)
    return answer.returncode == 0


@pytest.mark.req("R4", "R5", "R6", "R7", "R8")
def test_the_same_file_passes_here_and_with_the_exported_rules(home: Home) -> None:
    home.path.joinpath("t.yaml").write_text(document(FIRST))
    answer = home.run("rules", "test", "t.yaml")
    assert (answer.code, answer.out) == (0, "t.yaml: all 15 tests come out as expected.\n"), answer.err
    assert by_promtool(home, "t.yaml")


@pytest.mark.parametrize("alert", FIRST)
def test_the_same_file_fails_here_and_there(home: Home, alert: str) -> None:
    home.path.joinpath("t.yaml").write_text(document(FIRST | {alert: FIRST[alert] + 10}))
    answer = home.run("rules", "test", "t.yaml", "--json")
    assert answer.code == 1
    [failure] = answer.document["failures"]
    assert (failure["alertname"], failure["eval_time_s"], failure["expected"]) == (alert, FIRST[alert], [])
    assert not by_promtool(home, "t.yaml")


def test_a_failure_shows_both_sides_the_line_and_the_arithmetic(home: Home) -> None:
    text = document({"CodeBlueErrors": FIRST["CodeBlueErrors"]}).replace("R5)", "R4)")
    home.path.joinpath("t.yaml").write_text(text)
    answer = home.run("rules", "test", "t.yaml")
    assert answer.code == 1
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "eval_time: 400s" in row)
    assert f"t.yaml:{line}: test 1: CodeBlueErrors at 400 s\n" in answer.out
    assert "    expected: {codeblue_trigger='R5', service='api', severity='SEV2'} with annotations" in answer.out
    assert "summary='api: more than 5 % of the requests fail, for 2m (R5)'" in answer.out
    because = "because:  150 of 300 requests failed within 30 s: 50 % > 5 %, at every look for 90 s ≥ 90 s\n"
    assert because in answer.out
    assert "2 of 3 tests do not come out as expected." in answer.out


def test_an_alert_that_is_expected_and_does_not_fire_is_a_failure(home: Home) -> None:
    home.path.joinpath("t.yaml").write_text(document({"CodeBlueMemory": 600}))
    answer = home.run("rules", "test", "t.yaml")
    assert answer.code == 1
    assert "    fires:    nothing\n" in answer.out
    assert "1 of 1 pods over 95 % of their memory (a 96 %), at every look for 290 s < 300 s" in answer.out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tests: [{input_series: [{series: up, values: 0+1x1000000000}]}]\n", "is longer than 1,000,000 values"),
        ("tests: 5\n", "t.yaml:1:8: tests: is not a list. Remedy: begin each of its items with '- '."),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(home: Home, text: str, told: str) -> None:
    home.path.joinpath("t.yaml").write_text(text)
    answer = home.run("rules", "test", "t.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert home.run("rules", "test", "t.yaml", "--json").document["exit_code"] == 2


def test_a_file_that_is_not_there_is_told(home: Home) -> None:
    assert "none.yaml does not exist. Nothing was tested." in home.run("rules", "test", "none.yaml").err
    assert home.run("rules", "test", ".").code == 2


def test_the_exported_rules_are_those_of_the_profile(tmp_path: Path) -> None:
    triggers = (
        "triggers:\n  health: {failures: 5}\n  errors: {threshold: 2.5 %, window: 1m, lasting: 90s, minimum: 7}\n"
        "  latency: {threshold: 1500ms, window: 2500ms, lasting: 1h}\n  memory: {after_oom: 3m}\n"
        "health: {interval: 6s}\n"
    )
    home = Home(tmp_path, PROFILE + triggers)
    answer = home.run("export", "alert-rules", "--json")
    document = answer.document
    assert answer.code == 0
    assert (document["interval_s"], document["left_out"]) == (6, {})
    rules = {rule["alert"]: rule for rule in document["rules"]}
    assert [rule["for_s"] for rule in rules.values()] == [30, 30, 3597.5, 300, 0]
    expr = rules["CodeBlueErrors"]["expr"]
    assert "[1m])) > 0.025 and " in expr
    assert expr.endswith(
        '>= 7 and count(last_over_time(http_requests_total{job="api", route!~"/api/health"}[1m] offset 1m))'
    )
    assert "[2500ms]))) > 1.5 and " in rules["CodeBlueLatency"]["expr"]
    assert "[3m])) > 0)" in rules["CodeBlueMemory"]["expr"]
    assert [rule["labels"]["codeblue_trigger"] for rule in rules.values()] == list(TRIGGERS.values())
    tmp_path.joinpath("rules.yaml").write_text(document["file"])
    checked = promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    assert (checked.returncode, "5 rules found" in checked.stdout) == (0, True), checked.stderr
    assert document["file"] == home.run("export", "alert-rules").out


def test_the_example_of_the_documentation_passes_here_and_there(tmp_path: Path) -> None:
    home = Home(tmp_path, PROFILE.replace("service: api", "service: ai-diagnostics-api"))
    [example] = re.findall(r"```yaml\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
    tmp_path.joinpath("t.yaml").write_text(example)
    answer = home.run("rules", "test", "t.yaml")
    assert answer.code == 0, answer.out
    assert by_promtool(home, "t.yaml")
