"""The real daemon under a clock that jumps: killed at every crash point of its pager, and while PagerDuty is down.

Who was paged and when is read from the request logs of the providers' emulators (R3, B3).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.process import Process, until
from tests.unit.cli.program import CODEBLUE, Home, environment
from tests.unit.cli.test_paging import CONTACTS, ME, declared, inbox
from tests.unit.profile.valid import PEOPLE

from codeblue.record.pages import fold_pages
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.pagerduty import PagerDuty
from codeblue.testing.emulators.slack import Slack

pytestmark = pytest.mark.slow

L2_S, L3_S = 8.0, 18.0
#: For so long a channel is tried before the next one.
GIVE_UP_S = 2.0
#: What a tick may be late by on a machine that runs other tests as well.
BUSY_S = 4.0
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
escalation: {{{{repeat: 0s, give_up: {GIVE_UP_S:g}s, l2: {{{{after: {L2_S:g}s}}}}, l3: {{{{after: {L3_S:g}s}}}}}}}}
"""
INBOX = "pages: {inbox: ./pages}\n"
#: A routing key for each role, so that PagerDuty's log says who was paged.
KEYS = {role: f"{n:032x}" for n, role in enumerate(PEOPLE)}
TOKEN = "xoxb-1-2-three"
LADDER = [("L1", "on_call"), ("L2", "ai_team"), ("L2", "devops_lead"), ("L3", "clinical_director"), ("L3", "cto")]
AFTER_S = {"L1": 0.0, "L2": L2_S, "L3": L3_S}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("pager") / "machine") as running:
        running.start("1.0")
        yield running


@pytest.fixture
def home(local: Machine, tmp_path: Path) -> Home:
    """Pages go to a directory."""
    return Home(tmp_path, PROFILE.format(directory=local.directory) + CONTACTS + INBOX)


class Providers:
    """PagerDuty first, then Slack: emulators with a log of every request."""

    def __init__(self, pagerduty: PagerDuty, slack: Slack) -> None:
        self.pagerduty, self.slack = pagerduty, slack
        self.environment = {f"PD_{role.upper()}": key for role, key in KEYS.items()} | {"SLACK": TOKEN}

    @property
    def pages(self) -> str:
        """The section of the profile."""
        keys = ", ".join(f"{role}: {{env: PD_{role.upper()}}}" for role in KEYS)
        return (
            "pages:\n"
            f"  pagerduty: {{api: '{self.pagerduty.url}', roles: {{{keys}}}}}\n"
            f"  slack: {{api: '{self.slack.api}', token: {{env: SLACK}}, channel: C0PAGES77}}\n"
        )

    def called(self) -> list[tuple[str, str, float]]:
        """Level and role of each page that PagerDuty took, and when it came by the kernel's own clock.

        A second event with the key of an open incident is no second page: PagerDuty calls nobody for it.
        """
        role_of = {key: role for role, key in KEYS.items()}
        first: dict[tuple[str, str], tuple[str, str, float]] = {}
        for request in self.pagerduty.requests("POST"):
            event = request.json()
            if request.done and event["event_action"] == "trigger":
                level, role = event["payload"]["group"], role_of[event["routing_key"]]
                first.setdefault((event["routing_key"], event["dedup_key"]), (level, role, request.at_s))
        assert len(first) == len(self.pagerduty.alerts)
        return sorted(first.values())

    def posted(self) -> list[tuple[str, str, float]]:
        """The same of Slack, where every message that was taken is one."""
        taken = [r for r in self.slack.requests("POST", "/api/chat.postMessage") if r.done]
        heads = [r.json()["blocks"][0]["text"]["text"].split(" · ") for r in taken]
        return sorted((level, role, r.at_s) for (_, level, role), r in zip(heads, taken, strict=True))


@pytest.fixture
def providers() -> Iterator[Providers]:
    with PagerDuty(tuple(KEYS.values())) as pagerduty, Slack(TOKEN, ("C0PAGES77",)) as slack:
        yield Providers(pagerduty, slack)


@pytest.fixture
def ward(local: Machine, tmp_path: Path, providers: Providers) -> Home:
    """Pages go to the providers."""
    return Home(tmp_path, PROFILE.format(directory=local.directory) + CONTACTS + providers.pages)


class Daemon:
    """`codeblue serve` under a clock that a test moves; started anew when it was killed."""

    def __init__(self, home: Home, secrets: dict[str, str] | None = None) -> None:
        self._home, self._offset, self._secrets = home, home.path / "offset", secrets or {}
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
        env = environment(self._home.path) | faked | self._secrets
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
    with _daemon(home) as made:
        yield made


@pytest.fixture
def paging_daemon(ward: Home, providers: Providers) -> Iterator[Daemon]:
    with _daemon(ward, providers.environment) as made:
        yield made


@contextmanager
def _daemon(home: Home, secrets: dict[str, str] | None = None) -> Iterator[Daemon]:
    if LIBRARY is None:
        pytest.fail("libfaketime is missing: apt-get install libfaketime (make test does)")
    made = Daemon(home, secrets)
    yield made
    made.close()


def all_delivered(home: Home, document: dict[str, object]) -> bool:
    record = home.record()
    try:
        calls = fold_pages(record.read())[str(document["incident"])].calls
    finally:
        record.close()
    return len(calls) == len(LADDER) and all(c.delivered for c in calls)


@pytest.mark.req("R3", "B3")
@pytest.mark.done("4.5")
@pytest.mark.parametrize("point", ["due", "intended", "sent", "delivered"])
def test_killed_at_every_point_under_a_clock_that_jumps_each_level_is_paged_once(
    ward: Home, providers: Providers, paging_daemon: Daemon, point: str
) -> None:
    daemon = paging_daemon
    daemon.start(f"L2.page.{point}")
    begun = time.time()
    document = declared(ward, "other", "--impact", "outage", env=providers.environment)
    assert document["paged_by"] == "daemon"
    daemon.jump("+2h")
    daemon.killed()
    daemon.start(f"L3.page.{point}")
    daemon.jump("-2h")
    daemon.killed()
    running = daemon.start()
    until("all pages", lambda: len(providers.called()) == len(LADDER), 60)
    until("their outcome", lambda: all_delivered(ward, document))

    assert [(level, role) for level, role, _ in providers.called()] == LADDER
    assert providers.posted() == []
    for level, _, at in providers.called():
        late = 3.0 if level == "L1" else 1.5 + RESTART_S
        assert AFTER_S[level] <= at - begun + 0.1 <= AFTER_S[level] + late + 2.0, (level, at - begun)
    assert running.stop() == 0


@pytest.mark.req("R2", "R3", "B3")
@pytest.mark.done("4.5")
@pytest.mark.parametrize("how", [Fail.DOWN, Fail.STATUS])
def test_while_pagerduty_is_down_slack_has_the_level_at_its_time_and_nobody_is_paged_twice(
    ward: Home, providers: Providers, paging_daemon: Daemon, how: Fail
) -> None:
    running = paging_daemon.start()
    begun = time.time()
    document = declared(ward, "other", "--impact", "outage", env=providers.environment)
    until("L1", lambda: len(providers.called()) == 1)
    providers.pagerduty.fails(how)
    paging_daemon.jump("-2h")
    until("L2 at Slack", lambda: len(providers.posted()) == 2, 60)
    providers.pagerduty.recovers()
    paging_daemon.jump("+2h")
    until("L3", lambda: len(providers.called()) == 3, 60)
    until("their outcome", lambda: all_delivered(ward, document))
    assert running.stop() == 0

    assert [(level, role) for level, role, _ in providers.called()] == [LADDER[0], *LADDER[3:]]
    assert [(level, role) for level, role, _ in providers.posted()] == LADDER[1:3]
    for level, _, at in (*providers.called(), *providers.posted()):
        late = 1.5 + BUSY_S + (GIVE_UP_S if level == "L2" else 0.0)
        assert AFTER_S[level] <= at - begun + 0.1 <= AFTER_S[level] + late, (level, at - begun)


@pytest.mark.req("R2", "R3")
def test_beside_a_daemon_commands_are_events_that_it_takes_up(home: Home, daemon: Daemon) -> None:
    running = daemon.start()
    document = declared(home, "patient-safety")
    assert (document["paged_by"], document["not_reached"]) == ("daemon", [])
    id_ = str(document["incident"])
    assert inbox(home) == [
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
    assert len(inbox(home)) == 9
    assert f"acknowledged (L4) by {ME}" in home.run("incident", "list").out
    assert running.stop() == 0
    assert "pager: incident" in running.output


@pytest.mark.req("R2", "B3")
@pytest.mark.parametrize("wakes", [True, False])
def test_beside_a_daemon_that_hangs_somebody_is_paged_and_nobody_twice(
    local: Machine, tmp_path: Path, providers: Providers, wakes: bool
) -> None:
    """Slack takes no key, so each message is a page. The daemon goes on while the command's page is under way."""
    pages = providers.pages.rstrip() + "\n  inbox: ./pages\n  order: [slack, inbox, pagerduty]\n"
    ladder = PROFILE.replace(f"after: {L2_S:g}s", "after: 5m").replace(f"after: {L3_S:g}s", "after: 10m")
    home = Home(tmp_path, ladder.format(directory=local.directory) + CONTACTS + pages)
    with _daemon(home, providers.environment) as daemon, ThreadPoolExecutor() as pool:
        running = daemon.start()
        running.popen.send_signal(signal.SIGSTOP)
        providers.slack.fails(Fail.SLOW, after_s=2.0)
        ward = pool.submit(
            home.run, "incident", "declare", "--trigger", "other", "--reason", "x", env=providers.environment
        )
        until("the command to page", lambda: providers.slack.requests("POST", "/api/chat.postMessage"), 60)
        if wakes:
            running.popen.send_signal(signal.SIGCONT)
        answer = ward.result(60)
        assert answer.code == 0, answer
        assert "The daemon did not see to it within 10 s, so this command did." in answer.out
        assert "No daemon acts" not in answer.out
        if wakes:
            until("the daemon to look", lambda: "everybody due was paged" in running.output)
        running.popen.send_signal(signal.SIGCONT)
        assert running.stop() == 0
    assert [(level, role) for level, role, _ in providers.posted()] == [("L1", "on_call")]
    assert inbox(home) == []
