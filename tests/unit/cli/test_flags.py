"""`codeblue flags` against the real service on this machine: several processes, one store, traffic (R20, R21).

Whether the model was called is counted in the log of the model's emulator.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.local_machine import free_port
from tests.process import until
from tests.service.support.emulators import Emulators, running
from tests.unit.cli.program import Answer, Home

from ai_diagnostics import auth, settings
from codeblue.adapters.local import deploy

pytestmark = pytest.mark.slow

SECRET = "a-secret-of-the-tests-that-is-long-enough"
CASE = {
    "patient_id": "pat-001",
    "symptoms": ["cough"],
    "labs": [{"code": "6690-2", "value": 14.0, "unit": "10*3/uL"}],
    "medications": ["Coumadin"],
}
SERVICE = [sys.executable, "-m", "ai_diagnostics"]
REPLICAS, WORKERS = 2, 2
PROFILE = """\
version: 1
service: api
platform: {{kind: local, directory: {directory}}}
state: {{directory: ./state}}
report: {{directory: ./incidents}}
contract:
  metrics: /metrics
  commands:
    flags_status: {status}
    flags_set: {set}
flags:
  ai_diagnostics_enabled: true
  lab_integration_enabled: true
  fhir_integration_enabled: true
  ai_diagnostics_rollout: 100
runbooks: {{flags: {{every_process: 12s, in_flight: 2s, quiet: 3s}}}}
"""
FORMER = {
    "ai_diagnostics_enabled": True,
    "lab_integration_enabled": True,
    "fhir_integration_enabled": False,
    "ai_diagnostics_rollout": 100,
}
OFF = {**dict.fromkeys(FORMER, False), "ai_diagnostics_rollout": 0}


class Ward:
    """The service with clients that ask for diagnoses all the time."""

    def __init__(self, folder: Path, emulators: Emulators) -> None:
        self.emulators, self.directory, self.port = emulators, folder / "machine", free_port()
        data = folder / "data"
        data.mkdir()
        self.env = {**emulators.env, "DATA_DIR": str(data), "JWT_SECRET": SECRET}
        self.home = Home(
            folder,
            PROFILE.format(
                directory=self.directory,
                status=json.dumps([*SERVICE, "flags", "status", "--json"]),
                set=json.dumps([*SERVICE, "flags", "set", "{flag}", "{value}"]),
            ),
        )
        self.answered: dict[str, int] = {}
        self._over = threading.Event()
        self._client = threading.Thread(target=self._ask, daemon=True)

    def start(self) -> None:
        self.up()
        until("every process", lambda: len(self.status().document["processes"]) == REPLICAS * WORKERS)
        self.flags("set", "fhir_integration_enabled", "false")
        self._client.start()
        until("answers by the model", lambda: self.emulators.seen("openrouter") > 3)

    def up(self) -> None:
        env = {**self.env, "RELEASE_VERSION": "1.0.0", "WORKERS": str(WORKERS)}
        template = {"command": [*SERVICE, "serve"], "env": env, "version": "1.0.0"}
        deploy.start(
            self.directory, "api", template, replicas=REPLICAS, health_path="/api/version", service_port=self.port
        )

    def flags(self, *argv: str) -> dict[str, Any]:
        """By the service's own command, not by ours; that fails where a process disagrees, and says all the same."""
        env = {**os.environ, **self.env}
        done = subprocess.run([*SERVICE, "flags", *argv, "--json"], env=env, capture_output=True, check=False)
        found: dict[str, Any] = json.loads(done.stdout)["data"] if done.stdout else {}
        return found

    @property
    def stored(self) -> dict[str, Any]:
        return {name: entry["value"] for name, entry in self.flags("status")["flags"].items()}

    def run(self, *argv: str) -> Answer:
        return self.home.run("flags", *argv, env=self.env)

    def status(self) -> Answer:
        return self.run("status", "--json")

    def freeze(self, pid: int) -> None:
        """Stop a process where it does not hold the store's lock: then nobody could write, which is another story."""
        while True:
            os.kill(pid, signal.SIGSTOP)
            if self.flags("set", "lab_integration_enabled", "true"):
                return
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        self._over.set()
        if self._client.is_alive():
            self._client.join(20)
        deploy.stop(self.directory, forget=True)

    def _ask(self) -> None:
        keys = settings.read({"JWT_SECRET": SECRET}).jwt_keys
        while not self._over.wait(0.1):
            token = auth.mint(keys, "tester", list(auth.SCOPES), 600)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Connection": "close"}
            url = f"http://127.0.0.1:{self.port}/api/diagnostics"
            request = urllib.request.Request(url, json.dumps(CASE).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=15) as answer:
                    said = str(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    said = str(error.code)
            except OSError:
                said = "none"
            self.answered[said] = self.answered.get(said, 0) + 1


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("kill-switch")
    with running(folder / "emulators.log") as emulators:
        ward = Ward(folder, emulators)
        try:
            ward.start()
            yield ward
        finally:
            ward.close()


@pytest.mark.req("R20", "R21")
@pytest.mark.defect("D26", "D27")
def test_off_in_every_process_and_silent_and_back(ward: Ward) -> None:
    assert ward.stored == FORMER
    processes = ward.status().document["processes"]
    frozen = processes[0]
    ward.freeze(int(frozen["pid"]))
    try:
        answer = ward.run("disable", "--reason", "wrong dosages", "--yes", "--json")
        assert answer.code == 1
        assert f"{frozen['pod']} process {frozen['pid']} does not report any more" in answer.out
        assert ward.stored == OFF, "all others are off"
        assert ward.status().code == 1
    finally:
        os.kill(int(frozen["pid"]), signal.SIGCONT)

    answer = ward.run("disable", "--reason", "wrong dosages", "--yes", "--json")
    assert answer.code == 0, answer.out
    assert f"4 values as expected in {REPLICAS * WORKERS} processes" in answer.out
    called, answered = ward.emulators.seen("openrouter"), sum(ward.answered.values())
    until("ten more answers", lambda: sum(ward.answered.values()) >= answered + 10)
    assert ward.emulators.seen("openrouter") == called
    status = ward.status()
    assert status.code == 0
    assert {n: f["before"] for n, f in status.document["flags"].items()} == FORMER
    assert all(p["flags"] == OFF for p in status.document["processes"])

    answer = ward.run("restore", "--reason", "the release is replaced", "--yes", "--json")
    assert answer.code == 0, answer.out
    assert ward.stored == FORMER
    until("answers by the model", lambda: ward.emulators.seen("openrouter") > called)


@pytest.mark.req("R20")
def test_switched_off_while_the_service_is_down_it_is_off_from_the_first_request(ward: Ward) -> None:
    deploy.stop(ward.directory)
    answer = ward.run("disable", "--reason", "wrong dosages", "--yes", "--json")
    assert answer.code == 1, "a supervisor that does not run cannot say that no process is left"
    assert "what its replicas do is not known" in answer.document["why"]
    assert ward.stored == OFF
    called = ward.emulators.seen("openrouter")
    ward.up()
    before = dict(ward.answered)
    until("answers", lambda: sum(n - before.get(s, 0) for s, n in ward.answered.items() if s != "none") > 5)
    assert ward.emulators.seen("openrouter") == called
    assert ward.run("disable", "--reason", "wrong dosages", "--yes").code == 0
