"""A real Alertmanager and a real `codeblue serve`: each alert is one event, whatever dies in between."""

import json
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.contract.local_machine import free_port
from tests.process import Process, until
from tests.unit.web.daemon import Served
from tests.unit.web.desk import TOKEN

pytestmark = pytest.mark.slow

CONFIG = """\
route: {{receiver: codeblue, group_by: ['...'], group_wait: 10ms, group_interval: 1s, repeat_interval: 1s}}
receivers:
  - name: codeblue
    webhook_configs:
      - url: http://127.0.0.1:{port}/v1/alerts
        send_resolved: true
        max_alerts: 1000
        http_config: {{authorization: {{type: Bearer, credentials: {token}}}}}
"""


class Alertmanager:
    def __init__(self, directory: Path, to_port: int) -> None:
        program = shutil.which("prometheus-alertmanager")
        assert program, "Alertmanager is not installed: apt-get install prometheus-alertmanager"
        self.port = free_port()
        config = directory / "alertmanager.yml"
        config.write_text(CONFIG.format(port=to_port, token=TOKEN))
        arguments = [
            program,
            f"--config.file={config}",
            f"--storage.path={directory / 'alertmanager'}",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.process = Process(arguments, {})
        until("Alertmanager", self._ready)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def add(self, *names: str, over: bool = False) -> None:
        """Alerts begin, or are over."""
        now = datetime.now(UTC)
        ends = now if over else now + timedelta(hours=1)
        alerts = [
            {
                "labels": {"alertname": name, "severity": "critical", "codeblue_trigger": "R5", "pod": "api-1"},
                "annotations": {"summary": "<b>patient</b>"},
                "startsAt": "2026-01-05T03:15:00.123456789Z",
                "endsAt": ends.isoformat(),
            }
            for name in names
        ]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/alerts",
            json.dumps(alerts).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

    def sent(self, reason: str = "") -> float:
        """How many webhooks it sent, or how many of them failed."""
        name = (
            "alertmanager_notification_requests_failed_total" if reason else "alertmanager_notification_requests_total"
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f'{name}{{integration="webhook"'))

    def close(self) -> None:
        self.process.close()


@pytest.fixture
def alertmanager(served: Served, tmp_path: Path) -> Iterator[Alertmanager]:
    running = Alertmanager(tmp_path, served.port)
    yield running
    running.close()


def recorded(served: Served, *kinds: str) -> list[str]:
    return [e.kind for e in served.events(*(kinds or ("alert.received", "alert.resolved")))]


def test_each_alert_is_one_event_however_often_it_is_repeated(served: Served, alertmanager: Alertmanager) -> None:
    served.start()
    alertmanager.add("One", "Two")
    until("two events", lambda: len(recorded(served)) == 2)
    sent = alertmanager.sent()
    until("repetitions", lambda: alertmanager.sent() >= sent + 4)
    assert recorded(served) == ["alert.received"] * 2
    kept = [e.data for e in served.events("alert.received")]
    assert {(d["alertname"], d["trigger"], d["pod"], d["starts_at"]) for d in kept} == {
        (name, "R5", "api-1", "2026-01-05T03:15:00.123456+00:00") for name in ("One", "Two")
    }
    alertmanager.add("One", over=True)
    until("its end", lambda: "alert.resolved" in recorded(served))
    sent = alertmanager.sent()
    until("repetitions", lambda: alertmanager.sent() >= sent + 2)
    assert recorded(served) == ["alert.received"] * 2 + ["alert.resolved"]
    assert recorded(served, "run.requested") == [], "an alert alone does nothing here"


def test_an_alert_that_fires_on_after_a_false_end_is_recorded_again(served: Served, alertmanager: Alertmanager) -> None:
    """Prometheus could not reach Alertmanager for a while: the same alert, with the same start, ends and fires."""
    served.start()
    alertmanager.add("One")
    until("its beginning", lambda: len(recorded(served)) == 1)
    alertmanager.add("One", over=True)
    until("its end", lambda: len(recorded(served)) == 2)
    alertmanager.add("One")
    until("that it fires", lambda: len(recorded(served)) == 3)
    sent = alertmanager.sent()
    until("repetitions", lambda: alertmanager.sent() >= sent + 2)
    assert recorded(served) == ["alert.received", "alert.resolved", "alert.received"]
    assert len({e.data["starts_at"] for e in served.events("alert.received")}) == 1


def test_an_alert_that_came_while_we_were_down_is_recorded_once(served: Served, alertmanager: Alertmanager) -> None:
    alertmanager.add("WhileDown")
    until("a failed attempt", lambda: alertmanager.sent("failed") >= 1)
    served.start()
    until("the event", lambda: recorded(served))
    sent = alertmanager.sent()
    until("repetitions", lambda: alertmanager.sent() >= sent + 2)
    assert recorded(served) == ["alert.received"]


def test_killed_after_the_commit_and_before_the_answer(served: Served, alertmanager: Alertmanager) -> None:
    served.start(CODEBLUE_KILL_AT="alerts.recorded")
    alertmanager.add("Unanswered")
    assert served.wait() == -signal.SIGKILL
    assert recorded(served) == ["alert.received"]
    until("a failed attempt", lambda: alertmanager.sent("failed") >= 1)
    served.start()
    sent = alertmanager.sent()
    until("repetitions", lambda: alertmanager.sent() >= sent + 3)
    assert recorded(served) == ["alert.received"]
    assert served.get("/metrics").text.count('what="received"} 1.0') == 1


def test_refused_for_its_rate_it_comes_again(served: Served, alertmanager: Alertmanager) -> None:
    """503, not 429: Alertmanager would drop that."""
    (served.home / "codeblue.yaml").write_text(served.profile + "  alerts_per_hour: 10\n")
    served.start()
    alertmanager.add(*(f"Flood{n}" for n in range(15)))
    until("the limit", lambda: len(recorded(served)) == 10)
    failed = alertmanager.sent("failed")
    until("more attempts", lambda: alertmanager.sent("failed") >= failed + 2)
    assert len(recorded(served)) == 10
