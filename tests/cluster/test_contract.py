"""The Kubernetes adapters keep the shared contracts of their ports, against a real API server."""

import asyncio
import time

import pytest
from testbed import manifests
from tests.cluster.support import simple

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.kubernetes.api import Api, load_config
from codeblue.adapters.kubernetes.lease import KubernetesLease
from codeblue.adapters.kubernetes.platform import KubernetesPlatform
from codeblue.adapters.kubernetes.ref import DeploymentRef, Via
from codeblue.testing.contracts.lease import LeaseContract
from codeblue.testing.contracts.platform import PlatformContract

pytestmark = pytest.mark.cluster

NAME = "plain"


class Site:
    """One Deployment for a whole class, as a pipeline deploys to it and as several clients see it."""

    def __init__(self, cluster, namespace):
        self.cluster, self.namespace = cluster, namespace
        self.clients = []
        for secret in ("token-a", "token-b"):
            cluster.kubectl(f"--namespace={namespace}", "create", "secret", "generic", secret, "--from-literal=value=x")
        self.deploy("1.0.0")
        cluster.rolled_out(namespace, NAME)

    def deploy(self, version, *, reference="token-a", fault=""):
        # as quick as all at once, but not that strategy already: there has to be one to set aside
        surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "99%", "maxUnavailable": 0}}
        deployment = simple(NAME, release=version, replicas=2, fault=fault, strategy=surge)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        source = {"secretKeyRef": {"name": reference, "key": "value"}}
        container["env"].append({"name": "TOKEN", "valueFrom": source})
        self.cluster.apply(deployment, manifests.service(NAME), namespace=self.namespace)

    def client(self):
        api = Api(load_config("codeblue-test", self.cluster.kubeconfig))
        self.clients.append(api)
        return KubernetesPlatform(api, DeploymentRef(self.namespace, NAME, NAME), SystemClock(), Via.APISERVER)

    async def close(self):
        while self.clients:
            await self.clients.pop().close()

    def lease(self, duration_s):
        platform = self.client()
        return KubernetesLease(platform.api, platform, "codeblue-contract", duration_s, SystemClock())

    async def settled(self, timeout_s=60.0):
        """Complete, with no pod on its way out and the Service's backends up to date."""
        client, until = self.client(), time.monotonic() + timeout_s
        while True:
            seen, routing = await client.observe(), await client.routing()
            complete = (seen.total, seen.updated, seen.available) == (seen.desired,) * 3
            names = {p.name for p in seen.pods}
            caught_up = seen.observed_generation == seen.generation and set(routing.backends) == names
            if complete and caught_up and len(names) == seen.desired and all(p.ready for p in seen.pods):
                return seen
            assert time.monotonic() < until, f"not settled within {timeout_s:g} s: {seen}"
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def site(cluster):
    with cluster.namespace("contract") as namespace:
        yield Site(cluster, namespace)


@pytest.fixture(autouse=True)
async def closing(site):
    """Every client that a test made is closed in the loop that it was used in."""
    yield
    await site.close()


class TestKubernetesPlatform(PlatformContract):
    @pytest.fixture
    def platform(self, site):
        return site.client()

    @pytest.fixture
    def other(self, site):
        return site.client()

    @pytest.fixture
    def deploy(self, site):
        async def deploy(version, *, reference="token-a"):
            await asyncio.to_thread(site.deploy, version, reference=reference)

        return deploy

    @pytest.fixture
    def deploy_broken(self, site):
        async def deploy(version, *, reference="token-a"):
            await asyncio.to_thread(site.deploy, version, reference=reference, fault="unready")

        return deploy

    @pytest.fixture
    def settled(self, site):
        return site.settled

    @pytest.fixture
    def fence(self, site):
        async def fence():
            lease = site.lease(5.0)
            held = await lease.view()
            return await lease.acquire(
                f"test-{held.epoch if held else 0}", predecessor=held.holder if held is not None else ""
            )

        return fence


class TestKubernetesLease(LeaseContract):
    @pytest.fixture
    def duration_s(self):
        return 2.0

    @pytest.fixture
    def lease(self, site, duration_s):
        site.cluster.kubectl(
            f"--namespace={site.namespace}", "delete", "lease", "codeblue-contract", "--ignore-not-found"
        )
        return site.lease(duration_s)

    @pytest.fixture
    def rival(self, site, duration_s):
        return site.lease(duration_s)

    @pytest.fixture
    def pause(self):
        return asyncio.sleep

    @pytest.fixture
    def stamped(self, site):
        async def stamped():
            return await site.client().epoch()

        return stamped
