"""The quick rollback on a real Kubernetes: what it does, and when it must do nothing (R11, B2, D23)."""

import json
import signal

import pytest
from testbed import manifests
from testbed.cluster import wait_until
from tests.cluster.support import Case, simple

from codeblue.adapters.kubernetes.marks import STRATEGY
from codeblue.model.release import Standing

pytestmark = pytest.mark.cluster


@pytest.mark.done(1)
@pytest.mark.req("R11", "B2")
@pytest.mark.defect("D22", "D23")
def test_good_bad_bad_goes_to_good_with_one_change_of_the_template(cluster, namespace, tmp_path):
    """The protected service itself, marked by the real verb."""
    name = "ai-diagnostics-api"
    case = Case(cluster, namespace, tmp_path / "case", name)
    case.apply(manifests.ai_diagnostics(release="1.0.0"), manifests.service(name))
    cluster.rolled_out(namespace, name)
    marked = case.run("verify", "--mark-known-good", "--json")
    assert marked.code == 0, marked.said
    good = case.template()
    for release in ("1.1.0", "1.2.0"):
        case.apply(manifests.ai_diagnostics(release=release))
        cluster.rolled_out(namespace, name)
    before = case.generation
    mark = cluster.mark()
    ended = case.rollback()
    assert ended.code == 0, ended.said
    assert case.changes(mark) == 1
    assert case.generation == before + 1
    assert case.template() == good
    pods = case.pods()
    images = [c["image"] for p in pods for c in p["spec"]["containers"]]
    assert images == [f"{manifests.SERVICE_IMAGE}:1.0.0"] * 3
    sets = {s["metadata"]["name"]: s for s in cluster.get("replicasets", namespace=namespace)["items"]}
    owners = {p["metadata"]["ownerReferences"][0]["name"] for p in pods}
    (owner,) = owners
    of_set = sets[owner]["spec"]["template"]
    del of_set["metadata"]["labels"]["pod-template-hash"]
    assert of_set == good
    record = case.run("audit", "verify", "--json")
    assert record.code == 0, record.said


@pytest.mark.done(1)
@pytest.mark.req("R11")
@pytest.mark.defect("D15")
def test_a_rollback_keeps_todays_secret(case):
    """Rotated between good and bad: what `kubectl rollout undo` would bring back is the compromised one."""
    for name in ("jwt-old", "jwt-new"):
        case.kubectl("create", "secret", "generic", name, f"--from-literal=JWT_SECRET=value-of-{name}")

    def release(version: str, secret: str, image: str) -> None:
        body = simple(release=version, image=image)
        container = body["spec"]["template"]["spec"]["containers"][0]
        container["envFrom"] = [{"secretRef": {"name": secret}}]
        reference = {"secretKeyRef": {"name": secret, "key": "JWT_SECRET"}}
        container["env"].append({"name": "SIGNING_KEY", "valueFrom": reference})
        case.apply(body, manifests.service("plain"))
        case.cluster.rolled_out(case.namespace, "plain")

    release("good", "jwt-old", "1")
    case.mark_good()
    release("good", "jwt-new", "1")
    release("bad", "jwt-new", "2")
    mark = case.cluster.mark()
    ended = case.rollback()
    assert ended.code == 0, ended.said
    assert case.changes(mark) == 1
    case.assert_runs("good")
    for pod in case.pods():
        assert "jwt-old" not in json.dumps(pod["spec"])
        assert json.dumps(pod["spec"]).count("jwt-new") == 2
        value = case.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", "echo $JWT_SECRET $SIGNING_KEY")
        assert value.split() == ["value-of-jwt-new"] * 2


@pytest.mark.done(4)
@pytest.mark.req("R1")
@pytest.mark.defect("D7")
def test_of_two_rollbacks_at_once_from_two_machines_one_acts(case):
    case.good_then_bad()
    before, mark = case.generation, case.cluster.mark()
    machines = [case.sibling("one"), case.sibling("two")]
    commands = [m.start("rollback", "--reason", "at once", "--yes", "--json") for m in machines]
    ended = [c.ended(120) for c in commands]
    assert {e.code for e in ended} == {0, 3}, "\n".join(e.said for e in ended)
    assert case.changes(mark) == 1
    assert case.generation == before + 1
    case.assert_runs("good")
    refused = next(e for e in ended if e.code == 3)
    assert "acts on" in refused.out or "already" in refused.out, refused.said


# --- nothing to go to


@pytest.mark.done(6)
@pytest.mark.req("B2", "R11")
@pytest.mark.defect("D23")
def test_without_a_known_good_revision_nothing_is_changed_and_the_check_says_so(case):
    """One revision is quarantined, one unproven; "previous" is no reason to go to either."""
    case.release("unproven", image="1")
    case.release("bad", image="2")
    case.mark(Standing.BAD)
    case.release("worse", image="3")
    mark, before = case.cluster.mark(), case.generation
    checked = case.run("check", "--live", "--json")
    assert checked.code == 3, checked.said
    assert "no known-good" in checked.out
    ended = case.rollback()
    assert ended.code == 3, ended.said
    assert "Nothing was changed" in ended.document["message"]
    assert "unproven" in ended.document["message"]
    case.assert_untouched(mark, before)
    assert case.writes(mark) == []


@pytest.mark.done(6)
@pytest.mark.req("B2")
def test_a_quarantined_release_is_no_target_unless_it_is_named_and_allowed(case):
    case.release("bad", image="2")
    case.mark(Standing.BAD)
    case.release("good", image="1")
    mark, before = case.cluster.mark(), case.generation
    for arguments in ((), ("--to", "bad")):
        ended = case.rollback(*arguments)
        assert ended.code == 3, ended.said
        assert "bad since" in ended.out or "quarantined" in ended.out
    case.assert_untouched(mark, before)
    ended = case.rollback("--to", "bad", "--allow-bad")
    assert ended.code == 0, ended.said
    case.assert_runs("bad", image="2")
    assert case.changes(mark) == 1


@pytest.mark.done(6)
def test_a_known_good_release_whose_image_is_gone_is_no_target_and_the_check_says_so(case):
    """The tag is on no node and must not be pulled: found out before anything is changed."""
    case.release("good", image="gone", wait=False)
    case.mark_good()
    case.release("bad", image="2")
    mark, before = case.cluster.mark(), case.generation
    checked = case.run("check", "--live", "--json")
    assert checked.code == 3, checked.said
    assert f"{manifests.PLAIN_IMAGE}:gone" in checked.out
    ended = case.rollback()
    assert ended.code == 3, ended.said
    assert "is on no node" in ended.document["message"], ended.said
    case.assert_untouched(mark, before)


@pytest.mark.req("R11")
@pytest.mark.defect("D23")
def test_without_history_there_is_nothing_to_go_to(case):
    case.apply(limited := simple(release="good"), manifests.service("plain"))
    limited["spec"]["revisionHistoryLimit"] = 0
    case.apply(limited)
    case.cluster.rolled_out(case.namespace, "plain")
    case.mark_good()
    bad = simple(release="bad", image="2")
    bad["spec"]["revisionHistoryLimit"] = 0
    case.apply(bad)
    case.cluster.rolled_out(case.namespace, "plain")
    wait_until("the old ReplicaSet to go", lambda: len(sets(case)) == 1)
    mark, before = case.cluster.mark(), case.generation
    ended = case.rollback()
    assert ended.code == 3, ended.said
    case.assert_untouched(mark, before)


def sets(case: Case) -> list[object]:
    found: list[object] = case.cluster.get("replicasets", namespace=case.namespace)["items"]
    return found


# --- states in which a rollback would do nothing, or be undone


#: state → how it is made and unmade, what the refusal says, and its remedy
REFUSED = {
    "paused": (
        ("rollout", "pause", "deployment/plain"),
        ("rollout", "resume", "deployment/plain"),
        "is paused",
        "kubectl rollout resume deployment/plain",
    ),
    "argo": (
        ("annotate", "deployment", "plain", "argocd.argoproj.io/tracking-id=shop:apps/Deployment:prod/plain"),
        ("annotate", "deployment", "plain", "argocd.argoproj.io/tracking-id-"),
        "argocd shop",
        "argocd app set shop --sync-policy none",
    ),
    "flux": (
        ("label", "deployment", "plain", "kustomize.toolkit.fluxcd.io/name=shop"),
        ("label", "deployment", "plain", "kustomize.toolkit.fluxcd.io/name-"),
        "flux shop",
        "flux suspend kustomization shop",
    ),
    "zero": (("scale", "deployment/plain", "--replicas=0"), (), "scaled to 0", "Scale it up"),
}


@pytest.mark.req("R11")
@pytest.mark.defect("D23")
def test_what_would_have_no_effect_or_be_undone_is_refused_with_the_remedy(case):
    case.good_then_bad()
    for make, unmake, word, remedy in REFUSED.values():
        case.kubectl(*make)
        mark, before = case.cluster.mark(), case.generation
        ended = case.rollback()
        assert ended.code == 3, ended.said
        assert word in ended.document["message"]
        assert "Nothing was changed" in ended.document["message"]
        assert remedy in ended.document["remedy"]
        case.assert_untouched(mark, before)
        if unmake:
            case.kubectl(*unmake)


@pytest.mark.req("R11")
@pytest.mark.defect("D8")
def test_an_autoscalers_replicas_and_helms_release_are_left_alone_and_named(case):
    case.release("good", image="1", labels={"app.kubernetes.io/managed-by": "Helm"})
    case.kubectl("autoscale", "deployment", "plain", "--min=3", "--max=5", "--cpu-percent=90")
    case.mark_good()
    case.release("bad", image="2", labels={"app.kubernetes.io/managed-by": "Helm"}, replicas=4)
    mark = case.cluster.mark()
    command = case.start("rollback", "--reason", "a test", "--yes")
    ended = command.ended(120)
    assert ended.code == 0, ended.said
    assert "helm rollback plain" in ended.err
    assert "hpa plain" in ended.err
    assert case.deployment()["spec"]["replicas"] == 4
    case.assert_runs("good", replicas=4)
    assert case.changes(mark) == 1
    assert "patch horizontalpodautoscalers" not in case.writes(mark)


# --- ways to go


@pytest.mark.req("R11")
def test_a_revision_can_be_named_by_number_or_version(case):
    case.release("one", image="1")
    case.release("two", image="2")
    case.release("three", image="3")
    planned = case.run("rollback", "--reason", "a look", "--plan", "--to", "1", "--json")
    assert "to one" in planned.document["notes"][0], planned.said
    ended = case.rollback("--to", "two")
    assert ended.code == 0, ended.said
    case.assert_runs("two", image="2")
    mark, before = case.cluster.mark(), case.generation
    assert case.rollback("--to", "two").code == 3
    assert case.rollback("--to", "17").code == 3
    case.assert_untouched(mark, before)


@pytest.mark.req("R1", "R1a")
def test_a_plan_changes_nothing_at_all(case):
    case.good_then_bad()
    mark = case.cluster.mark()
    ended = case.run("rollback", "--reason", "a look", "--plan", "--json")
    assert ended.code == 0, ended.said
    assert [s["id"] for s in ended.document["steps"]] == ["preflight", "template", "rollout", "health", "stable"]
    assert case.writes(mark) == []


@pytest.mark.req("R11", "R1")
def test_a_known_good_release_that_crash_loops_now_fails_soon_and_says_so(case):
    """It was good once; what it needs has gone since. The end is FAILED within a minute, not after 300 s."""
    case.kubectl("create", "configmap", "behaviour", "--from-literal=FAULT=")
    body = simple(release="good")
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [e for e in container["env"] if e["name"] != "FAULT"]
    container["envFrom"] = [{"configMapRef": {"name": "behaviour"}}]
    case.apply(body, manifests.service("plain"))
    case.cluster.rolled_out(case.namespace, "plain")
    case.mark_good()
    case.release("bad", image="2")
    case.kubectl("patch", "configmap", "behaviour", "--patch", '{"data": {"FAULT": "exit"}}')
    mark = case.cluster.mark()
    ended = case.rollback()
    assert ended.code == 1, ended.said
    assert ended.seconds < 100
    assert "crash-loops" in ended.document["why"], ended.said
    assert case.changes(mark) == 1


@pytest.mark.req("R11")
def test_the_recreate_strategy(case):
    case.release("good", image="1", strategy={"type": "Recreate"})
    case.mark_good()
    case.release("bad", image="2", strategy={"type": "Recreate"})
    mark = case.cluster.mark()
    ended = case.rollback("--surge")
    assert ended.code == 0, ended.said
    case.assert_runs("good")
    assert case.changes(mark) == 1
    assert case.deployment()["spec"]["strategy"] == {"type": "Recreate"}


# --- all at once


@pytest.mark.req("R11")
def test_all_at_once_replaces_all_pods_together_and_puts_the_strategy_back(case):
    case.defaults["strategy"] = None
    case.good_then_bad()
    strategy, mark = case.deployment()["spec"]["strategy"], case.cluster.mark()
    ended = case.rollback("--surge")
    assert ended.code == 0, ended.said
    case.assert_runs("good")
    assert case.changes(mark) == 1
    assert case.deployment()["spec"]["strategy"] == strategy
    assert STRATEGY not in case.deployment()["metadata"]["annotations"]
    patches = [
        e.response["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        for e in case.cluster.audit(mark)
        if (e.namespace, e.name, e.verb, e.subresource) == (case.namespace, "plain", "patch", "")
        and e.accepted
        and e.response
    ]
    assert "100%" in patches
    assert patches[-1] == strategy["rollingUpdate"]["maxSurge"]


@pytest.mark.req("R11", "B3")
def test_killed_between_all_at_once_and_the_strategy_it_is_put_back_after_resuming(case):
    case.defaults["strategy"] = None
    case.good_then_bad()
    strategy, mark = case.deployment()["spec"]["strategy"], case.cluster.mark()
    killed = case.rollback("--surge", CODEBLUE_KILL_AT="rollout.ended")
    assert killed.code == -signal.SIGKILL, killed.said
    assert case.deployment()["spec"]["strategy"] != strategy
    (run,) = case.runs()
    ended = case.run("run", "resume", run["id"], "--json")
    assert ended.code == 0, ended.said
    assert case.deployment()["spec"]["strategy"] == strategy
    case.assert_runs("good")
    assert case.changes(mark) == 1


@pytest.mark.req("R11")
def test_without_room_in_the_quota_it_goes_the_normal_way_and_says_so(case):
    case.defaults["strategy"] = None
    case.kubectl("create", "quota", "tight", "--hard=pods=5")
    case.good_then_bad()
    mark = case.cluster.mark()
    ended = case.start("rollback", "--reason", "a test", "--yes", "--surge").ended(120)
    assert ended.code == 0, ended.said
    assert "not all pods at once, the normal way instead: ResourceQuota tight: pods used 3 + 3 > 5" in ended.err
    case.assert_runs("good")
    assert case.changes(mark) == 1
    surges = [e.response["spec"]["strategy"] for e in case.template_changes(mark)]
    assert "100%" not in json.dumps(surges)


@pytest.mark.req("R11")
def test_a_strategy_that_kubectl_brings_back_from_the_history_is_not_taken_for_set_aside(case):
    """`kubectl rollout undo` copies the annotations of the old ReplicaSet, our note among them."""
    case.defaults["strategy"] = None
    case.good_then_bad()
    strategy = case.deployment()["spec"]["strategy"]
    assert case.rollback("--surge").code == 0
    case.release("bad", image="2")
    case.kubectl("rollout", "undo", "deployment/plain")
    assert STRATEGY in case.deployment()["metadata"]["annotations"]
    case.release("worse", image="3")
    mark = case.cluster.mark()
    ended = case.rollback("--surge")
    assert ended.code == 0, ended.said
    case.assert_runs("good")
    (patch,) = case.template_changes(mark)
    assert patch.response is not None
    assert patch.response["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == "100%"
    assert case.deployment()["spec"]["strategy"] == strategy
