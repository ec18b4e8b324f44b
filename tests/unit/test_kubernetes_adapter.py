"""What the Kubernetes adapter makes of what it reads there: annotations and answers that anybody may have written."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from lightkube.config.kubeconfig import KubeConfig

from codeblue.adapters.kubernetes.api import PATCH_FAILED, Api, load_config
from codeblue.adapters.kubernetes.history import REVISION, read_revisions
from codeblue.adapters.kubernetes.lease import KubernetesLease
from codeblue.adapters.kubernetes.marks import added, decode_marks, encode_marks, newest
from codeblue.adapters.kubernetes.platform import KubernetesPlatform, surged
from codeblue.adapters.kubernetes.ref import DeploymentRef, Via
from codeblue.model.change import Change, Fence
from codeblue.model.errors import Conflict, LeaseHeld, LeaseLost, Refused, Unreachable, UsageError
from codeblue.model.release import Mark, Standing, Template
from codeblue.testing.clock import VirtualClock

AT = datetime(2026, 1, 5, 3, 15, tzinfo=UTC)
GOOD = Mark(Standing.KNOWN_GOOD, AT, "run-1", "healthy for 312 s of 300 s")
BAD = Mark(Standing.BAD, AT, "run-2", "4 consecutive failures > 3")
ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
AT_ONCE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}}


def entry(**changed):
    return {"standing": "bad", "at": "2026-01-05T03:15:00+00:00", "by": "run-2", "why": "a reason", **changed}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "standing": st.sampled_from(["bad", "known-good"]) | JSON,
        "at": st.sampled_from(["2026-01-05T03:15:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59"]) | JSON,
        "by": JSON,
        "why": st.text(st.characters()) | JSON,
    },
)
STRATEGIES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["RollingUpdate", "Recreate"]) | JSON,
        "rollingUpdate": st.dictionaries(st.sampled_from(["maxSurge", "maxUnavailable"]), JSON) | JSON,
    },
)

GARBAGE = [
    "[" * 60000,
    '{"a":' * 60000,
    "9" * 5000,
    '{"a": ' + "9" * 5000 + "}",
    '{"rollingUpdate":"x"}',
    '{"type":"RollingUpdate","rollingUpdate":"x"}',
    '{"type":"RollingUpdate","rollingUpdate":{"maxSurge":[1]}}',
    '{"type":"RollingUpdate","rollingUpdate":{"maxSurge":true}}',
    "[1]",
    "null",
    "",
    "not JSON",
    "NaN",
    "\ud800",
]


# --- marks


@pytest.mark.req("B2")
@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_no_mark_and_no_strategy(text):
    assert decode_marks(text) == {}
    assert surged(text, AT_ONCE) == ""


@pytest.mark.req("B2")
@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59", "soon", 5, None, [1]]
)
def test_a_mark_without_a_usable_time_is_none_and_the_others_count(at):
    marks = decode_marks(json.dumps({"a": entry(at=at), "b": entry()}))
    assert set(marks) == {"b"}


@given(st.text(st.characters()))
def test_any_text_decodes_without_raising(text):
    assert isinstance(decode_marks(text), dict)
    assert isinstance(surged(text, AT_ONCE), str)


@given(st.dictionaries(st.text(), ENTRIES | JSON, max_size=3))
def test_any_marks_decode_to_what_can_be_recorded_and_written_again(raw):
    marks = decode_marks(json.dumps(raw))
    for mark in marks.values():
        rfc8785.dumps({"by": mark.by, "why": mark.why})
    assert decode_marks(encode_marks(marks)) == marks
    added(marks, dict.fromkeys(marks, GOOD))


def test_marks_are_read_as_they_were_written():
    marks = {"a": GOOD, "b": BAD}
    assert decode_marks(encode_marks(marks)) == marks


def test_what_cannot_be_printed_is_replaced():
    (mark,) = decode_marks(json.dumps({"a": entry(by="x\ud800\n", why="\x1b[31mgood")})).values()
    assert (mark.by, mark.why) == ("x\ufffd\ufffd", "\ufffd[31mgood")


@pytest.mark.req("B2")
@pytest.mark.parametrize("bad_first", [True, False])
def test_of_several_copies_the_newest_mark_counts_and_at_the_same_time_the_bad_one(bad_first):
    later = Mark(Standing.KNOWN_GOOD, AT + timedelta(seconds=1), "run-3", "healthy again")
    copies = [{"a": BAD, "b": BAD}, {"a": GOOD, "b": later, "c": GOOD}]
    assert newest(copies if bad_first else reversed(copies)) == {"a": BAD, "b": later, "c": GOOD}


@pytest.mark.req("B2")
def test_a_slow_clock_does_not_lose_against_the_mark_it_replaces():
    slow = Mark(Standing.BAD, AT - timedelta(hours=2), "run-4", "crash-loops")
    marks = added({"a": GOOD, "b": GOOD}, {"a": slow, "c": slow})
    assert marks["a"].at == AT + timedelta(seconds=1)
    assert marks["a"].standing is Standing.BAD
    assert (marks["b"], marks["c"]) == (GOOD, slow)
    assert newest([marks, {"a": GOOD}])["a"].standing is Standing.BAD


def test_a_revision_that_is_no_number_is_left_out():
    def revision(text):
        return {"metadata": {"annotations": {REVISION: text}}, "spec": {"template": {}}}

    template = Template("{}", "r", "e", "", ())
    sets = [revision(t) for t in ("7", "²", "9" * 5000, "-1", "")]
    assert [r.number for r in read_revisions(sets, template, lambda raw: template)] == [7]


# --- the strategy that was set aside


@given(STRATEGIES, st.sampled_from([ROLLING, AT_ONCE, {"type": "Recreate"}, {}]))
def test_any_kept_strategy_is_put_back_only_in_place_of_the_surge(kept, current):
    back = surged(json.dumps(kept), current)
    assert not back or current == AT_ONCE
    assert not back or json.loads(back).get("rollingUpdate", {}).get("maxSurge") != "100%"


def rolling(**amounts):
    return {"type": "RollingUpdate", "rollingUpdate": amounts}


@pytest.mark.req("R11")
@pytest.mark.parametrize(
    ("kept", "current", "back"),
    [
        (ROLLING, AT_ONCE, ROLLING),
        (ROLLING, rolling(maxSurge="100%", maxUnavailable=0), rolling(maxSurge="25%", maxUnavailable=0)),
        (rolling(maxUnavailable=1), AT_ONCE, rolling(maxUnavailable="25%")),
        ({"type": "Recreate"}, AT_ONCE, {"type": "Recreate"}),
        (ROLLING, rolling(maxSurge="50%", maxUnavailable=0), None),
        (ROLLING, ROLLING, None),
        (ROLLING, {"type": "Recreate"}, None),
        (AT_ONCE, AT_ONCE, None),
    ],
    ids=["untouched", "other-unavailable", "had-none", "recreate", "other-surge", "restored", "now-recreate", "own"],
)
def test_only_the_surge_that_we_set_is_taken_back(kept, current, back):
    found = surged(json.dumps(kept), current)
    assert (json.loads(found) if found else None) == back


# --- refusals and the right to act

CONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "http://server"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/plain"


def api_of(answer):
    """The API of a server that answers each request with this function's status code and document."""

    def handle(request):
        code, body = answer(request)
        return httpx2.Response(code, json=body)

    api = Api(KubeConfig.from_dict(CONFIG).get("x"))
    api.http = httpx2.AsyncClient(base_url="http://server", transport=httpx2.MockTransport(handle))
    return api


def platform_of(answer, clock=None):
    ref = DeploymentRef("shop", "plain")
    return KubernetesPlatform(api_of(answer), ref, clock or VirtualClock(), Via.APISERVER)


@pytest.mark.parametrize(
    "message",
    [
        'admission webhook "p" denied the request: testing value must not be used',
        "ValidatingAdmissionPolicy 'p' denied request: the server rejected our request due to an error in our request",
        'Deployment.apps "d" is invalid: metadata.labels: Invalid value: "/testing/"',
        'deployments.apps "d" in namespace "testing": a test operation is missing',
    ],
)
async def test_a_422_in_other_words_than_a_failed_patch_is_a_refusal(message):
    with pytest.raises(Refused, match="rejected the request"):
        await api_of(lambda request: (422, {"message": message})).json_patch(DEPLOYMENT, [])


@pytest.mark.req("B3")
async def test_a_422_in_the_words_of_a_failed_patch_is_a_conflict():
    with pytest.raises(Conflict):
        await api_of(lambda request: (422, {"message": PATCH_FAILED})).json_patch(DEPLOYMENT, [])


@pytest.mark.req("B3")
async def test_an_epoch_is_not_stamped_for_ever():
    seen = []

    def answer(request):
        seen.append(request.method)
        if request.method == "GET":
            return 200, {"metadata": {"resourceVersion": "1", "labels": {"app": "x"}}}
        return 422, {"message": PATCH_FAILED}

    with pytest.raises(Unreachable, match="changed 10 times") as refused:
        await platform_of(answer).stamp_epoch(3)
    assert refused.value.remedy
    assert seen.count("PATCH") == 10


@pytest.mark.req("B3")
@pytest.mark.parametrize("label", ["2147483647", "9" * 63, "mine", "-1", "1.5"])
async def test_a_label_that_is_no_epoch_is_refused_with_the_remedy(label):
    platform = platform_of(lambda request: (200, {"metadata": {"labels": {"codeblue.dev/epoch": label}}}))
    for call in (platform.epoch(), platform.stamp_epoch(3)):
        with pytest.raises(Refused, match=f"codeblue.dev/epoch={label}") as refused:
            await call
        assert "label deployment plain codeblue.dev/epoch-" in refused.value.remedy


@pytest.mark.req("B3")
@pytest.mark.parametrize(
    ("labels", "said"), [({}, "is gone"), ({"codeblue.dev/epoch": "9"}, "epoch 9"), ({"codeblue.dev/epoch": "x"}, "x,")]
)
async def test_a_change_that_is_refused_because_of_the_epoch_says_what_may_have_happened(labels, said):
    def answer(request):
        if request.method == "GET":
            return 200, {"metadata": {"resourceVersion": "1", "labels": labels}}
        return 422, {"message": PATCH_FAILED}

    change = Change(kind="marks", target="", summary="", precondition="1", body="[]")
    with pytest.raises(LeaseLost, match=said) as lost:
        await platform_of(answer).apply(change, Fence(holder="me", epoch=3, lease="l"))
    assert "taken over, changed or deleted" in lost.value.remedy


def lease_of(clock, **spec):
    """Our lease object where somebody else's is held, and what was written of it."""
    held = {"metadata": {"name": "l", "resourceVersion": "1"}, "spec": {"holderIdentity": "somebody", **spec}}
    deployment = {"metadata": {"resourceVersion": "1", "labels": {"codeblue.dev/epoch": "4"}}}
    written = []

    def answer(request):
        if request.method == "PUT":
            written.append(json.loads(request.content)["spec"])
        return 200, held if "leases" in request.url.path else deployment

    platform = platform_of(answer, clock)
    return KubernetesLease(platform.api, platform, "l", 15.0, clock), written


@pytest.mark.defect("D7")
@pytest.mark.parametrize("renewed", ["2026-01-05T03:14:50Z", "9999-12-31T23:59:59Z", None])
async def test_a_foreign_lease_longer_than_ours_can_be_is_not_waited_for(renewed):
    clock = VirtualClock()
    lease, written = lease_of(clock, leaseDurationSeconds=2_000_000_000, renewTime=renewed)
    with pytest.raises(LeaseHeld, match=r"somebody .* for another (590|600) s") as held:
        await lease.acquire("me")
    assert "kubectl --namespace shop delete lease l" in held.value.remedy
    assert (clock.monotonic(), written) == (0, [])


@pytest.mark.defect("D7")
@pytest.mark.parametrize(("duration", "waited"), [(2_000_000_000, 60), (20, 20)])
async def test_a_foreign_lease_that_nobody_renewed_for_ten_minutes_is_watched_and_taken(duration, waited):
    clock = VirtualClock()
    lease, written = lease_of(clock, leaseDurationSeconds=duration, renewTime="2026-01-05T03:04:59Z")
    fence = await lease.acquire("me")
    assert fence.epoch == 5
    assert waited <= clock.monotonic() <= waited + 2
    assert written[0]["holderIdentity"] == "me"


def test_a_context_without_a_user_is_an_error_of_the_kubeconfig(tmp_path: Path) -> None:
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    config = {"clusters": [cluster], "contexts": [{"name": "prod", "context": {"cluster": "c"}}], "users": []}
    file = tmp_path / "config"
    file.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="names no user"):
        load_config("prod", file)


ENDED = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-05T03:00:00Z", "containerID": "c://1"}


def a_pod(name, *statuses, limits=("256Mi",), owner="set-1", **status):
    containers = [{"name": f"c{n}", "resources": {"limits": {"memory": m} if m else {}}} for n, m in enumerate(limits)]
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": [{"uid": owner, "controller": True}]},
        "spec": {"containers": containers},
        "status": {"phase": "Running", "containerStatuses": list(statuses), **status},
    }


def facts_of(pods, metrics):
    """The platform of a server with these pods; `metrics` is the answer of the metrics API."""

    def answer(request):
        path = request.url.path
        if path == DEPLOYMENT:
            meta = {"name": "plain", "uid": "dep-1", "resourceVersion": "1"}
            return 200, {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {}}}
        if path.endswith("/replicasets"):
            owner = {"uid": "dep-1", "controller": True}
            return 200, {"items": [{"metadata": {"name": "s", "uid": "set-1", "ownerReferences": [owner]}}]}
        if "metrics.k8s.io" in path:
            return metrics
        return 200, {"items": pods()}

    return platform_of(answer)


NO_METRICS = (404, {"message": "the server could not find the requested resource"})


@pytest.mark.req("R7")
async def test_facts_are_of_the_own_live_pods_with_memory_where_it_is_measured():
    used = {"items": [{"metadata": {"name": "a"}, "containers": [{"usage": {"cpu": "5m", "memory": "100Mi"}}]}]}
    pods = [
        a_pod("a", {"name": "c0", "restartCount": 2}, {"name": "c1", "restartCount": 1}, limits=("256Mi", "256Mi")),
        a_pod("b", limits=("256Mi", None)),
        a_pod("foreign", owner="set-9"),
        a_pod("done", phase="Failed"),
    ]
    facts = {f.pod: f for f in await facts_of(lambda: pods, (200, used)).facts()}
    assert sorted(facts) == ["a", "b"]
    assert (facts["a"].restarts, facts["a"].memory_bytes, facts["a"].memory_limit) == (3, 100 * 2**20, 512 * 2**20)
    assert (facts["b"].restarts, facts["b"].memory_bytes, facts["b"].memory_limit) == (0, None, None)


@pytest.mark.req("R7")
@pytest.mark.defect("D19")
@pytest.mark.parametrize("metrics", [NO_METRICS, (403, {}), (503, {})], ids=["none", "forbidden", "away"])
async def test_kills_for_memory_are_counted_as_they_come_by_with_or_without_metrics(metrics):
    now = [a_pod("a", {"name": "c0", "restartCount": 0}), a_pod("b", {"name": "c0", "restartCount": 0})]
    platform = facts_of(lambda: now, metrics)

    async def kills():
        return {f.pod: f.oom_kills for f in await platform.facts()}

    def state(count, **ended):
        return a_pod("a", {"name": "c0", "restartCount": count, "lastState": {"terminated": {**ENDED, **ended}}})

    assert await kills() == {"a": 0, "b": 0}
    # killed, and not yet started again; then it runs again: one and the same end
    now[0] = a_pod("a", {"name": "c0", "restartCount": 0, "state": {"terminated": ENDED}})
    assert await kills() == {"a": 1, "b": 0}
    now[0] = state(1)
    assert await kills() == {"a": 1, "b": 0}
    assert await kills() == {"a": 1, "b": 0}
    now[0] = state(2, finishedAt="2026-01-05T03:02:00Z", containerID="c://2")
    assert await kills() == {"a": 2, "b": 0}
    now[0] = state(3, reason="Error", finishedAt="2026-01-05T03:04:00Z", containerID="c://3")
    assert await kills() == {"a": 2, "b": 0}, "another end takes no kill back"
    now[:] = [now[1]]
    assert await kills() == {"b": 0}
    assert list(platform._kills._seen) == ["uid-b"], "nothing is kept of pods that are gone"
