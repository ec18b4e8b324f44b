"""The kill switch on a real cluster: every process of every pod, one store, the model's calls counted (R20, R21).

The store is on the machine of the tests, where the pods reach it; the operator commands run there
as well, so they work while no pod does. Whether the model was called is counted in its emulator.
"""

import json
import socket
import sys
import threading
import urllib.error
import urllib.request

import pytest
from testbed import manifests
from testbed.cluster import wait_until
from tests import mongodb
from tests.cluster.support import Case

from ai_diagnostics import auth, settings
from ai_diagnostics.emulators.main import environment

pytestmark = pytest.mark.cluster

NAME = "ai-diagnostics-api"
SECRET = "a-secret-of-the-tests-that-is-long-enough"
REPLICAS, WORKERS = 3, 4
SERVICE = [sys.executable, "-m", "ai_diagnostics"]
FORMER = {
    "ai_diagnostics_enabled": True,
    "lab_integration_enabled": True,
    "fhir_integration_enabled": False,
    "ai_diagnostics_rollout": 100,
}
OFF = {**dict.fromkeys(FORMER, False), "ai_diagnostics_rollout": 0}
CONTRACT = {
    "metrics": "/metrics",
    "commands": {
        "flags_status": [*SERVICE, "flags", "status", "--json"],
        "flags_set": [*SERVICE, "flags", "set", "{flag}", "{value}"],
    },
}
CASE = {
    "patient_id": "pat-001",
    "symptoms": ["cough"],
    "labs": [{"code": "6690-2", "value": 14.0, "unit": "10*3/uL"}],
    "medications": ["Coumadin"],
}


class Ward:
    """The service with its store, the emulators of what it depends on, and clients that ask all the time."""

    def __init__(self, cluster, namespace, folder, store):
        self.cluster, self.namespace, self.store = cluster, namespace, store
        emulators = manifests.deployment(
            "emulators",
            image=f"{manifests.SERVICE_IMAGE}:1.0.0",
            command=("python3", "-m", "ai_diagnostics", "emulators", "--host", "0.0.0.0", "--port", "5000"),
            replicas=1,
            health_path=None,
        )
        cluster.apply(emulators, manifests.service("emulators"), namespace=namespace)
        self.emulators = cluster.service_url(namespace, "emulators")
        self.case = Case(
            cluster,
            namespace,
            folder,
            NAME,
            settings={
                "contract": CONTRACT,
                "flags": {**FORMER, "fhir_integration_enabled": True},
                "runbooks": {"flags": {"every_process": "75s", "in_flight": "3s", "quiet": "3s"}},
            },
            env={**store.env, "JWT_SECRET": SECRET},
        )
        self.release("1.0.0")
        self.url = cluster.service_url(namespace, NAME)
        self.answered = 0
        self._over = threading.Event()
        self._client = threading.Thread(target=self._ask, daemon=True)
        self._client.start()

    def release(self, version, fault="", *, wait=True):
        env = {**environment(self.emulators), **self.store.env, "RELEASE_VERSION": version, "RELEASE_FAULT": fault}
        env |= {"JWT_SECRET": SECRET, "WORKERS": str(WORKERS)}
        deployment = manifests.ai_diagnostics(NAME, env=env, replicas=REPLICAS, health_path="/api/version")
        self.cluster.apply(deployment, manifests.service(NAME), namespace=self.namespace)
        if wait:
            self.cluster.rolled_out(self.namespace, NAME)

    def every_process(self, limit):
        """For how long it is waited until every process agrees."""
        self.case.settings["runbooks"]["flags"]["every_process"] = limit
        self.case.write_profile()

    def called(self):
        """How often the model was asked."""
        with urllib.request.urlopen(f"{self.emulators}/_control", timeout=5) as answer:
            return int(json.loads(answer.read())["seen"]["openrouter"])

    def stored(self):
        """What the service itself keeps, by its own command."""
        return {name: flag["stored"] for name, flag in self.status().document["flags"].items()}

    def status(self):
        return self.case.run("flags", "status", "--json")

    def flags(self, verb, *more):
        return self.case.run("flags", verb, "--reason", "a test", "--yes", "--json", *more, timeout_s=240)

    def more_answers(self):
        before = self.answered
        wait_until("ten more answers", lambda: self.answered >= before + 10, timeout_s=60)

    def signal(self, pod, pid, name):
        self.case.kubectl("exec", pod, "--", "python3", "-c", f"import os, signal; os.kill({pid}, signal.{name})")

    def close(self):
        self._over.set()
        self._client.join(20)

    def _ask(self):
        keys = settings.read({"JWT_SECRET": SECRET}).jwt_keys
        while not self._over.wait(0.2):
            token = auth.mint(keys, "tester", list(auth.SCOPES), 600)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Connection": "close"}
            request = urllib.request.Request(f"{self.url}/api/diagnostics", json.dumps(CASE).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=15) as answer:
                    answer.read()
            except urllib.error.HTTPError as error:
                error.close()
            except OSError:
                continue
            self.answered += 1


@pytest.fixture
def ward(cluster, namespace, tmp_path):
    addresses = cluster.get("nodes")["items"][0]["status"]["addresses"]
    node = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))  # sends nothing: it finds our own address on the way there
        ours = probe.getsockname()[0]
    with mongodb.running(address=ours) as store:
        ward = Ward(cluster, namespace, tmp_path, store)
        try:
            yield ward
        finally:
            ward.close()


@pytest.mark.req("R20", "R21")
@pytest.mark.defect("D26", "D27")
@pytest.mark.done("5.1")
def test_off_in_every_process_of_every_pod_and_back(ward):
    assert ward.flags("restore", "--expected").code == 0
    ward.case.run("flags", "disable", "fhir_integration_enabled", "--reason", "a test", "--yes", timeout_s=240)
    assert ward.stored() == FORMER
    wait_until("answers by the model", lambda: ward.called() > 0, timeout_s=60)
    frozen = ward.status().document["processes"][0]
    ward.signal(frozen["pod"], frozen["pid"], "SIGSTOP")
    ward.every_process("30s")
    ended = ward.flags("disable")
    assert ended.code == 1, ended.said
    assert f"{frozen['pod']} process {frozen['pid']} does not report any more" in ended.document["why"]
    ward.every_process("40s")
    ended = ward.flags("disable")
    assert ended.code == 1, "the service has given up on it by now, and we have not"
    assert f"{frozen['pod']}: {WORKERS - 1} of its {WORKERS} processes report" in ended.document["why"]
    ward.signal(frozen["pod"], frozen["pid"], "SIGCONT")

    ended = ward.flags("disable")
    assert ended.code == 0, ended.said
    assert f"4 values as expected in {REPLICAS * WORKERS} processes" in ended.said
    called = ward.called()
    ward.more_answers()
    assert ward.called() == called
    processes = ward.status().document["processes"]
    assert len(processes) == REPLICAS * WORKERS
    assert all(p["flags"] == OFF for p in processes)

    ended = ward.flags("restore")
    assert ended.code == 0, ended.said
    assert ward.stored() == {**FORMER, "fhir_integration_enabled": True}, (
        "all that was switched off since the first time"
    )
    wait_until("answers by the model", lambda: ward.called() > called, timeout_s=60)


@pytest.mark.req("R20")
@pytest.mark.done("5.1")
def test_switched_off_while_all_pods_crash_it_is_off_from_the_first_request(ward):
    wait_until("answers by the model", lambda: ward.called() > 0, timeout_s=60)
    ward.case.kubectl("scale", "deployment", NAME, "--replicas=0")
    ward.release("2.0.0", "crash", wait=False)
    wait_until(
        "every pod to crash",
        lambda: [_waits(p) for p in ward.case.pods()] == ["CrashLoopBackOff"] * REPLICAS,
        timeout_s=120,
    )
    ended = ward.flags("disable")
    assert ended.code == 0, ended.said
    assert "whoever comes up reads the stored values" in ended.said
    called = ward.called()
    ward.release("3.0.0")
    ward.more_answers()
    assert ward.called() == called
    ended = ward.flags("disable")
    assert ended.code == 0, ended.said
    assert f"in {REPLICAS * WORKERS} processes" in ended.said


def _waits(pod):
    """Why the pod's container waits, "" while it does not."""
    states = pod["status"].get("containerStatuses") or [{}]
    return states[0].get("state", {}).get("waiting", {}).get("reason", "")
