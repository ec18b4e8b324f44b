"""The testbed itself: before a test may count effects, the counting must be right."""

import dataclasses
import json
import urllib.request

import pytest
from testbed import manifests
from testbed.cluster import Cluster, KubectlError, TestbedError, wait_until

pytestmark = pytest.mark.cluster


def fetch(url: str) -> str:
    """The answer, or nothing: in a rollout kube-proxy may for a moment send us to a pod that has gone."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            body: bytes = answer.read()
    except OSError:
        return ""
    return body.decode().strip()


@pytest.fixture
def plain(cluster, namespace):
    """Three plain pods behind a Service, rolled out."""
    cluster.apply(manifests.plain(), manifests.service("plain"), namespace=namespace)
    cluster.rolled_out(namespace, "plain")
    return "plain"


def test_the_node_is_ready(cluster):
    (node,) = cluster.get("nodes")["items"]
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"


def test_three_pods_answer_through_their_service(cluster, namespace, plain):
    url = cluster.service_url(namespace, plain)
    seen: set[str] = set()

    def all_three() -> bool:
        seen.add(fetch(url))
        return len(seen - {""}) == 3

    wait_until("three pods to answer", all_three)
    assert all(answer.endswith(" 1") for answer in seen - {""}), "the image's tag is the release"


def test_the_protected_service_runs(cluster, namespace):
    cluster.apply(manifests.ai_diagnostics(), manifests.service("ai-diagnostics-api"), namespace=namespace)
    cluster.rolled_out(namespace, "ai-diagnostics-api")
    url = cluster.service_url(namespace, "ai-diagnostics-api") + "/api/health"
    assert json.loads(wait_until("the service to answer", lambda: fetch(url)))


def test_names_resolve_and_a_network_policy_is_enforced(cluster, namespace, plain):
    client = manifests.deployment(
        "client", image="docker.io/local/plain:1", command=["sleep", "3600"], replicas=1, health_path=None
    )
    cluster.apply(client, namespace=namespace)
    cluster.rolled_out(namespace, "client")

    def reached() -> bool:
        command = ("exec", "deployment/client", f"--namespace={namespace}", "--", "curl", "-sf", "--max-time", "1")
        return "plain-" in cluster.kubectl(*command, f"http://plain.{namespace}.svc.cluster.local/", check=False)

    def policy(*ingress: dict[str, object]) -> dict[str, object]:
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "plain"},
            "spec": {"podSelector": {"matchLabels": {"app": "plain"}}, "policyTypes": ["Ingress"], "ingress": ingress},
        }

    wait_until("the client to reach the pods by name", reached)
    cluster.apply(policy(), namespace=namespace)
    wait_until("the policy to keep the client out", lambda: not reached())
    cluster.apply(policy({"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}), namespace=namespace)
    wait_until("the policy to let the client in", reached)


def test_setting_an_image_is_one_template_change(cluster, namespace, plain):
    mark = cluster.mark()
    cluster.kubectl("set", "image", f"deployment/{plain}", "api=docker.io/local/plain:2", f"--namespace={namespace}")
    cluster.rolled_out(namespace, plain)
    changes = cluster.template_changes(namespace, plain, mark)
    assert changes.number == 1
    (event,) = changes.events
    assert event.verb == "patch"
    assert event.user == "admin"
    wait_until("release 2 to answer", lambda: fetch(cluster.service_url(namespace, plain)).endswith(" 2"), timeout_s=10)


def test_what_leaves_the_template_alone_is_no_template_change(cluster, namespace, plain):
    mark = cluster.mark()
    deployment, scope = f"deployment/{plain}", f"--namespace={namespace}"
    cluster.kubectl("annotate", deployment, "example.com/reason=none", scope)
    cluster.kubectl("scale", deployment, "--replicas=2", scope)
    cluster.kubectl("patch", deployment, '--patch={"spec":{"replicas":3}}', scope)
    same = cluster.get(deployment, namespace=namespace)
    cluster.kubectl("replace", "--filename=-", scope, input=json.dumps(same))
    cluster.kubectl("set", "image", deployment, "api=docker.io/local/plain:3", "--dry-run=server", scope)
    events = [event for event in cluster.audit(mark) if event.namespace == namespace and event.user == "admin"]
    assert [(event.verb, event.subresource) for event in events] == [
        ("patch", ""),
        ("patch", "scale"),
        ("patch", ""),
        ("update", ""),
        ("patch", ""),
    ]
    assert cluster.template_changes(namespace, plain, mark) == (0, [])


def test_two_changes_and_the_way_back_are_three(cluster, namespace, plain):
    mark = cluster.mark()
    for release in ("2", "3", "1"):
        cluster.apply(manifests.plain(release=release), namespace=namespace)
    assert cluster.template_changes(namespace, plain, mark).number == 3


def test_a_patch_with_an_old_resource_version_is_seen_as_rejected(cluster, namespace, plain):
    mark = cluster.mark()
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "docker.io/local/plain:2"},
    ]
    with pytest.raises(KubectlError):
        cluster.kubectl(
            "patch", f"deployment/{plain}", "--type=json", f"--patch={json.dumps(patch)}", f"--namespace={namespace}"
        )
    (event,) = cluster.rejected(mark, namespace=namespace, name=plain)
    assert event.code in (409, 422)
    assert event.request == patch
    assert cluster.template_changes(namespace, plain, mark).number == 0


@pytest.mark.parametrize("kind", ["stop", "refuse"])
def test_without_the_api_server_nothing_is_answered_and_pods_go_on(cluster, namespace, plain, kind):
    url = cluster.service_url(namespace, plain)
    with cluster.api_outage(kind):
        with pytest.raises(KubectlError) as refused:
            cluster.kubectl("get", "pods", "--request-timeout=1s")
        expected = {"stop": ("timeout", "exceeded", "deadline"), "refuse": ("refused",)}[kind]
        assert any(word in refused.value.stderr.lower() for word in expected), refused.value.stderr
        wait_until("the pods to answer", lambda: fetch(url))
        assert cluster.outage == kind
    assert cluster.outage is None
    assert len(cluster.get("pods", namespace=namespace)["items"]) == 3


def test_a_service_account_may_do_what_its_role_says_and_no_more(cluster, namespace, plain, tmp_path):
    scope = f"--namespace={namespace}"
    cluster.kubectl("create", "serviceaccount", "reader", scope)
    cluster.kubectl("create", "role", "reader", "--verb=get,list", "--resource=deployments", scope)
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader", scope)
    kubeconfig = cluster.kubeconfig_for(namespace, "reader", tmp_path / "kubeconfig")
    assert kubeconfig.stat().st_mode & 0o077 == 0
    reader = dataclasses.replace(cluster, kubeconfig=kubeconfig)
    assert reader.kubectl("config", "current-context") == cluster.kubectl("config", "current-context")
    assert reader.get("deployments")["items"][0]["metadata"]["name"] == plain
    mark = cluster.mark()
    with pytest.raises(KubectlError, match="forbidden"):
        reader.kubectl("scale", f"deployment/{plain}", "--replicas=0")
    # kubectl asks for the object first; a change that is refused is in the log, with who tried.
    with pytest.raises(KubectlError, match="forbidden"):
        reader.kubectl("delete", "deployment", plain)
    refused = cluster.rejected(mark, namespace=namespace)
    assert {event.code for event in refused} == {403}
    assert {event.user for event in refused} == {f"system:serviceaccount:{namespace}:reader"}


def test_a_cluster_without_test_in_its_context_is_refused(cluster, monkeypatch, tmp_path):
    other = tmp_path / "kubeconfig"
    other.write_text(cluster.kubeconfig.read_text().replace("codeblue-test", "production"))
    monkeypatch.setenv("KUBECONFIG", str(other))
    with pytest.raises(TestbedError, match="refusing to run tests on 'production'"):
        Cluster.from_env()


def test_a_foreign_cluster_has_no_audit_log_and_says_so(cluster, monkeypatch, tmp_path):
    other = tmp_path / "kubeconfig"
    other.write_text(cluster.kubeconfig.read_text())
    monkeypatch.setenv("KUBECONFIG", str(other))
    foreign = Cluster.from_env()
    assert foreign.get("nodes")["items"]
    for use in (foreign.mark, foreign.audit, foreign.freeze):
        with pytest.raises(TestbedError, match="unset KUBECONFIG"):
            use()
