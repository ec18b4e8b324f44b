"""Recovery verification (R39-R46) of the real service in a real cluster: every check passes, and each can fail."""

import urllib.request

import pytest
from testbed import manifests
from testbed.cluster import wait_until
from tests.cluster.support import Case

from ai_diagnostics.emulators.main import environment

pytestmark = pytest.mark.cluster

NAME = "ai-diagnostics-api"

CONTRACT = {
    "health_database": "/api/health/database",
    "health_redis": "/api/health/redis",
    "health_ai_services": "/api/health/ai-services",
    "metrics": "/metrics",
    "run_in": "pod",
    "commands": {
        "database_health": ["python3", "-m", "ai_diagnostics", "db", "health"],
        "external_health": ["python3", "-m", "ai_diagnostics", "external", "health"],
        "flags_status": ["python3", "-m", "ai_diagnostics", "flags", "status", "--json"],
        "smoke": ["python3", "-m", "ai_diagnostics", "smoke"],
    },
}
FLAGS = {
    "ai_diagnostics_enabled": True,
    "lab_integration_enabled": True,
    "fhir_integration_enabled": True,
    "ai_diagnostics_rollout": 100,
}


class Site:
    """The service in a namespace, with the emulators of what it depends on beside it."""

    def __init__(self, cluster, namespace, folder):
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        emulators = manifests.deployment(
            "emulators",
            image=f"{manifests.SERVICE_IMAGE}:1.0.0",
            command=("python3", "-m", "ai_diagnostics", "emulators", "--host", "0.0.0.0", "--port", "5000"),
            replicas=1,
            health_path=None,
        )
        cluster.apply(emulators, manifests.service("emulators"), namespace=namespace)
        self.emulators = cluster.service_url(namespace, "emulators")
        self.release()
        cluster.rolled_out(namespace, NAME)

    def release(self, **env):
        env = {**environment(self.emulators), "RELEASE_VERSION": "1.0.0", **env}
        deployment = manifests.ai_diagnostics(NAME, env=env, replicas=2, health_path="/api/version")
        self.cluster.apply(deployment, manifests.service(NAME), namespace=self.namespace)

    def case(self, name, **settings):
        return Case(
            self.cluster,
            self.namespace,
            self.folder / name,
            NAME,
            settings={"contract": CONTRACT, "flags": FLAGS, "verify": {"stable_for": "0s", "every": "1s"}, **settings},
        )

    def switch(self, name, mode):
        """One emulated dependency begins to fail, or is well again."""
        body = f'{{"name": "{name}", "mode": "{mode}"}}'.encode()
        request = urllib.request.Request(
            f"{self.emulators}/_control", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=5):
            pass


@pytest.fixture(scope="module")
def site(cluster, tmp_path_factory):
    with cluster.namespace("verify") as namespace:
        yield Site(cluster, namespace, tmp_path_factory.mktemp("verify"))


def steps(ended):
    return {s["id"]: (s["state"], s["why"]) for s in ended.document["steps"]}


@pytest.mark.req("R39")
@pytest.mark.req("R40")
@pytest.mark.req("R41")
@pytest.mark.req("R42")
@pytest.mark.req("R43")
@pytest.mark.req("R44")
@pytest.mark.req("R45")
@pytest.mark.req("R46")
def test_everything_that_the_service_offers_is_verified(site):
    top = ("top", "pod", f"-n={site.namespace}")
    wait_until("metrics of the pods", lambda: NAME in site.cluster.kubectl(*top, check=False), timeout_s=60)
    ended = site.case("all").run("verify", "--json", timeout_s=120)
    assert ended.code == 0, ended.said
    seen = steps(ended)
    assert set(seen) == {
        "pods", "health-api", "health-database", "health-redis", "health-ai-services", "database-health",
        "external-health", "smoke", "flags", "latency", "error-rate", "memory", "signals",
    }  # fmt: skip
    assert all(state == "done" for state, _ in seen.values()), seen
    assert "4 values as expected in 2 processes" in seen["flags"][1]


@pytest.mark.req("R39")
@pytest.mark.req("R41")
@pytest.mark.defect("D49")
def test_a_dependency_that_is_down_fails_the_verdict(site):
    site.switch("rxnorm", "down")
    try:
        ended = site.case("down").run("verify", "--json", timeout_s=120)
    finally:
        site.switch("rxnorm", "ok")
    assert ended.code == 1, ended.said
    assert steps(ended)["health-ai-services"][0] == "failed", ended.said


@pytest.mark.req("R42")
@pytest.mark.defect("D27")
def test_a_flag_that_one_pod_does_not_have_fails_the_verdict(site):
    """Each pod has a control store of its own here, so a flag set in one pod is set in one process of many."""
    pod = site.case("pods").pods()[0]["metadata"]["name"]
    tell = ("exec", pod, f"-n={site.namespace}", "--", "python3", "-m", "ai_diagnostics", "flags", "set")
    site.cluster.kubectl(*tell, "lab_integration_enabled", "false", "--wait", "10")
    try:
        ended = site.case("flag").run("verify", "--json", timeout_s=120)
    finally:
        site.cluster.kubectl(*tell, "lab_integration_enabled", "true", "--wait", "10")
    assert ended.code == 1, ended.said
    state, why = steps(ended)["flags"]
    assert state == "failed"
    assert pod in why
    assert "lab_integration_enabled is false, expected true" in why


@pytest.mark.req("R43")
def test_a_service_that_says_it_is_well_while_its_workflow_fails_is_found_out(site):
    site.release(RELEASE_FAULT="lies")
    site.cluster.rolled_out(site.namespace, NAME)
    try:
        ended = site.case("lies").run("verify", "--json", timeout_s=120)
    finally:
        site.release()
        site.cluster.rolled_out(site.namespace, NAME)
    assert ended.code == 1, ended.said
    seen = steps(ended)
    assert seen["health-api"][0] == "done"
    assert seen["smoke"][0] == "failed", ended.said


@pytest.mark.req("R1c")
def test_what_a_service_does_not_offer_is_left_out_and_said(site):
    ended = site.case("tier", contract={}, flags={}).run("verify", "--plan", "--json", timeout_s=60)
    assert ended.code == 0, ended.said
    left_out = " ".join(ended.document["notes"])
    for piece in ("database", "Redis", "AI services", "sample diagnostic workflow", "flags", "error rate"):
        assert piece in left_out
    with_less = site.case("tier", contract={}, flags={}).run("verify", "--json", timeout_s=60)
    assert with_less.code == 0, with_less.said
