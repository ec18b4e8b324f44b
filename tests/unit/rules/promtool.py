"""The real engine: `promtool test rules`, which evaluates rule files with Prometheus' own code."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from codeblue.rules.notation import Series, parse_duration_ms
from codeblue.rules.prometheus import AlertRules

PROMTOOL = shutil.which("promtool") or "promtool (Debian's package prometheus)"
#: Longer than any call takes here on the busiest machine.
LIMIT_S = 300


def promtool(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROMTOOL, *argv], cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def written(one: Series) -> dict[str, str]:
    """A series as the file of a rule test has it."""
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in one.labels.items())
    values = " ".join("_" if value is None else f"{value:.17g}" for value in one.values)
    return {"series": f"{one.name}{{{labels}}}", "values": values or "_"}


def firing(
    rules: AlertRules,
    cases: Mapping[str, Sequence[Series]],
    folder: Path,
    *,
    interval_s: float,
    every_ms: int,
    end_ms: int,
) -> dict[str, dict[int, set[str]]]:
    """What fires at each look, by case, as Prometheus says: nothing is expected, so every alert is told."""
    looks = range(0, end_ms + 1, every_ms)
    tests = [
        {
            "name": name,
            "interval": f"{round(interval_s * 1000)}ms",
            "input_series": [written(one) for one in series],
            "alert_rule_test": [
                {"eval_time": f"{at}ms", "alertname": alert.name} for at in looks for alert in rules.alerts
            ],
        }
        for name, series in cases.items()
    ]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{every_ms}ms", "tests": tests}
    (folder / "rules.yaml").write_text(rules.text, "utf-8")
    (folder / "tests.yaml").write_text(json.dumps(document), "utf-8")  # JSON is YAML
    answer = promtool("test", "rules", "tests.yaml", cwd=folder)
    output = answer.stdout + answer.stderr
    assert "FAILED" in output or "SUCCESS" in output, output[-2000:]
    triggers = {alert.name: alert.trigger for alert in rules.alerts}
    found: dict[str, dict[int, set[str]]] = {name: {at: set() for at in looks} for name in cases}
    told = 0
    for part in re.split(r"(?=    name: )", output)[1:]:
        head = re.match(r"    name: (\S+),\s+alertname: (\w+), time: (\w+),", part)
        assert head is not None, part[:500]
        pods = re.findall(r"Labels:\{[^}]*?pod=\"([^\"]*)\"", part)
        assert pods or "Labels:" in part, part[:500]
        trigger = triggers[head[2]]
        found[head[1]][parse_duration_ms(head[3])] |= {f"{trigger}/{pod}" for pod in pods} or {trigger}
        told += 1
    assert told == output.count("alertname: ")
    return found
