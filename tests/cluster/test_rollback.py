"""The quick rollback on a real Kubernetes: what it does, and when it must do nothing (R11, B2, D23)."""

import json

import pytest
from testbed import manifests

from tests.cluster.support import Case

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
