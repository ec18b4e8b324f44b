"""The Grafana dashboard: every query names metrics and labels that really exist, and is PromQL."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.web.desk import Front, alert, message
from tests.unit.web.test_clicks import INCIDENT, OPENED, REQUESTED, RUN

from codeblue.model.event import Draft
from codeblue.model.pulse import Pulse

DASHBOARD = Path(__file__).parents[3] / "deploy/grafana/codeblue.json"
#: What Prometheus itself adds to every series.
TARGET = {"job", "instance"}


def queries() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    found += [a["expr"] for a in dashboard["annotations"]["list"]]
    assert len(found) > 10
    return found


async def exposed() -> dict[str, set[str]]:
    """Every series of a process to which everything has happened: name → its labels."""
    desk = Front()
    desk.loop.now = Pulse(acting=True, buckets=((0.5, 1), (float("inf"), 1)), verdicts={("R4", "ok"): 1})
    await desk.alert(message([alert(1)]))
    page = {"key": "k", "level": "L1", "cycle": 0, "role": "on_call", "channel": "inbox", "round": 0}
    desk.tell(
        OPENED,
        REQUESTED,
        Draft("step.ended", "engine", {"step": "a", "state": "done"}, run=RUN),
        Draft("run.ended", "engine", {"state": "done"}, run=RUN),
        Draft("page.intended", "pager", page, incident=INCIDENT),
        Draft("page.delivered", "pager", {"key": "k", "fate": "accepted"}, incident=INCIDENT),
    )
    text = (await desk.ask("GET", "/metrics")).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_every_query_names_what_exists() -> None:
    known = await exposed()
    used: set[str] = set()
    for query in queries():
        names = re.findall(r"\bcodeblue_\w+", query)
        assert names, query
        for name in names:
            assert name in known, f"{name} of {query}"
            used.add(name)
        labels = {w for group in re.findall(r"by \(([^)]*)\)", query) for w in re.findall(r"\w+", group)}
        labels |= {w for group in re.findall(r"\{([^}]*)\}", query) for w in re.findall(r"(\w+)\s*[=!]", group)}
        for name in names:
            assert labels - TARGET <= known[name], f"{labels} of {query}"
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    left_out = {re.sub(r"_(bucket|sum|count)$", "", n) for n in known if not n.endswith("_created")} - shown
    assert left_out == set(), "a metric that no panel shows"


def test_every_query_is_promql(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "Prometheus is not installed: apt-get install prometheus"
    rules: list[dict[str, Any]] = [
        {"record": f"q{n}", "expr": query.replace("$job", ".*")} for n, query in enumerate(queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    check = [promtool, "check", "rules", file]
    answer = subprocess.run(check, check=False, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{len(rules)} rules found" in answer.stdout
