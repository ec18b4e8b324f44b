"""Least privilege: exactly the roles of deploy/rbac are enough; without one nothing is changed (R1)."""

from pathlib import Path

import pytest
from tests.cluster.support import Case

pytestmark = pytest.mark.cluster

RBAC = Path(__file__).parents[2] / "deploy" / "rbac"


def as_account(case: Case, *roles: str) -> Case:
    """Code Blue with a ServiceAccount that has these roles and no other."""
    case.kubectl("create", "serviceaccount", "codeblue")
    for role in roles:
        text = (RBAC / f"{role}.yaml").read_text().replace("NAME", case.name).replace("SERVICE", case.name)
        case.cluster.apply(text, namespace=case.namespace)
        case.kubectl(
            *("create", "rolebinding", f"codeblue-{role}", f"--role=codeblue-{role}"),
            f"--serviceaccount={case.namespace}:codeblue",
        )
    path = case.cluster.kubeconfig_for(case.namespace, "codeblue", case.folder / "kubeconfig")
    case.kubeconfig = path
    case.write_profile()
    return case


@pytest.mark.req("R1")
def test_with_exactly_the_two_roles_everything_works(case):
    case.release("good", image="1")
    as_account(case, "observe", "act")
    mark = case.cluster.mark()
    case.mark_good()
    case.release("bad", image="2")
    before = case.cluster.mark()
    checked = case.run("check", "--live", "--json")
    assert checked.code == 0, checked.said
    assert f"as system:serviceaccount:{case.namespace}:codeblue" in checked.out
    ended = case.rollback("--surge")
    assert ended.code == 0, ended.said
    case.assert_runs("good")
    assert case.changes(before) == 1
    assert ended.document["actor"].startswith(f"person:system:serviceaccount:{case.namespace}:codeblue")
    case.release("bad", image="3")
    with case.daemon() as daemon:
        daemon.until("0 consecutive failures", timeout_s=60)
    user = f"system:serviceaccount:{case.namespace}:codeblue"
    assert [e for e in case.cluster.rejected(mark, namespace=case.namespace) if e.user == user and e.code == 403] == []


@pytest.mark.req("R1")
def test_who_may_only_observe_changes_nothing(case):
    case.good_then_bad()
    as_account(case, "observe")
    mark, before = case.cluster.mark(), case.generation
    planned = case.run("rollback", "--reason", "a look", "--plan", "--json")
    assert planned.code == 0, planned.said
    ended = case.rollback()
    assert ended.code == 3, ended.said
    assert "403" in ended.document["message"]
    assert "othing was changed" in ended.out, ended.said
    case.assert_untouched(mark, before)


@pytest.mark.req("R1")
def test_who_may_not_patch_the_deployment_changes_nothing(case):
    case.good_then_bad()
    as_account(case, "observe", "act")
    case.kubectl("patch", "role", "codeblue-act", "--type=json", '--patch=[{"op": "remove", "path": "/rules/0"}]')
    mark, before = case.cluster.mark(), case.generation
    ended = case.rollback()
    assert ended.code == 3, ended.said
    assert "othing was changed" in ended.out, ended.said
    case.assert_untouched(mark, before)
