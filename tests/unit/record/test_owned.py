"""A record belongs to one target (B3): whoever acts first claims it, and nobody else acts by it."""

import pytest

from codeblue.adapters.record.owned import OwnedRecord
from codeblue.model.errors import Damaged, ExitCode, Refused
from codeblue.model.event import Draft, Event
from codeblue.model.target import Target
from codeblue.record.chain import broken_at
from codeblue.record.claims import ADOPTED, CLAIMED
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory_record import MemoryRecord

PROD = Target("kubernetes", "prod", "ai/api", ("a",))
STAGING = Target("kubernetes", "staging", "ai/api", ("b",))


@pytest.fixture
def store() -> MemoryRecord:
    return MemoryRecord(VirtualClock())


def opened(store: MemoryRecord, target: Target, *, acts: bool = True) -> OwnedRecord:
    return OwnedRecord(store, target, place="/state/record.db", acts=acts)


def event(n: int = 1) -> Draft:
    return Draft("run.noted", "person:ada", {"n": n})


def kinds(store: MemoryRecord) -> list[str]:
    return [e.kind for e in store.events]


@pytest.mark.req("B3")
@pytest.mark.defect("D55")
def test_the_first_event_of_whoever_acts_claims_the_record_and_others_are_refused(store: MemoryRecord) -> None:
    prod = opened(store, PROD)
    assert kinds(store) == [], "opening claims nothing"
    prod.append(event())
    prod.append(event())
    assert kinds(store) == [CLAIMED, "run.noted", "run.noted"]
    assert store.events[0].data == PROD.plain()
    assert store.events[0].actor == "person:ada"
    assert broken_at(store.events) is None
    for acts in (True, False):
        with pytest.raises(Refused, match="belongs to another target: Deployment ai/api, context prod") as caught:
            opened(store, STAGING, acts=acts)
        assert "context staging" in caught.value.message
        assert "/state/record.db" in caught.value.message
        assert "codeblue audit adopt" in caught.value.remedy
        assert caught.value.exit_code is ExitCode.REFUSED
    opened(store, PROD).append(event())
    assert kinds(store).count(CLAIMED) == 1


def test_the_same_name_in_another_cluster_is_said_as_such(store: MemoryRecord) -> None:
    opened(store, Target("kubernetes", "default", "ai/api", ("a",))).append(event())
    with pytest.raises(Refused, match="in another cluster"):
        opened(store, Target("kubernetes", "default", "ai/api", ("b",)))


def test_an_older_record_is_adopted_by_whoever_acts_with_it_and_not_by_whoever_looks(store: MemoryRecord) -> None:
    store.append(event())
    opened(store, STAGING, acts=False).append(event())
    assert kinds(store) == ["run.noted", "run.noted"]
    opened(store, PROD).append(event())
    assert kinds(store)[2:] == [CLAIMED, "run.noted"]
    with pytest.raises(Refused):
        opened(store, STAGING)


@pytest.mark.req("B3")
def test_of_two_that_come_at_the_same_moment_one_acts(store: MemoryRecord) -> None:
    prod, staging, looking = opened(store, PROD), opened(store, STAGING), opened(store, STAGING, acts=False)
    prod.append(event(1))
    for late in (staging, looking):
        with pytest.raises(Refused):
            late.append(event(2))
    assert [e.data.get("n") for e in store.events if e.kind == "run.noted"] == [1]


class Raced(MemoryRecord):
    """The other target's claim is stored right before the one that is just being made."""

    def append(self, draft: Draft) -> Event:
        if draft.kind == CLAIMED and not self.events:
            super().append(Draft(CLAIMED, "watch", PROD.plain()))
        return super().append(draft)


@pytest.mark.req("B3")
def test_of_two_claims_the_first_counts_for_both() -> None:
    """Both saw a record of nobody's; the chain has one order."""
    raced = Raced(VirtualClock())
    with pytest.raises(Refused, match="belongs to another target: Deployment ai/api, context prod"):
        opened(raced, STAGING).append(event())
    assert kinds(raced) == [CLAIMED, CLAIMED], "nothing follows the claim that came too late"
    opened(raced, PROD).append(event())
    with pytest.raises(Refused):
        opened(raced, STAGING)


def test_a_target_that_a_person_adopted_is_no_other(store: MemoryRecord) -> None:
    opened(store, PROD).append(event())
    renamed = Target("kubernetes", "prod-eu", "ai/api", ("a",))
    with pytest.raises(Refused):
        opened(store, renamed)
    store.append(Draft(ADOPTED, "person:ada", {**renamed.plain(), "reason": "renamed"}))
    opened(store, renamed).append(event())
    opened(store, PROD).append(event())
    with pytest.raises(Refused, match="context prod\\."):
        opened(store, STAGING)


def test_a_claim_that_cannot_be_read_is_damage(store: MemoryRecord) -> None:
    store.append(Draft(CLAIMED, "watch", {"kind": "kubernetes"}))
    with pytest.raises(Damaged, match=r"event 1 \(record\.claimed\) lacks 'where'"):
        opened(store, PROD)
