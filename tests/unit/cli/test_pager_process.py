"""The real daemon, killed at every crash point of the pager while its clock jumps; counted in the inbox (R3, B3)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.process import Process, until
from tests.unit.cli.program import CODEBLUE, Home, environment
from tests.unit.cli.test_paging import CONTACTS, ME, declared

from codeblue.record.pages import fold_pages

L2_S, L3_S = 8.0, 18.0
#: A start of the daemon on a busy machine, and the lease of the killed one taken over.
RESTART_S = 9.0
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
PROFILE = f"""\
version: 1
service: api
platform: {{{{kind: local, directory: {{directory}}}}}}
health: {{{{interval: 1s, timeout: 500ms}}}}
verify: {{{{stable_for: 1h}}}}
state: {{{{directory: ./state}}}}
report: {{{{directory: ./incidents}}}}
pages: {{{{inbox: ./pages}}}}
escalation: {{{{repeat: 0s, l2: {{{{after: {L2_S:g}s}}}}, l3: {{{{after: {L3_S:g}s}}}}}}}}
"""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("pager") / "machine") as running:
        running.start("1.0")
        yield running


@pytest.fixture
def home(local: Machine, tmp_path: Path) -> Home:
    return Home(tmp_path, PROFILE.format(directory=local.directory) + CONTACTS)


class Daemon:
    """`codeblue serve` under a clock that a test moves; started anew when it was killed."""

    def __init__(self, home: Home) -> None:
        self._home, self._offset = home, home.path / "offset"
        self.process: Process | None = None
        self.jump("+0")

    def jump(self, offset: str) -> None:
        """Step the daemon's time of day; its monotonic clocks go on, as those of the kernel do."""
        aside = self._offset.with_suffix(".new")
        aside.write_text(offset)
        aside.replace(self._offset)

    def start(self, kill_at: str = "") -> Process:
        faked = {
            "LD_PRELOAD": str(LIBRARY),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "PYTHONPATH": str(Path(__file__).with_name("faked")),
            "CODEBLUE_KILL_AT": kill_at,
        }
        self.close()
        env = environment(self._home.path) | faked
        self.process = Process([str(CODEBLUE), "serve"], env, cwd=self._home.path)
        until("acting", lambda: "acting on" in self.process.output or self.process.popen.poll() is not None)  # type: ignore[union-attr]
        assert "acting on" in self.process.output
        return self.process

    def killed(self) -> None:
        """Wait until it died at its crash point."""
        assert self.process is not None
        assert self.process.wait(60) == -9, self.process.output

    def close(self) -> None:
        if self.process is not None:
            self.process.close()


@pytest.fixture
def daemon(home: Home) -> Iterator[Daemon]:
    if LIBRARY is None:
        pytest.fail("libfaketime is missing: apt-get install libfaketime (make test does)")
    made = Daemon(home)
    yield made
    made.close()


def paged(home: Home) -> list[tuple[dict[str, str], float]]:
    """The pages, and when each came by the kernel's own clock, which nothing fakes."""
    files = sorted((home.path / "pages").glob("*.json"), key=lambda f: f.stat().st_mtime_ns)
    return [(json.loads(f.read_text()), f.stat().st_mtime) for f in files]


@pytest.mark.req("R3", "B3")
@pytest.mark.parametrize("point", ["due", "intended", "sent", "delivered"])
def test_killed_at_every_point_under_a_clock_that_jumps_each_level_is_paged_once(
    home: Home, daemon: Daemon, point: str
) -> None:
    daemon.start(f"L2.page.{point}")
    begun = time.time()
    document = declared(home, "other", "--impact", "outage")
    assert document["paged_by"] == "daemon"
    daemon.jump("+2h")
    daemon.killed()
    daemon.start(f"L3.page.{point}")
    daemon.jump("-2h")
    daemon.killed()
    daemon.start()
    until("all pages", lambda: len(paged(home)) == 5, 60)
    until("their outcome", lambda: all(c.delivered for c in calls(home, document)) and len(calls(home, document)) == 5)

    who = sorted((p["level"], p["role"]) for p, _ in paged(home))
    assert who == [
        ("L1", "on_call"),
        ("L2", "ai_team"),
        ("L2", "devops_lead"),
        ("L3", "clinical_director"),
        ("L3", "cto"),
    ]
    assert len({p["key"] for p, _ in paged(home)}) == 5
    for page, at in paged(home):
        start = {"L1": 0.0, "L2": L2_S, "L3": L3_S}[page["level"]]
        late = 3.0 if page["level"] == "L1" else 1.5 + RESTART_S
        assert start <= at - begun + 0.1 <= start + late + 2.0, (page["level"], at - begun)
    assert daemon.process is not None
    assert daemon.process.stop() == 0


def calls(home: Home, document: dict[str, object]):  # type: ignore[no-untyped-def]
    record = home.record()
    try:
        return fold_pages(record.read())[str(document["incident"])].calls
    finally:
        record.close()


@pytest.mark.req("R2", "R3")
def test_beside_a_daemon_commands_are_events_that_it_takes_up(home: Home, daemon: Daemon) -> None:
    running = daemon.start()
    document = declared(home, "patient-safety")
    assert (document["paged_by"], document["not_reached"]) == ("daemon", [])
    id_ = str(document["incident"])
    assert sorted((p["level"], p["role"]) for p, _ in paged(home)) == [
        ("L1", "on_call"),
        ("L4", "ceo"),
        ("L4", "cmo"),
        ("notice", "clinical_lead"),
    ]
    assert home.run("incident", "ack", id_).code == 0
    until("the acknowledgement at the channel", lambda: list((home.path / "pages").glob("*.acknowledged")))
    answer = home.run("page", "test", "--json")
    assert (answer.code, answer.document["paged_by"]) == (0, "daemon")
    answer = home.run("incident", "escalate", id_, "--level", "L3", "--reason", "stuck", "--json")
    assert (answer.code, answer.document["not_reached"], answer.document["paged_by"]) == (0, [], "daemon")
    assert home.run("incident", "mitigate", id_, "--reason", "over").code == 0
    until("the end at the channel", lambda: list((home.path / "pages").glob("*.over")))
    assert len(paged(home)) == 9
    assert f"acknowledged (L4) by {ME}" in home.run("incident", "list").out
    assert running.stop() == 0
    assert "pager: incident" in running.output
