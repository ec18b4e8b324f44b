"""What counts as rolled out: the controller's counts and every single pod, each of them able to say no."""

from dataclasses import replace

import pytest

from codeblue.model.health import Outcome
from codeblue.model.release import Pod, Workload
from codeblue.runbooks.rollout import judge_rollout, reverted
from codeblue.testing.memory_cluster import memory_template

TARGET, OTHER = memory_template("1.0"), memory_template("2.0")


def pod(name: str, **changes: object) -> Pod:
    ready = Pod(name, name, TARGET.exact, TARGET.release, TARGET.images, ready=True, terminating=False, restarts=0)
    return replace(ready, **changes)  # type: ignore[arg-type]


PODS = tuple(pod(name) for name in "abc")
DONE = Workload("api", "uid", "7", 2, 2, False, 3, 3, 3, 3, TARGET, pods=PODS)


def judge(**changes: object) -> tuple[Outcome, bool, str]:
    verdict = judge_rollout(replace(DONE, **changes), TARGET.exact)  # type: ignore[arg-type]
    return verdict.outcome, verdict.final, verdict.why


@pytest.mark.req("R11")
def test_all_pods_on_the_target_and_ready_is_done_whatever_is_on_its_way_out() -> None:
    assert judge() == (Outcome.OK, False, "3 of 3 pods on the target and ready")
    leaving = pod("d", template=OTHER.exact, release=OTHER.release, terminating=True)
    assert judge(pods=(*PODS, leaving))[0] is Outcome.OK


@pytest.mark.req("R11")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"updated": 2, "total": 3}, "3 of 3"),
        ({"total": 4}, "3 of 3"),
        ({"available": 2}, "3 of 3"),
        ({"pods": PODS[:2]}, "2 of 3"),
        ({"pods": (*PODS[:2], pod("c", ready=False, trouble="ImagePullBackOff"))}, "c (ImagePullBackOff)"),
        ({"pods": (*PODS[:2], pod("c", terminating=True))}, "2 of 3"),
        ({"pods": (*PODS, pod("d", template=OTHER.exact))}, "still on another template: d"),
        ({"pods": (*PODS, pod("d", template=""))}, "still on another template: d"),
    ],
)
def test_the_counts_alone_and_the_pods_alone_are_not_enough(changes: dict[str, object], why: str) -> None:
    outcome, final, said = judge(**changes)
    assert (outcome, final) == (Outcome.BREACH, False)
    assert why in said


@pytest.mark.req("R11")
def test_what_the_controller_has_not_seen_is_unknown_and_what_it_gave_up_is_final() -> None:
    assert judge(observed_generation=1)[:2] == (Outcome.UNKNOWN, False)
    assert judge(stalled="ProgressDeadlineExceeded")[:2] == (Outcome.BREACH, True)
    looping = pod("c", ready=False, restarts=3, trouble="CrashLoopBackOff")
    assert judge(pods=(*PODS[:2], looping))[:2] == (Outcome.BREACH, True)


@pytest.mark.req("R11")
def test_no_pod_is_no_proof() -> None:
    outcome, _, why = judge(desired=0, total=0, updated=0, available=0, pods=())
    assert outcome is Outcome.BREACH
    assert "scaled to 0" in why


@pytest.mark.req("R11")
@pytest.mark.parametrize(
    ("wanted", "runs", "same"),
    [
        (["shop/api:1.0"], ["shop/api:1.0"], True),
        (["shop/api:1.0"], ["shop/api:2.0"], False),
        (["shop/api:1.0"], ["evil/other:1.0"], False),
        (["shop/api"], ["shop/api:latest"], True),
        (["shop/api"], ["shop/api:2.0"], False),
        (["shop/api:1.0"], ["mirror.corp:5000/shop/api:1.0"], True),
        (["shop/api:1.0"], ["shop/api@sha256:abc"], True),
        (["shop/api:1.0"], ["shop/api:2.0@sha256:abc"], False),
        (["shop/api:1.0"], ["proxy:3", "shop/api:1.0"], True),
        (["a:1", "a:1"], ["a:1"], False),
    ],
)
def test_a_pod_runs_the_images_of_its_template(wanted: list[str], runs: list[str], same: bool) -> None:
    """`kubectl set image pod/…` changes one that the ReplicaSet still counts; a mirror or sidecar is none."""
    target = replace(TARGET, images=tuple(wanted))
    pods = (*(replace(p, images=tuple(wanted)) for p in PODS[:2]), pod("c", images=tuple(runs)))
    outcome, _, why = judge(template=target, pods=pods)
    assert outcome is (Outcome.OK if same else Outcome.BREACH), why
    assert same or "other images than the template's run in c" in why


def test_what_keeps_the_controller_from_going_on_is_told() -> None:
    held = {"updated": 2, "pods": PODS[:2]}
    assert "kubectl rollout resume" in judge(paused=True, **held)[2]
    assert "exceeded quota: pods=3" in judge(failure="exceeded quota: pods=3", **held)[2]


def test_a_template_that_the_platform_itself_changed_is_told_as_such() -> None:
    verdict = reverted(replace(DONE, template_manager="codeblue"), OTHER.exact)
    assert verdict is not None
    assert verdict.final
    assert "admission" in verdict.why
    assert "Stop" not in verdict.why
