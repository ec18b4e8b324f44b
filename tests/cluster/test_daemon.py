"""`codeblue serve` against real pods: when it acts, when it does not, how a standby takes over (R4, R10, B3, B5)."""

import json
import signal
import time

import pytest
from testbed.cluster import wait_until
from tests.cluster.support import Case

pytestmark = pytest.mark.cluster

#: A round every two seconds leaves a test time to change its mind between two rounds.
ACT = {
    "health": {"interval": "2s", "timeout": "1s"},
    "triggers": {"health": {"failures": 3, "mode": "act"}, "cooldown": "10m"},
    "known_good": {"soak": "10m"},
}


@pytest.fixture
def acting(case):
    """Good, then a bad release that has no readiness probe and is healthy until it is told otherwise."""
    case.settings |= ACT
    case.write_profile()
    case.release("good", image="1", replicas=2)
    case.mark_good()
    case.release("bad", image="2", replicas=2, health_path=None)
    return case


def rollbacks(case: Case) -> list[dict[str, object]]:
    return [run for run in case.runs() if run["runbook"] == "quick_rollback"]


def incidents(case: Case) -> list[dict[str, object]]:
    found: list[dict[str, object]] = case.run("incident", "list", "--json").document["incidents"]
    return found


@pytest.mark.done(10)
@pytest.mark.req("R4", "R10", "R1a")
@pytest.mark.defect("D16", "D17")
def test_three_failures_are_nothing_and_the_fourth_is_one_rollback(acting):
    mark = acting.cluster.mark()
    with acting.daemon() as daemon:
        said = daemon.until("0 consecutive failures")
        for _ in range(2):
            acting.tell_pods("health")
            said = daemon.until("3 consecutive failures ≤ 3", after=said)
            acting.tell_pods("none")
            said = daemon.until("0 consecutive failures", after=said)
        assert acting.changes(mark) == 0
        assert incidents(acting) == []
        acting.tell_pods("health")
        said = daemon.until("rolling back", after=said)
        assert any("3 consecutive failures ≤ 3" in s for s in daemon.sentences()[said - 5 : said])
        said = daemon.until("is mitigated", after=said, timeout_s=150)
        daemon.until("ok: good", after=said)
    acting.assert_runs("good", replicas=2)
    assert acting.changes(mark) == 1
    (run,) = rollbacks(acting)
    assert run["state"] == "done"
    (incident,) = incidents(acting)
    report = next((acting.folder / "incidents").rglob("*.md")).read_text()
    assert str(incident["id"]) in report
    assert acting.run("audit", "verify").code == 0


@pytest.mark.done(10)
@pytest.mark.req("B5", "R10")
def test_without_the_api_server_it_knows_nothing_and_does_nothing(acting):
    """Healthy pods that nobody can see are not a reason; neither is what was seen of them before."""
    mark = acting.cluster.mark()
    with acting.daemon() as daemon:
        said = daemon.until("0 consecutive failures")
        with acting.cluster.api_outage("refuse"):
            for _ in range(5):
                said = daemon.until("unknown", after=said, timeout_s=60)
        daemon.until("0 consecutive failures", after=said, timeout_s=60)
    assert acting.changes(mark) == 0
    assert rollbacks(acting) == []
    assert incidents(acting) == []


@pytest.mark.done(3)
@pytest.mark.req("B3", "R1")
@pytest.mark.defect("D7")
def test_a_standby_takes_over_from_a_frozen_daemon_whose_late_patch_is_refused(acting, postgres):
    """Frozen between the intent and the patch; the record is shared, the lease decides, the API server refuses."""
    url = postgres.database()
    shared = {"state": {"directory": "./state", "database": {"env": "CODEBLUE_DATABASE"}}}
    first, second = (acting.sibling(name, **shared) for name in ("first", "second"))
    for machine in (first, second):
        machine.env["CODEBLUE_DATABASE"] = url
    mark = acting.cluster.mark()
    # its next renewal would find out first, and then there would be no late patch to refuse
    with first.daemon(CODEBLUE_FREEZE_AT="template.intended", CODEBLUE_HANG_AT="lease.renewing") as frozen:
        frozen.until("0 consecutive failures")
        with second.daemon() as standby:
            standby.until("standing by")
            acting.tell_pods("health")
            wait_until("the first daemon to freeze", frozen.stopped, timeout_s=60)
            begun = time.monotonic()
            standby.until("acting on", timeout_s=30)
            took_s = time.monotonic() - begun
            print(f"taken over {took_s:.1f} s after the freeze (lease of 5 s)")
            standby.until("is mitigated", timeout_s=150)
            wait_until("the standby's report to be written", lambda: all_ended(second), timeout_s=30)
            acting.assert_runs("good", replicas=2)
            assert acting.changes(mark) == 1
            before = events(postgres, url)
            woken = acting.cluster.mark()
            frozen.signal(signal.SIGCONT)
            ended = frozen.ended(30)
            assert ended.code == 3, ended.said
            assert "standing down" in ended.out
            refused = acting.cluster.rejected(woken, namespace=acting.namespace, name="plain")
            patches = [e for e in refused if e.verb == "patch" and "/spec/template" in json.dumps(e.request)]
            assert len(patches) == 1, [(e.verb, e.code) for e in refused]
            assert acting.changes(mark) == 1
            late = events(postgres, url)[len(before) :]
            assert [kind for kind in late if kind.startswith(("step.", "run."))] == []
        assert len(rollbacks(second)) == 1
        assert rollbacks(second)[0]["state"] == "done"
        assert len(incidents(second)) == 1
        assert second.run("audit", "verify").code == 0
        assert took_s < 30


def all_ended(case: Case) -> bool:
    """The loop's last run, the report's, and with it all others."""
    states = {run["runbook"]: run["state"] for run in case.runs()}
    return "incident_report" in states and set(states.values()) == {"done"}


def events(postgres, url: str) -> list[str]:
    """The kinds of all events in the shared record, read from the database itself."""
    return [str(kind) for (kind,) in postgres.execute("SELECT kind FROM codeblue.events ORDER BY seq", url)]


@pytest.mark.req("R1a", "R4")
def test_in_mode_observe_it_only_says_what_it_would_do(case):
    case.settings |= ACT | {"triggers": {"health": {"failures": 3, "mode": "observe"}}}
    case.write_profile()
    case.good_then_bad(replicas=2, health_path=None, fault="health")
    mark = case.cluster.mark()
    with case.daemon() as daemon:
        daemon.until("would roll back (mode observe)", timeout_s=60)
    assert case.changes(mark) == 0
