"""A file of Prometheus' rule tests (`promtool test rules`) as `codeblue rules test` replays it: read and checked whole.

Read is what alerts need: `input_series` and `alert_rule_test`. What cannot be replayed without a Prometheus is refused,
never passed over. Size and length are bounded, whatever the file says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from codeblue.profile.explain import dotted
from codeblue.profile.load import Problem, ProfileError
from codeblue.profile.source import REFUSED, Bounds, KeyPath, Tree, Unreadable, decode, read
from codeblue.rules.notation import NotSeries, Series, expand, parse_duration_ms, parse_selector

BOUNDS: Final = Bounds("a file of rule tests", 2 << 20, 50_000, 200_000)
#: Values of a file's series, the shorter ones filled up, and looks at single series, at most.
MAX_VALUES: Final = 1_000_000
MAX_LOOKS: Final = 1_000_000
_MINUTE_MS: Final = 60_000
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that fires: its labels without `alertname`, and its annotations."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AlertTest:
    """Which alerts of a name fire at a time, milliseconds from the start; and the line where that is said."""

    at_ms: int
    alert: str
    expected: tuple[Expected, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """Series, and what is expected of them.

    Attributes:
        interval_ms: between two values of a series.
    """

    name: str
    interval_ms: int
    series: tuple[Series, ...]
    tests: tuple[AlertTest, ...]

    @property
    def end_ms(self) -> int:
        """The time of the last test."""
        return max((test.at_ms for test in self.tests), default=0)


@dataclass(frozen=True, slots=True)
class RuleTests:
    """The whole file. `every_ms` is the time between two looks."""

    every_ms: int
    groups: tuple[Group, ...]


class RuleTestError(ProfileError):
    """The file is none of rule tests, or asks for what cannot be replayed; with all problems."""


def parse(raw: bytes, name: str, alerts: frozenset[str]) -> RuleTests:
    """The tests in a file.

    Args:
        name: how problems call the file.
        alerts: names of the alerts that there are.

    Raises:
        RuleTestError: something in it is wrong; with all problems, each with its line and its remedy.
    """
    try:
        tree = read(decode(raw, BOUNDS), BOUNDS)
    except Unreadable as unreadable:
        flaw = unreadable.flaw
        raise RuleTestError(
            name, (Problem(flaw.place.line, flaw.place.column, "", flaw.message, flaw.remedy),)
        ) from None
    reader = _Reader(tree, alerts)
    tests = reader.file()
    problems = [Problem(f.place.line, f.place.column, dotted(f.path), f.message, f.remedy) for f in tree.flaws]
    problems += reader.problems
    if problems:
        raise RuleTestError(name, tuple(sorted(set(problems), key=lambda p: (p.line, p.column, p.path, p.message))))
    return tests


class _Reader:
    def __init__(self, tree: Tree, alerts: frozenset[str]) -> None:
        self._tree, self._alerts = tree, alerts
        self._values_left, self._looks_left = MAX_VALUES, MAX_LOOKS
        self.problems: list[Problem] = []

    def file(self) -> RuleTests:
        top = self._section(self._tree.value, (), {"rule_files", "evaluation_interval", "group_eval_order", "tests"})
        every_ms = self._duration(top, "evaluation_interval", (), _MINUTE_MS) or _MINUTE_MS
        groups = self._list(top.get("tests", _MISSING), ("tests",))
        if not groups and not self.problems:
            self._wrong(("tests",), "has no tests", "add tests: with input_series and alert_rule_test")
        return RuleTests(every_ms, tuple(self._group(g, ("tests", str(n)), every_ms) for n, g in enumerate(groups)))

    def _group(self, value: Any, path: KeyPath, every_ms: int) -> Group:
        known = {"name", "interval", "input_series", "alert_rule_test", "external_labels", "external_url"}
        known |= {"promql_expr_test"}
        group = self._section(value, path, known)
        if "promql_expr_test" in group:
            self._wrong(
                (*path, "promql_expr_test"),
                "cannot be replayed without a Prometheus",
                "keep these tests in a file of their own, for `promtool test rules`",
            )
        interval_ms = self._duration(group, "interval", path, every_ms) or every_ms
        series = self._list(group.get("input_series", ()), (*path, "input_series"))
        tests = self._list(group.get("alert_rule_test", ()), (*path, "alert_rule_test"))
        found = Group(
            self._text(group.get("name", f"test {int(path[-1]) + 1}"), (*path, "name")),
            interval_ms,
            tuple(self._series(s, (*path, "input_series", str(n))) for n, s in enumerate(series)),
            tuple(self._test(t, (*path, "alert_rule_test", str(n))) for n, t in enumerate(tests)),
        )
        longest = max((len(one.values) for one in found.series), default=0)
        self._values_left -= longest * len(found.series)
        self._looks_left -= (found.end_ms // every_ms + 1) * max(len(found.series), 1)
        if self._values_left < 0:
            self._wrong(path, f"is more than {MAX_VALUES:,} values", "write fewer or shorter series")
        if self._looks_left < 0:
            self._wrong(path, f"needs more than {MAX_LOOKS:,} looks", "write shorter tests, or evaluate less often")
        return found

    def _series(self, value: Any, path: KeyPath) -> Series:
        one = self._section(value, path, {"series", "values"})
        name, labels = "", dict[str, str]()
        values: tuple[float | None, ...] = ()
        try:
            name, labels = parse_selector(self._text(one.get("series", _MISSING), (*path, "series")))
        except NotSeries as error:
            self._wrong((*path, "series"), str(error), error.remedy)
        try:
            values = expand(self._text(one.get("values", _MISSING), (*path, "values")), max(self._values_left, 0))
        except NotSeries as error:
            self._wrong((*path, "values"), str(error), error.remedy)
        return Series(name, labels, values)

    def _test(self, value: Any, path: KeyPath) -> AlertTest:
        test = self._section(value, path, {"eval_time", "alertname", "exp_alerts"})
        alert = self._text(test.get("alertname", _MISSING), (*path, "alertname"))
        if alert and alert not in self._alerts:
            self._wrong(
                (*path, "alertname"),
                "is none of the profile's alerts",
                f"write one of {', '.join(sorted(self._alerts))}",
            )
        listed = test.get("exp_alerts", ())
        expected = self._list(() if listed is None else listed, (*path, "exp_alerts"))
        return AlertTest(
            self._duration(test, "eval_time", path, 0),
            alert,
            tuple(self._expected(e, (*path, "exp_alerts", str(n))) for n, e in enumerate(expected)),
            self._tree.place(path).line,
        )

    def _expected(self, value: Any, path: KeyPath) -> Expected:
        one = self._section(value, path, {"exp_labels", "exp_annotations"})
        return Expected(*(self._texts(one.get(key, {}), (*path, key)) for key in ("exp_labels", "exp_annotations")))

    def _texts(self, value: Any, path: KeyPath) -> dict[str, str]:
        found = value if isinstance(value, dict) else {}
        if value is not found and value is not REFUSED:
            self._wrong(path, "is not a section of keys", "put its keys below it, indented: key: value")
        return {key: self._text(text, (*path, key)) for key, text in found.items()}

    def _section(self, value: Any, path: KeyPath, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            if value is not REFUSED:
                self._wrong(path, "is not a section of keys", "put its keys below it, indented: key: value")
            return {}
        for key in value.keys() - known:
            self._wrong((*path, key), "unknown key", f"delete it, or write one of {', '.join(sorted(known))}")
        return value

    def _list(self, value: Any, path: KeyPath) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        if value is _MISSING:
            self._wrong(path, "is missing", f"add {path[-1]}:")
        elif value is not REFUSED:
            self._wrong(path, "is not a list", "begin each of its items with '- '")
        return ()

    def _text(self, value: Any, path: KeyPath) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if value is _MISSING:
            self._wrong(path, "is missing", f"add {path[-1]}:")
        elif value is not REFUSED:
            self._wrong(path, "is not text", "put it in quotes")
        return ""

    def _duration(self, section: Mapping[str, Any], key: str, path: KeyPath, default_ms: int) -> int:
        if key not in section:
            return default_ms
        text = self._text(section[key], (*path, key))
        try:
            return parse_duration_ms(text) if text else default_ms
        except NotSeries as error:
            self._wrong((*path, key), str(error), error.remedy)
            return default_ms

    def _wrong(self, path: KeyPath, message: str, remedy: str) -> None:
        place = self._tree.place(path)
        self.problems.append(Problem(place.line, place.column, dotted(path), message, remedy))
