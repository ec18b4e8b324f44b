"""Success is only what is seen to hold (R1, D22, D49): what looks healthy and is not ends with exit code 1."""

import signal
import threading
from contextlib import contextmanager

import pytest
from testbed import manifests
from testbed.cluster import wait_until
from tests.cluster.support import SERVER, Case, simple

pytestmark = pytest.mark.cluster

PIPELINE = "evil-pipeline"


@pytest.mark.done(7)
@pytest.mark.req("R11", "R1")
@pytest.mark.defect("D5", "D50")
def test_a_stranger_behind_the_service_that_answers_200_is_no_proof(case):
    """It has the labels that the Service selects, belongs to no ReplicaSet, and answers as the bad version."""
    case.settings["verify"] = {"checks": 6, "every": "500ms", "stable_for": "2s"}
    case.write_profile()
    case.good_then_bad()
    pod = simple("proxy", release="bad", image="2")["spec"]["template"]
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] = {"name": "proxy", "labels": {"app": "plain"}}
    case.apply(pod)
    case.kubectl("wait", "--for=condition=Ready", "pod/proxy", "--timeout=30s")
    mark = case.cluster.mark()
    ended = case.rollback()
    assert ended.code == 1, ended.said
    assert "behind the Service stands what is no pod of the release: proxy" in ended.document["why"]
    assert case.changes(mark) == 1


@pytest.mark.done(7)
@pytest.mark.req("R11")
def test_a_release_that_answers_as_another_version_is_no_proof(case):
    """All pods run the target's template and are ready; what they answer is something else."""
    case.settings["verify"] = {"checks": 4, "every": "500ms", "stable_for": "2s"}
    case.write_profile()
    body = simple(release="good")
    server = SERVER.replace('os.environ["RELEASE_VERSION"]', '"something-else"')
    body["spec"]["template"]["spec"]["containers"][0]["command"] = ["python3", "-c", server]
    case.apply(body, manifests.service("plain"))
    case.cluster.rolled_out(case.namespace, "plain")
    case.mark_good()
    case.release("bad", image="2")
    ended = case.rollback()
    assert ended.code == 1, ended.said
    assert "as version something-else, not good" in ended.document["why"], ended.said


@pytest.mark.done(7)
@pytest.mark.req("R11", "R1")
@pytest.mark.defect("D22")
def test_a_release_that_fails_twenty_seconds_after_it_was_ready_is_no_recovery(case):
    case.settings["verify"] = {"checks": 10, "every": "1s", "stable_for": "30s"}
    case.write_profile()
    case.release("good", image="1", fault="late:20")
    case.mark_good()
    case.release("bad", image="2")
    mark = case.cluster.mark()
    ended = case.rollback()
    assert ended.code == 1, ended.said
    assert 18 < ended.seconds < 60
    assert "status 500" in ended.document["why"]
    assert "of health" in ended.document["why"]
    assert case.changes(mark) == 1


@pytest.mark.done(7)
@pytest.mark.req("R11")
@pytest.mark.defect("D23")
def test_a_pipeline_that_puts_the_bad_release_back_is_named_and_not_raced(case):
    case.settings["verify"] = {"checks": 10, "every": "1s", "stable_for": "20s"}
    case.write_profile()
    case.good_then_bad()
    mark = case.cluster.mark()
    with reapplied(case, simple(release="bad", image="2"), every_s=5.0):
        ended = case.rollback()
    assert ended.code == 1, ended.said
    assert repr(PIPELINE) in ended.document["why"]
    assert PIPELINE in ended.document["why"] + ended.document["remedy"]
    writers = [
        "codeblue" if "fieldManager=codeblue" in e.raw["requestURI"] else PIPELINE for e in case.template_changes(mark)
    ]
    assert writers.count("codeblue") == 1
    assert writers[0] == "codeblue"
    assert PIPELINE in writers


@contextmanager
def reapplied(case: Case, body: manifests.Manifest, *, every_s: float):
    """A pipeline that applies this again and again, by force."""
    import json

    stop, failures = threading.Event(), []

    def pipeline() -> None:
        while not stop.wait(every_s):
            try:
                case.kubectl(
                    *("apply", "--server-side", f"--field-manager={PIPELINE}", "--force-conflicts", "--filename=-"),
                    input=json.dumps(body),
                )
            except Exception as error:  # noqa: BLE001  # shown by the test itself
                failures.append(error)

    thread = threading.Thread(target=pipeline)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not failures, failures


@pytest.mark.done(7)
@pytest.mark.req("R11", "R1")
def test_a_pod_that_was_given_another_image_is_no_proof(case):
    """Its ReplicaSet counts it as one of the target's; only the pod itself says what it runs."""
    case.good_then_bad()
    command = case.start("rollback", "--reason", "a test", "--yes", "--json", CODEBLUE_FREEZE_AT="rollout.ended")
    wait_until("the rollout", command.stopped, timeout_s=60)
    name = case.pods()[0]["metadata"]["name"]
    case.kubectl("set", "image", f"pod/{name}", f"api={manifests.PLAIN_IMAGE}:2")
    wait_until("the pod to be ready with it", lambda: runs_ready(case, name, ":2"), timeout_s=60)
    command.signal(signal.SIGCONT)
    ended = command.ended(90)
    assert ended.code == 1, ended.said
    assert "other images than the template's" in ended.document["why"], ended.said


def runs_ready(case, name, tag):
    """Whether the pod's container was started with this image, and is ready."""
    status = next(p for p in case.pods() if p["metadata"]["name"] == name)["status"]["containerStatuses"][0]
    return status["ready"] and status["image"].endswith(tag)


@pytest.mark.req("R11", "R1", "R1c")
def test_scaled_to_nothing_meanwhile_is_no_recovery_and_no_known_good_release(case):
    """Without a Service nobody fails to answer: no pod at all is the healthiest of workloads, and proves nothing."""
    case.settings["platform"] = {"service": None}
    case.settings["runbooks"] = {"quick_rollback": {"deadline": "30s"}}
    case.write_profile()
    case.good_then_bad()
    command = case.start("rollback", "--reason", "a test", "--yes", "--json", CODEBLUE_FREEZE_AT="template.recorded")
    wait_until("the change", command.stopped, timeout_s=60)
    case.kubectl("scale", "deployment/plain", "--replicas=0")
    case.cluster.rolled_out(case.namespace, "plain")
    command.signal(signal.SIGCONT)
    ended = command.ended(90)
    assert ended.code == 1, ended.said
    assert "scaled to 0" in ended.document["why"], ended.said
    marked = case.run("verify", "--mark-known-good", "--json")
    assert marked.code == 1, marked.said
    assert "scaled to 0" in marked.document["why"], marked.said
