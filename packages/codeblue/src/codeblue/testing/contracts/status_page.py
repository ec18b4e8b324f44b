"""The contract of `ports.status_page.StatusPage`.

A subclass gives the fixtures that raise `NotImplementedError` here. What the public reads is counted at the page itself
(the emulator), never in the adapter.
"""
# ruff: noqa: S101 - a contract suite is made of asserts

from collections.abc import Callable, Sequence
from enum import StrEnum

import pytest

from codeblue.model.errors import Forbidden, Refused, Unreachable
from codeblue.ports.status_page import Posted, StatusPage

INCIDENT = "inc-20260105t031500z-0a1b2c"
OTHER = "inc-20260105t031500z-ffffff"


class Way(StrEnum):
    """How a page answers. CUT: it took what was posted, and the connection ended before its answer."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    FORBID = "forbid"
    BUSY = "busy"
    DOWN = "down"
    CUT = "cut"


Answer = Callable[[Way], None]
#: (status, text) of each message on the page, the oldest first.
Messages = Callable[[], Sequence[tuple[str, str]]]


class StatusPageContract:
    """Subclass it as `class TestX(StatusPageContract)` and give the fixtures that raise `NotImplementedError`."""

    #: The ways of answering that the page has; tests of the others say that they do not apply.
    ways: frozenset[Way] = frozenset(Way)

    @pytest.fixture
    def page(self) -> StatusPage:
        """The adapter under test, of an empty page."""
        raise NotImplementedError

    @pytest.fixture
    def answer(self) -> Answer:
        """How the page answers from now on; it accepts at the start."""
        raise NotImplementedError

    @pytest.fixture
    def entries(self) -> Callable[[], int]:
        """How many entries the page shows."""
        raise NotImplementedError

    @pytest.fixture
    def messages(self) -> Messages:
        """What the public was told."""
        raise NotImplementedError

    def _needs(self, *ways: Way) -> None:
        if not self.ways.issuperset(ways):
            pytest.skip(f"the page has no way to {', '.join(ways)}")

    @pytest.mark.req("R22")
    async def test_an_entry_lives_from_investigating_to_resolved(
        self, page: StatusPage, entries: Callable[[], int], messages: Messages
    ) -> None:
        entry = await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert (entry.incident, entry.status) == (INCIDENT, Posted.INVESTIGATING)
        for status in (Posted.IDENTIFIED, Posted.MONITORING, Posted.RESOLVED):
            updated = await page.update(entry, status, f"It is {status}.")
            assert (updated.id, updated.incident, updated.status) == (entry.id, INCIDENT, status)
        assert entries() == 1
        assert [status for status, _ in messages()] == list(Posted)
        assert messages()[0][1] == "We look into it."

    @pytest.mark.defect("D33")
    async def test_an_entry_is_found_again_by_our_incident(self, page: StatusPage) -> None:
        assert await page.find(INCIDENT) is None
        entry = await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert await page.find(INCIDENT) == entry
        assert await page.find(OTHER) is None
        resolved = await page.update(entry, Posted.RESOLVED, "It is over.")
        assert await page.find(INCIDENT) == resolved, "one that is over is found too"

    async def test_of_several_entries_the_right_one_is_found(self, page: StatusPage) -> None:
        first = await page.post(OTHER, Posted.RESOLVED, "It is over.")
        second = await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert await page.find(OTHER) == first
        assert await page.find(INCIDENT) == second

    async def test_hostile_words_stay_words(self, page: StatusPage, messages: Messages) -> None:
        text = "<script>alert(1)</script> {{7*7}} $(id)"
        await page.post(INCIDENT, Posted.INVESTIGATING, text)
        assert messages()[0][1] == text

    @pytest.mark.defect("D33")
    async def test_a_post_whose_answer_is_lost_is_found_afterwards(
        self, page: StatusPage, answer: Answer, entries: Callable[[], int]
    ) -> None:
        self._needs(Way.CUT)
        answer(Way.CUT)
        with pytest.raises(Unreachable) as lost:
            await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert lost.value.delay_s > 0
        answer(Way.ACCEPT)
        found = await page.find(INCIDENT)
        assert found is not None
        assert found.status is Posted.INVESTIGATING
        assert entries() == 1

    @pytest.mark.parametrize("way", [Way.BUSY, Way.DOWN])
    async def test_a_page_that_is_busy_or_down_is_asked_again_later(
        self, page: StatusPage, answer: Answer, entries: Callable[[], int], way: Way
    ) -> None:
        self._needs(way)
        entry = await page.post(OTHER, Posted.INVESTIGATING, "We look into it.")
        answer(way)
        with pytest.raises(Unreachable) as busy:
            await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert busy.value.delay_s > 0
        with pytest.raises(Unreachable):
            await page.find(INCIDENT)
        with pytest.raises(Unreachable):
            await page.update(entry, Posted.RESOLVED, "It is over.")
        answer(Way.ACCEPT)
        assert await page.find(INCIDENT) is None
        await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert entries() == 2

    @pytest.mark.defect("D33")
    @pytest.mark.parametrize(("way", "error"), [(Way.FORBID, Forbidden), (Way.REFUSE, Refused)])
    async def test_a_refusal_is_an_error_with_a_remedy(
        self, page: StatusPage, answer: Answer, entries: Callable[[], int], way: Way, error: type[Refused]
    ) -> None:
        self._needs(way)
        answer(way)
        with pytest.raises(error) as refused:
            await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
        assert refused.value.remedy
        assert entries() == 0

    async def test_closing_twice_is_fine(self, page: StatusPage) -> None:
        await page.close()
        await page.close()
