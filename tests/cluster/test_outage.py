"""The API server goes away in the middle of a rollback: no success is claimed blindly, it ends in time (R11)."""

import signal
import time

import pytest
from testbed.cluster import wait_until
from tests.cluster.support import ROLLBACK_S, Case

pytestmark = pytest.mark.cluster


def sampled(command, seconds: float) -> None:
    """For so many seconds the command has not ended well; that it waits is what it should do."""
    until = time.monotonic() + seconds

    def over() -> bool:
        assert command.process.poll() != 0, "it claimed success while nobody could look"
        return time.monotonic() > until

    wait_until("the outage to pass", over, timeout_s=seconds + 5)


def judge(case: Case, ended, before: int) -> None:
    """The verdict agrees with the cluster.

    The audit log cannot count here: of a patch whose client gave up waiting it says 504, although it was accepted. The
    generation is the server's own count of changes of the specification.
    """
    assert case.generation == before + 1
    if ended.code == 0:
        case.assert_runs("good")
    else:
        assert ended.code == 1, ended.said
        assert ended.document["state"] == "failed"


@pytest.mark.done(5)
@pytest.mark.req("R11", "B5")
@pytest.mark.defect("D11")
def test_frozen_for_a_minute_in_the_middle_of_the_rollout(case):
    case.good_then_bad()
    before = case.generation
    command = case.start("rollback", "--reason", "a test", "--yes", "--json")
    wait_until("the change", lambda: case.generation > before)
    with case.cluster.api_outage("stop"):
        sampled(command, 60.0)
    ended = command.ended(ROLLBACK_S)
    assert ended.seconds < ROLLBACK_S
    assert ended.code == 0, ended.said
    judge(case, ended, before)


@pytest.mark.done(5)
@pytest.mark.req("R11", "B3")
@pytest.mark.parametrize("kind", ["stop", "refuse"])
def test_gone_between_the_intent_and_the_patch(case, kind):
    """Whether the patch was accepted cannot be known until somebody answers again; it is not sent twice. Who begins
    meanwhile is told, with exit code 4, that nothing was changed."""
    case.good_then_bad()
    before = case.generation
    command = case.start("rollback", "--reason", "a test", "--yes", "--json", CODEBLUE_FREEZE_AT="template.intended")
    wait_until("the intent", command.stopped, timeout_s=30)
    with case.cluster.api_outage(kind):
        command.signal(signal.SIGCONT)
        other = case.sibling("other").rollback(timeout_s=40)
        assert other.code == 4, other.said
        assert "Nothing was changed" in other.document["message"]
        assert other.document["remedy"]
        sampled(command, 5.0)
    ended = command.ended(ROLLBACK_S)
    assert ended.code == 0, ended.said
    judge(case, ended, before)
