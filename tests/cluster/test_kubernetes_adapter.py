"""The Kubernetes adapter beside everybody else who writes to the cluster: kubectl, policies, quotas, other leases."""

import asyncio
import json

import pytest
from testbed.cluster import wait_until
from tests.cluster.support import simple

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.kubernetes.api import Api, load_config
from codeblue.adapters.kubernetes.lease import KubernetesLease
from codeblue.adapters.kubernetes.marks import EPOCH, MARKS, STRATEGY, decode_marks
from codeblue.adapters.kubernetes.platform import KubernetesPlatform
from codeblue.adapters.kubernetes.ref import DeploymentRef, Via
from codeblue.model.errors import Conflict, LeaseHeld, LeaseLost, Refused
from codeblue.model.release import Standing

pytestmark = pytest.mark.cluster


@pytest.fixture
async def platform(case):
    api = Api(load_config("codeblue-test", case.cluster.kubeconfig))
    yield KubernetesPlatform(api, DeploymentRef(case.namespace, "plain", "plain"), SystemClock(), Via.APISERVER)
    await api.close()


@pytest.fixture
def lease(platform):
    return KubernetesLease(platform.api, platform, "codeblue-adapter", 2.0, SystemClock())


def foreign(case, **spec):
    """A lease that somebody else wrote."""
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "codeblue-adapter"},
        "spec": {"holderIdentity": "somebody", "leaseTransitions": 4, **spec},
    }
    case.apply(body)


def small(case, **options):
    case.release("one", replicas=1, **options)


# --- marks and strategy


@pytest.mark.req("B2")
async def test_a_quarantine_outlives_kubectl_rollout_undo(case, platform):
    """undo copies the annotations of the old ReplicaSet back: our marks as they were before the quarantine."""
    case.release("one", image="1")
    case.mark_good()
    case.release("two", image="2")
    case.release("three", image="3")
    three = (await platform.observe()).template.release
    ended = await asyncio.to_thread(case.rollback)
    assert ended.code == 0, ended.said
    assert (await platform.observe()).marks[three].standing is Standing.BAD
    case.kubectl("rollout", "undo", "deployment/plain")
    case.cluster.rolled_out(case.namespace, "plain")
    on_deployment = decode_marks(case.deployment()["metadata"]["annotations"][MARKS])
    assert three not in on_deployment, "this is what the test is about"
    seen = await platform.observe()
    assert seen.template.release == three
    assert seen.standing(seen.template) is Standing.BAD
    case.release("four", image="2")
    ended = await asyncio.to_thread(case.rollback)
    assert ended.code == 0, ended.said
    case.assert_runs("one")
    assert decode_marks(case.deployment()["metadata"]["annotations"][MARKS])[three].standing is Standing.BAD


@pytest.mark.req("R11", "B3")
async def test_the_surge_is_taken_back_although_a_person_changed_the_rest_of_the_strategy(case, platform, lease):
    case.defaults["strategy"] = None
    case.good_then_bad()
    before = case.deployment()["spec"]["strategy"]
    killed = await asyncio.to_thread(case.rollback, "--surge", CODEBLUE_KILL_AT="rollout.ended")
    assert killed.code < 0, killed.said
    edit = {"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 0}}}}
    case.kubectl("patch", "deployment", "plain", "--patch", json.dumps(edit))
    fence = await lease.acquire("test")
    change = platform.restore_strategy(await platform.observe())
    assert change is not None
    await platform.apply(change, fence)
    after = case.deployment()
    surge = before["rollingUpdate"]["maxSurge"]
    assert after["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": 0}
    assert STRATEGY not in after["metadata"]["annotations"]
    assert platform.restore_strategy(await platform.observe()) is None


# --- refusals


POLICY = "admissionregistration.k8s.io/v1"
UPDATES = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}


async def test_a_policys_refusal_is_no_conflict_although_it_speaks_of_testing(case, platform):
    small(case)
    name = f"{case.namespace}-testing"
    policy = {
        "apiVersion": POLICY,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [UPDATES]},
            "validations": [
                {
                    "expression": "!has(object.metadata.labels) || !('no' in object.metadata.labels)",
                    "message": "still testing this: a test operation",
                }
            ],
        },
    }
    binding = {
        "apiVersion": POLICY,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": case.namespace}},
            },
        },
    }
    path = f"/apis/apps/v1/namespaces/{case.namespace}/deployments/plain"
    case.cluster.apply(policy, binding)
    try:
        for _ in range(100):  # a policy takes a moment until it is in force
            try:
                await platform.api.json_patch(path, [{"op": "add", "path": "/metadata/labels/no", "value": "x"}])
            except Refused as error:
                assert "still testing this" in error.message
                break
            await platform.api.json_patch(path, [{"op": "remove", "path": "/metadata/labels/no"}])
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the policy refused nothing")
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            case.cluster.kubectl("delete", kind, name, "--wait=false")


async def test_a_failed_test_of_a_patch_is_a_conflict(case, platform):
    small(case)
    path = f"/apis/apps/v1/namespaces/{case.namespace}/deployments/plain"
    for test in (
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "test", "path": "/metadata/labels/codeblue.dev~1epoch", "value": "1"},
    ):
        with pytest.raises(Conflict):
            await platform.api.json_patch(path, [test])


# --- the right to act


@pytest.mark.defect("D7")
async def test_a_foreign_lease_that_would_last_for_years_is_told_at_once(case, platform, lease):
    small(case)
    now = SystemClock().now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    foreign(case, leaseDurationSeconds=2_000_000_000, renewTime=now)
    async with asyncio.timeout(5):
        with pytest.raises(LeaseHeld, match=r"somebody .* for another (59\d|600) s") as held:
            await lease.acquire("test")
    assert "kubectl" in held.value.remedy
    # ten minutes are believed; after them it is watched for as long as the longest lease of ours, then taken
    foreign(case, leaseDurationSeconds=2_000_000_000, renewTime="2026-01-05T03:15:00.000000Z")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await lease.acquire("test")


@pytest.mark.req("B3")
@pytest.mark.parametrize("epoch", ["2147483647", "99999999999999999999", "mine"])
async def test_an_epoch_that_is_none_is_refused_with_the_remedy(case, platform, lease, epoch):
    small(case)
    case.kubectl("label", "deployment", "plain", f"{EPOCH}={epoch}")
    await platform.observe()  # looking is still allowed
    with pytest.raises(Refused, match=f"{EPOCH}={epoch}") as refused:
        await lease.acquire("test")
    assert f"kubectl --namespace {case.namespace} label deployment plain {EPOCH}-" in refused.value.remedy
    case.kubectl("label", "deployment", "plain", f"{EPOCH}-")
    assert await lease.view() is None
    assert (await lease.acquire("test")).epoch >= 1


@pytest.mark.req("B3")
async def test_a_lease_that_counts_no_further_is_refused_with_the_remedy(case, platform, lease):
    small(case)
    foreign(case, holderIdentity="", leaseTransitions=2**31 - 1, leaseDurationSeconds=5)
    with pytest.raises(Refused, match="codeblue-adapter") as refused:
        await lease.acquire("test")
    assert f"kubectl --namespace {case.namespace} delete lease codeblue-adapter" in refused.value.remedy


@pytest.mark.req("B3")
async def test_a_lost_right_says_what_may_have_happened_to_it(case, platform, lease):
    small(case)
    fence = await lease.acquire("test")
    case.kubectl("delete", "lease", "codeblue-adapter")
    with pytest.raises(LeaseLost, match="gone") as lost:
        await lease.renew(fence)
    assert "taken over, changed or deleted" in lost.value.remedy


# --- what is there


def pod(case, name):
    (found,) = [p for p in case.pods() if p["metadata"]["name"] == name]
    return found


async def test_pods_that_lost_their_replicaset_are_seen_and_those_of_others_are_not(case, platform):
    """A pod of an old release that nobody owns gets traffic, and no controller ever replaces it."""
    small(case)
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    case.release("two", replicas=1, wait=False, fault="unready", strategy=surge)
    wait_until("a second pod", lambda: len(case.pods()) == 2)
    seen = await platform.observe()
    (old,) = [p for p in seen.pods if p.release != seen.template.release]
    other = simple("other", release="x", replicas=1)
    for labels in (other["spec"]["selector"]["matchLabels"], other["spec"]["template"]["metadata"]["labels"]):
        labels.update(app="plain", own="other")
    case.apply(other)
    wait_until("the pod of the other", lambda: len(case.pods()) == 3)
    (owner,) = pod(case, old.name)["metadata"]["ownerReferences"]
    case.kubectl("delete", "replicaset", owner["name"], "--cascade=orphan")
    wait_until("the orphan", lambda: not pod(case, old.name)["metadata"].get("ownerReferences"))
    seen = await platform.observe()
    (orphan,) = [p for p in seen.pods if p.name == old.name]
    assert (orphan.template, orphan.release) == ("", "")
    assert len(seen.pods) == 2


async def test_a_quota_that_keeps_pods_from_being_made_is_told(case, platform):
    case.kubectl("create", "quota", "tight", "--hard=pods=1")
    small(case)
    assert (await platform.observe()).failure == ""
    case.release("one", replicas=2, wait=False)

    def failed():
        return any(c["type"] == "ReplicaFailure" for c in case.deployment()["status"]["conditions"])

    wait_until("the controller to fail", failed)
    assert "exceeded quota: tight" in (await platform.observe()).failure
