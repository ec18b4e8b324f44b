"""Recorded series and files of rule tests: read as Prometheus reads them, or refused with line and remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeblue.rules.notation import NotSeries, expand, parse_duration_ms, parse_selector
from codeblue.rules.rule_tests import MAX_VALUES, RuleTestError, parse

ALERTS = frozenset({"CodeBlueErrors", "CodeBlueMemory"})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0+10x5", (0, 10, 20, 30, 40, 50)),
        ("5-2x2 7", (5, 3, 1, 7)),
        ("-1+1x1", (-1, 0)),
        ("7x2", (7, 7, 7)),
        ("_ 1 _x3 stale 2", (None, 1, None, None, None, None, 2)),
        ("1.5+.5x1 1e3", (1.5, 2, 1000)),
        ("3+0x0", (3,)),
        ("_x0", ()),
        ("  1\n 2 ", (1, 2)),
        ("", ()),
    ],
)
def test_it_expands_as_prometheus_does(text: str, values: tuple[float | None, ...]) -> None:
    assert expand(text, 100) == values


@pytest.mark.parametrize(
    "text", ["0+10", "x5", "1,2", "0x1F", "one", "{{schema:1}}x3", "1+1x-2", "__", "stalex2", "+x1"]
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(NotSeries) as error:
        expand(text, 100)
    assert "write numbers" in error.value.remedy


@pytest.mark.parametrize("text", ["0+1x1000000000", f"_x{'9' * 400}", "1x99 1", "7x100"])
def test_a_series_without_end_is_refused_before_it_is_made(text: str) -> None:
    with pytest.raises(NotSeries, match="is longer than 100 values"):
        expand(text, 100)


@given(st.text(max_size=60))
def test_any_text_is_a_series_or_refused(text: str) -> None:
    for read in (lambda: expand(text, 1000), lambda: parse_selector(text), lambda: parse_duration_ms(text)):
        try:
            read()
        except NotSeries as error:
            assert error.remedy


def test_selectors() -> None:
    assert parse_selector("up") == ("up", {})
    assert parse_selector(" up {} ".replace(" {", "{")) == ("up", {})
    assert parse_selector("""a:b{x="1", y='2',z=`3\\n`,}""") == ("a:b", {"x": "1", "y": "2", "z": "3\\n"})
    assert parse_selector(r"""up{x="a\"b\\c\n"}""") == ("up", {"x": 'a"b\\c\n'})
    assert parse_selector('b{le="+Inf"}') == ("b", {"le": "+Inf"})


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{__name__="x"}', "up{", 'up{x=1}', 'up{x="1" y="2"}', 'up{x="1",x="2"}', 'up{x=~"1"}', r'up{x="\q"}',
     "sum(up)", 'b{le="high"}', 'b{le="NaN"}', 'b{le="-Inf"}', "up offset 5m"],
)  # fmt: skip
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(NotSeries):
        parse_selector(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("90s", 90_000), ("1h30m", 5_400_000), ("1500ms", 1500), ("1d", 86_400_000), ("2m5s10ms", 125_010)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "1.5m", "5 m", "m", "5s1m", "-1m", "9" * 40 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(NotSeries):
        parse_duration_ms(text)


FILE = """\
rule_files: [rules.yaml]
evaluation_interval: 10s
tests:
  - interval: 10s
    input_series:
      - series: 'http_requests_total{job="api"}'
        values: 0+10x5
    alert_rule_test:
      - eval_time: 1m
        alertname: CodeBlueErrors
"""


def problems(text: str) -> list[tuple[int, str, str, str]]:
    with pytest.raises(RuleTestError) as error:
        parse(text.encode(), "t.yaml", ALERTS)
    return [(p.line, p.path, p.message, p.remedy) for p in error.value.problems]


def test_a_file_is_read_whole() -> None:
    tests = parse(FILE.encode(), "t.yaml", ALERTS)
    [group] = tests.groups
    assert (tests.every_ms, group.interval_ms, group.end_ms, group.name) == (10_000, 10_000, 60_000, "test 1")
    assert (group.tests[0].alert, group.tests[0].line) == ("CodeBlueErrors", 9)
    assert group.series[0].values == (0, 10, 20, 30, 40, 50)


def test_intervals_are_a_minute_unless_said_otherwise() -> None:
    text = FILE.replace("evaluation_interval: 10s\n", "").replace("- interval: 10s\n    input", "- input")
    tests = parse(text.encode(), "t.yaml", ALERTS)
    assert (tests.every_ms, tests.groups[0].interval_ms) == (60_000, 60_000)
    half = parse(FILE.replace("- interval: 10s\n    input", "- input").encode(), "t.yaml", ALERTS)
    assert half.groups[0].interval_ms == 10_000


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "message", "remedy"),
    [
        ("0+10x5", "0+10x", 7, "tests[0].input_series[0].values", "0+10x is no value of a series", "write numbers"),
        ("0+10x5", "1x9999999", 7, "tests[0].input_series[0].values", "longer than 1,000,000", "write a shorter"),
        ("CodeBlueErrors", "Errors", 10, "tests[0].alert_rule_test[0].alertname", "none of the profile's", "CodeBlueM"),
        ("eval_time: 1m", "eval_time: 1", 9, "tests[0].alert_rule_test[0].eval_time", "is not a duration", "write 90s"),
        ("eval_time: 1m", "eval_time: 99999d", 4, "tests[0]", "needs more than 1,000,000 looks", "shorter tests"),
        ("interval: 10s\n    input", "intervall: 10s\n    input", 4, "tests[0].intervall", "unknown key", "delete it"),
        ("input_series", "promql_expr_test", 5, "tests[0].promql_expr_test", "without a Prometheus", "of their own"),
        ("  - series: 'http", "  - series: '1http", 6, "tests[0].input_series[0].series", "not the name", "write name"),
        ("rule_files", "rule_file", 1, "rule_file", "unknown key", "delete it"),
        ("  - eval_time: 1m\n        alertname", "  - alert", 9, "tests[0].alert_rule_test[0].alert", "unknown", "del"),
        ("values: 0+10x5", "values: [1, 2]", 7, "tests[0].input_series[0].values", "is not text", "quotes"),
        ("job=", "job=\\", 6, "tests[0].input_series[0].series", "has labels that are none", "write name"),
        ("[rules.yaml]", "&a [rules.yaml]", 1, "rule_files", "anchor", "delete"),
    ],
)  # fmt: skip
def test_every_problem_has_its_line_and_its_remedy(
    old: str, new: str, line: int, path: str, message: str, remedy: str
) -> None:
    assert old in FILE
    found = problems(FILE.replace(old, new, 1))
    assert any((line, path) == (at, where) and message in what and remedy in how for at, where, what, how in found), (
        found
    )


def test_all_problems_are_told_at_once() -> None:
    text = FILE.replace("0+10x5", "zero").replace("CodeBlueErrors", "Other")
    assert [line for line, *_ in problems(text)] == [7, 10]


@pytest.mark.parametrize(
    "text",
    ["", "tests: []\n", "[]\n", "tests:\n", "tests: 5\n", "\x00", "tests: [[]]\n", "tests: [{input_series: {a: 1}}]\n",
     "tests: [{alert_rule_test: [{alertname: CodeBlueErrors, exp_alerts: [{exp_labels: 5}]}]}]\n",
     "evaluation_interval: 5s\n"],
)  # fmt: skip
def test_what_is_no_file_of_rule_tests_is_refused(text: str) -> None:
    assert all(message and remedy for _, _, message, remedy in problems(text))


def test_many_series_are_no_way_around_the_bounds() -> None:
    series = "".join(f"      - {{series: 's{n}', values: 1x99999}}\n" for n in range(12))
    text = FILE.replace("    alert_rule_test", f"{series}    alert_rule_test")
    assert any(f"more than {MAX_VALUES:,} values" in message for _, _, message, _ in problems(text))
    short = "".join(f"      - {{series: 's{n}', values: 1}}\n" for n in range(120))
    long = FILE.replace("0+10x5", "1x9999").replace("    alert_rule_test", f"{short}    alert_rule_test")
    assert any(f"more than {MAX_VALUES:,} values" in message for _, _, message, _ in problems(long))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_refused(raw: bytes) -> None:
    with pytest.raises(RuleTestError):
        parse(b"x" + raw, "t.yaml", ALERTS)
