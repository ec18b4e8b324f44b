"""`codeblue serve` that answers over HTTP, the real program."""

import re
import signal
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine
from tests.postgres import Postgres, postgres
from tests.process import until
from tests.unit.cli.program import Home, run
from tests.unit.cli.test_paging import CONTACTS
from tests.unit.web.daemon import PROFILE, Served
from tests.unit.web.desk import STATUS_TOKEN, TOKEN, alert, message

from codeblue.adapters.inbox import read_inbox

pytestmark = pytest.mark.slow

__all__ = ["postgres"]

TOKENS = {"ALERTS_TOKEN": TOKEN, "STATUS_TOKEN": STATUS_TOKEN}


def test_it_answers_while_it_acts_and_ends_in_order(served: Served) -> None:
    served.start()
    told = served.get("/v1/status", STATUS_TOKEN).json
    asked = run("status", "--json", cwd=served.home, env=TOKENS).document
    assert {k: v for k, v in told.items() if k != "last_event"} == {k: v for k, v in asked.items() if k != "last_event"}
    assert told["daemon"]
    assert served.alert(message([alert(1)])).json == {"recorded": 1, "resolved": 0, "known": 0}
    until("its incident", lambda: served.get("/v1/status", STATUS_TOKEN).json["open_incidents"])
    until("cycles", lambda: "codeblue_cycles_total 4.0" in served.get("/metrics").text)
    assert served.get("/healthz").json["last_cycle_age_s"] < 2
    metrics = served.get("/metrics").text
    assert "codeblue_lease_held 1.0" in metrics
    assert 'codeblue_alerts_total{what="received"} 1.0' in metrics
    served.signal(signal.SIGTERM)
    assert served.wait() == 0
    assert "stopped: the lease is free" in served.lines[-1]
    assert served.get("/healthz").status == 0
    assert (served.home / "stderr").read_text() == ""


def test_a_port_that_is_in_use_is_said_before_anything_begins(served: Served, local: Machine, tmp_path: Path) -> None:
    served.start()
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other", PROFILE.format(local=local.directory, port=served.port))
    answer = other.run("serve", env=TOKENS)
    assert answer.code == 4
    assert f"cannot listen on 127.0.0.1:{served.port}: another process listens there" in answer.err
    assert "--listen" in answer.err
    assert not other.file.exists()
    answer = other.run("serve", "--listen", "192.0.2.1:1", env=TOKENS)
    assert (answer.code, other.file.exists()) == (4, False)
    answer = other.run("serve", "--listen", "nonsense", env=TOKENS)
    assert answer.code == 2
    assert "--listen is not an address to listen on" in answer.err


def test_a_missing_token_is_said_before_anything_begins(served: Served) -> None:
    answer = run("serve", cwd=served.home, env={"ALERTS_TOKEN": TOKEN})
    assert answer.code == 2
    assert "api.status_token: the environment variable STATUS_TOKEN is not set" in answer.err


def test_without_a_section_it_listens_nowhere_unless_it_is_told_to(served: Served) -> None:
    (served.home / "codeblue.yaml").write_text(served.profile.partition("api:\n")[0])
    served.start("--listen", f"127.0.0.1:{served.port}")
    assert served.alert(message([alert(1)])).status == 404, "no token, no endpoint"
    assert served.get("/metrics").status == 200


def test_a_standby_answers_and_swallows_nothing(served: Served, local: Machine, tmp_path: Path) -> None:
    served.start()
    (tmp_path / "standby").mkdir()
    standby = Served(tmp_path / "standby", local.directory)
    try:
        standby.start(acting=False)
        assert standby.get("/healthz").json["acting"] is False
        assert "codeblue_lease_held 0.0" in standby.get("/metrics").text
        answer = standby.alert(message([alert(1)]))
        assert answer.status == 503
        assert "stands by" in answer.json["message"]
        assert standby.events("alert.received") == []
    finally:
        standby.close()


def test_processes_with_one_database_take_an_alert_once_whoever_gets_it(
    served: Served, local: Machine, tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.database()
    (tmp_path / "standby").mkdir()
    standby = Served(tmp_path / "standby", local.directory)
    for daemon in (served, standby):
        shared = "state: {directory: ./state, database: {env: DATABASE}}"
        daemon.profile = daemon.profile.replace("state: {directory: ./state}", shared)
        daemon.write("")
    try:
        served.start(DATABASE=url)
        standby.start(acting=False, DATABASE=url)
        assert standby.get("/healthz").json["acting"] is False
        assert standby.alert(message([alert(1)])).json == {"recorded": 1, "resolved": 0, "known": 0}
        assert served.alert(message([alert(1), alert(2)])).json == {"recorded": 1, "resolved": 0, "known": 1}
        assert standby.alert(message([alert(2)])).json["known"] == 1
        for daemon in (served, standby):
            assert 'codeblue_alerts_total{what="received"} 2.0' in daemon.get("/metrics").text
            assert url.partition("@")[0] not in "".join(daemon.lines) + (daemon.home / "stderr").read_text()
    finally:
        standby.close()


def test_a_damaged_database_of_the_engine_keeps_nobody_from_being_paged(served: Served) -> None:
    """Nothing can be changed then; the ladder goes on, and a database that is mended is used without a new start."""
    served.write(CONTACTS + "pages: {inbox: ./pages}\nescalation: {l2: {after: 3s}}\n")
    state = served.home / "state"
    state.mkdir()
    (state / "engine.db").write_bytes(b"nothing of the engine's own " * 999)
    served.start()
    declared = run("incident", "declare", "--trigger", "unrecoverable", "--reason", "x", cwd=served.home, env=TOKENS)
    assert declared.code == 0, declared.err
    until("level 2", lambda: {p["level"] for p in read_inbox(served.home / "pages")} >= {"L1", "L2"})
    assert served.get("/healthz").status == 200
    until("the sentence", lambda: any("NOTHING CAN BE CHANGED: The engine's" in line for line in served.lines))
    (state / "engine.db").unlink()
    until("an engine", lambda: any("commands are taken up again" in line for line in served.lines))
    [opened] = served.events("incident.opened")
    run("incident", "mitigate", opened.incident, "--reason", "x", cwd=served.home, env=TOKENS)
    until("a run that the engine executed", lambda: [e.data["state"] for e in served.events("run.ended")] == ["done"])
    said = "".join(served.lines) + (served.home / "stderr").read_text()
    assert re.findall(r"Traceback|SQL:|parameters", said) == []
