"""The announcer as a process with SQLite, against the emulator, killed for real (SIGKILL): one entry, counted there."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.model.event import Draft
from codeblue.ports.status_page import Posted
from codeblue.record.announcements import fold_announcement
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.statuspage import Statuspage

INCIDENT = "inc-20260105t031500z-0a1b2c"
CANARY = "c4n4ry-4p1-k3y"
PAGE = "kctbh9vrtdwd"

#: What the daemon does, until the public reads what is true.
PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
from codeblue.adapters.clock import SystemClock
from codeblue.adapters.record.sqlite import SqliteRecord
from codeblue.profile.load import load
from codeblue.watch.announcer import Announcer
from codeblue.wiring import open_status_page

logging.basicConfig(level=logging.DEBUG)

async def main():
    profile = load(Path(sys.argv[1]))
    record = SqliteRecord(Path(sys.argv[2]), profile.service, SystemClock())
    announcer = Announcer(record, open_status_page(profile), profile, SystemClock())
    said = ""
    for _ in range(int(sys.argv[3])):
        said = await announcer.cycle()
        print(said, flush=True)
    await announcer.close()

asyncio.run(main())
"""


@pytest.fixture
def server() -> Iterator[Statuspage]:
    with Statuspage(PAGE, CANARY) as emulator:
        yield emulator


class Home:
    """A profile and a record on disk."""

    def __init__(self, tmp_path: Path, server: Statuspage) -> None:
        self.record_file = tmp_path / "record.db"
        self.profile = tmp_path / "codeblue.yaml"
        self.profile.write_text(
            "version: 1\nservice: api\nplatform: {kind: local, directory: ./local}\n"
            f"status_page: {{page: {PAGE}, api_key: {{env: STATUSPAGE_KEY}}, api: '{server.api}'}}\n"
        )
        self.record = SqliteRecord(self.record_file, "api", SystemClock())
        began = SystemClock().now().isoformat()
        data = {"severity": "SEV1", "trigger": "health", "why": "4 > 3", "began": began}
        self.record.append(Draft("incident.opened", "watch", data, incident=INCIDENT))

    def run(self, kill_at: str = "", cycles: int = 1) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", PROGRAM, str(self.profile), str(self.record_file), str(cycles)]
        assert CANARY not in " ".join(argv)
        env = {**os.environ, "STATUSPAGE_KEY": CANARY, "CODEBLUE_KILL_AT": kill_at}
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def home(tmp_path: Path, server: Statuspage) -> Home:
    return Home(tmp_path, server)


@pytest.mark.defect("D33")
@pytest.mark.req("R22", "B3")
@pytest.mark.parametrize("point", ["status_page.intended", "status_page.told", "status_page.recorded"])
def test_a_process_killed_between_intent_and_post_makes_exactly_one_entry(
    home: Home, server: Statuspage, point: str
) -> None:
    assert home.run(point).returncode == -signal.SIGKILL
    again = home.run()
    assert again.returncode == 0, again.stderr
    home.record.append(Draft("incident.mitigated", "watch", {"why": "proven healthy"}, incident=INCIDENT))
    assert home.run(point).returncode == -signal.SIGKILL
    last = home.run()
    assert last.returncode == 0, last.stderr
    [entry] = server.incidents
    assert [u["status"] for u in reversed(entry["incident_updates"])] == ["investigating", "resolved"]
    assert len([r for r in server.requests("POST") if r.done]) == 1
    assert len([r for r in server.requests("PATCH") if r.done]) == 1
    view = fold_announcement(home.record.read())
    assert (view.id, view.posted, view.url) == (entry["id"], Posted.RESOLVED, entry["shortlink"])


def test_a_post_that_was_taken_and_not_answered_is_found_by_the_next_process(home: Home, server: Statuspage) -> None:
    server.fails(Fail.CUT, method="POST")
    assert "the connection ended before the whole answer; next attempt at " in home.run().stdout
    assert len(server.incidents) == 1
    server.recovers()
    assert "the public reads investigating" in home.run().stdout
    assert len(server.requests("POST")) == len(server.incidents) == 1


@pytest.mark.parametrize("how", [None, Fail.STATUS, Fail.CUT, Fail.DOWN])
def test_the_key_is_in_no_log_no_record_and_no_sentence(home: Home, server: Statuspage, how: Fail | None) -> None:
    if how is Fail.STATUS:
        server.fails(how, status=401, text=f'{{"error": "no such key: {CANARY}"}}')
    elif how is not None:
        server.fails(how)
    done = home.run()
    assert done.returncode == 0
    files = b"".join(f.read_bytes() for f in home.record_file.parent.iterdir() if f.is_file())
    assert CANARY not in done.stdout + done.stderr
    assert CANARY.encode() not in files
    assert "httpcore2" in done.stderr or how is Fail.DOWN, "the libraries' own logs were on"
