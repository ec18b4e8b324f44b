"""Statuspage: the shared contract against the emulator and in memory, and what only Statuspage has."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from codeblue.adapters.statuspage import Statuspage
from codeblue.model.errors import CodeBlueError, Forbidden, NotFound, Refused, Unreachable
from codeblue.model.secret import Secret
from codeblue.ports.status_page import Entry, Posted, StatusPage
from codeblue.testing.contracts.status_page import INCIDENT, Answer, Messages, StatusPageContract, Way
from codeblue.testing.emulators import statuspage as emulated
from codeblue.testing.emulators.base import Fail
from codeblue.testing.memory_status_page import MemoryPage, MemoryStatusPage

CANARY = "c4n4ry-4p1-k3y"
PAGE = "kctbh9vrtdwd"
NAME = "AI Diagnostics Service Degradation"
LIMIT_S = 1.0


@pytest.fixture
def server() -> Iterator[emulated.Statuspage]:
    with emulated.Statuspage(PAGE, CANARY, "reader", ("c1", "c2")) as emulator:
        yield emulator


def adapter(server: emulated.Statuspage, **changes: object) -> Statuspage:
    how = {"title": NAME, "service": "api", "components": ("c1",), "base": server.api, "timeout_s": LIMIT_S}
    page, key = str(changes.pop("page", PAGE)), str(changes.pop("key", CANARY))
    return Statuspage(page, Secret(key), **{**how, **changes})  # type: ignore[arg-type]


@pytest.fixture
def page(server: emulated.Statuspage) -> Statuspage:
    return adapter(server)


class TestStatuspage(StatusPageContract):
    @pytest.fixture
    def page(self, server: emulated.Statuspage) -> StatusPage:
        return adapter(server)

    @pytest.fixture
    def answer(self, server: emulated.Statuspage) -> Answer:
        def as_said(way: Way) -> None:
            match way:
                case Way.ACCEPT:
                    server.recovers()
                case Way.REFUSE:
                    server.components = ()
                case Way.FORBID:
                    server.key, server.reader = "another", CANARY
                case Way.BUSY:
                    server.fails(Fail.STATUS, status=420)
                case Way.DOWN:
                    server.fails(Fail.DOWN)
                case Way.CUT:
                    server.fails(Fail.CUT, times=1)

        return as_said

    @pytest.fixture
    def entries(self, server: emulated.Statuspage) -> Callable[[], int]:
        return lambda: len(server.incidents)

    @pytest.fixture
    def messages(self, server: emulated.Statuspage) -> Messages:
        def found() -> list[tuple[str, str]]:
            every = [u for i in reversed(server.incidents) for u in reversed(i["incident_updates"])]
            return [(u["status"], u["body"]) for u in every]

        return found


class TestInMemory(StatusPageContract):
    @pytest.fixture
    def memory(self) -> MemoryPage:
        return MemoryPage()

    @pytest.fixture
    def page(self, memory: MemoryPage) -> StatusPage:
        return MemoryStatusPage(memory)

    @pytest.fixture
    def answer(self, memory: MemoryPage) -> Answer:
        def as_said(way: Way) -> None:
            errors: dict[Way, CodeBlueError] = {
                Way.REFUSE: Refused("It refuses.", remedy="Look."),
                Way.FORBID: Forbidden("It forbids.", remedy="Look."),
                Way.BUSY: Unreachable("It is busy."),
                Way.DOWN: Unreachable("It is down."),
            }
            memory.cuts = int(way is Way.CUT)
            memory.fails = [errors[way]] * 3 if way in errors else []

        return as_said

    @pytest.fixture
    def entries(self, memory: MemoryPage) -> Callable[[], int]:
        return lambda: len(memory.entries)

    @pytest.fixture
    def messages(self, memory: MemoryPage) -> Messages:
        return lambda: [(s.value, t) for (_, s), t in zip(memory.told, memory.texts, strict=True)]


@pytest.mark.req("R22")
async def test_the_entry_has_the_document_s_name_and_says_what_is_affected(
    server: emulated.Statuspage, page: Statuspage
) -> None:
    entry = await page.post(INCIDENT, Posted.INVESTIGATING, "We look into it.")
    [shown] = server.incidents
    assert shown["name"] == NAME
    assert shown["metadata"] == {"codeblue": {"incident": INCIDENT, "service": "api"}}
    assert [(c["id"], c["status"]) for c in shown["components"]] == [("c1", "degraded_performance")]
    assert entry.url == shown["shortlink"]
    await page.update(entry, Posted.RESOLVED, "It is over.")
    assert [(c["id"], c["status"]) for c in shown["components"]] == [("c1", "operational")]
    assert server.mails == [(entry.id, "investigating"), (entry.id, "resolved")]


@pytest.mark.defect("D33")
@pytest.mark.parametrize(
    ("change", "error"),
    [({"key": "nobody"}, Forbidden), ({"key": "reader"}, Forbidden), ({"page": "another"}, NotFound),
     ({"components": ("c9",)}, Refused), ({"title": ""}, Refused), ({"impact": "awful"}, Refused)],
)  # fmt: skip
async def test_what_the_page_does_not_take_is_an_error_with_a_remedy(
    server: emulated.Statuspage, change: dict[str, object], error: type[CodeBlueError]
) -> None:
    with pytest.raises(error) as refused:
        await adapter(server, **change).post(INCIDENT, Posted.INVESTIGATING, "x")
    assert refused.value.remedy
    assert server.incidents == []


@pytest.mark.parametrize("status", [408, 420, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_unreachable_with_the_wait_that_was_asked_for(
    server: emulated.Statuspage, page: Statuspage, status: int
) -> None:
    server.fails(Fail.STATUS, status=status, headers={"Retry-After": "42"})
    with pytest.raises(Unreachable) as busy:
        await page.find(INCIDENT)
    assert busy.value.delay_s == 42


@pytest.mark.parametrize("status", [301, 400, 404, 415, 422])
async def test_what_will_not_pass_is_refused(server: emulated.Statuspage, page: Statuspage, status: int) -> None:
    server.fails(Fail.STATUS, status=status, headers={"Location": server.url})
    with pytest.raises(Refused):
        await page.find(INCIDENT)
    assert len(server.log) == 1


async def test_60_requests_a_minute_are_allowed_and_the_next_waits(
    server: emulated.Statuspage, page: Statuspage
) -> None:
    for _ in range(30):
        await page.find(INCIDENT)
    with pytest.raises(Unreachable) as busy:
        await page.find(INCIDENT)
    assert 1 <= busy.value.delay_s <= 60


@pytest.mark.defect("D33")
@pytest.mark.parametrize("how", [Fail.CUT, Fail.CUT_BODY, Fail.HUGE, Fail.ENDLESS, Fail.GARBAGE, Fail.DEEP])
@pytest.mark.parametrize("what", ["post", "update"])
async def test_whatever_comes_back_the_entry_is_found_and_is_one(
    server: emulated.Statuspage, page: Statuspage, how: Fail, what: str
) -> None:
    if what == "update":
        entry = await page.post(INCIDENT, Posted.INVESTIGATING, "x")
        server.fails(how, times=1)
        with pytest.raises(Unreachable):
            await page.update(entry, Posted.MONITORING, "x")
    else:
        server.fails(how, times=1)
        with pytest.raises(Unreachable):
            await page.post(INCIDENT, Posted.MONITORING, "x")
    found = await adapter(server).find(INCIDENT)
    assert found is not None
    assert found.status is Posted.MONITORING
    assert len(server.incidents) == 1


@pytest.mark.parametrize("how", [Fail.HUGE, Fail.ENDLESS, Fail.GARBAGE, Fail.DEEP, Fail.HANG, Fail.CUT_BODY])
async def test_no_answer_makes_an_entry_certainly_absent(
    server: emulated.Statuspage, page: Statuspage, how: Fail
) -> None:
    server.has(NAME, metadata={"codeblue": {"incident": INCIDENT}})
    server.fails(how)
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        await page.find(INCIDENT)
    assert time.monotonic() - begun < LIMIT_S + 1


@pytest.mark.defect("D33")
async def test_an_entry_is_found_behind_hundreds_of_others(server: emulated.Statuspage, page: Statuspage) -> None:
    wanted = server.has(NAME, metadata={"codeblue": {"incident": INCIDENT}}, status="resolved")
    for _ in range(350):
        server.has("of others", metadata={"jira": {"issue": "X"}})
    found = await page.find(INCIDENT)
    assert found is not None
    assert (found.id, found.status) == (wanted, Posted.RESOLVED)
    assert [r.query for r in server.log[1:]] == [f"limit=100&page={n}" for n in range(1, 5)]


async def test_an_unresolved_entry_is_found_at_once_however_much_came_after_it(
    server: emulated.Statuspage, page: Statuspage
) -> None:
    wanted = server.has(NAME, metadata={"codeblue": {"incident": INCIDENT}}, status="monitoring")
    for _ in range(1100):
        server.has("of others")
    found = await page.find(INCIDENT)
    assert found is not None
    assert found.id == wanted
    assert len(server.log) == 1


async def test_the_search_ends_where_entries_are_older_than_the_incident(server: emulated.Statuspage) -> None:
    born = datetime(2026, 1, 5, 3, 15, tzinfo=UTC)
    for _ in range(1100):
        server.has("of others", ago=datetime.now(UTC) - born + timedelta(days=2))
    assert await adapter(server).find(INCIDENT) is None
    assert len(server.log) == 2
    server.incidents.clear()
    for _ in range(1100):
        server.has("of others")
    with pytest.raises(Unreachable, match="more than 1000"):
        await adapter(server).find(INCIDENT)


@pytest.mark.parametrize(
    ("metadata", "status"),
    [({}, "investigating"), ({"codeblue": {}}, "investigating"), ({"codeblue": {"incident": 7}}, "investigating"),
     ({"codeblue": {"incident": INCIDENT}}, "scheduled"), ({"other": {"incident": INCIDENT}}, "investigating")],
)  # fmt: skip
async def test_entries_of_others_are_not_ours(
    server: emulated.Statuspage, page: Statuspage, metadata: dict[str, object], status: str
) -> None:
    server.has(NAME, status=status, metadata=metadata)
    assert await page.find(INCIDENT) is None


async def test_a_published_postmortem_is_a_resolved_entry(server: emulated.Statuspage, page: Statuspage) -> None:
    server.has(NAME, status="postmortem", metadata={"codeblue": {"incident": INCIDENT}})
    found = await page.find(INCIDENT)
    assert found is not None
    assert found.status is Posted.RESOLVED


async def test_an_id_that_is_none_never_becomes_part_of_an_address(
    server: emulated.Statuspage, page: Statuspage
) -> None:
    with pytest.raises(Refused):
        await page.update(Entry("../../x", INCIDENT, Posted.INVESTIGATING), Posted.RESOLVED, "x")
    assert server.log == []


@pytest.mark.parametrize("how", [Fail.DOWN, Fail.CUT, Fail.STATUS, Fail.GARBAGE, None])
async def test_nothing_shows_the_key(
    server: emulated.Statuspage, page: Statuspage, caplog: pytest.LogCaptureFixture, how: Fail | None
) -> None:
    caplog.set_level(logging.DEBUG)
    if how is Fail.STATUS:
        server.fails(how, status=401, text=f'{{"error": "OAuth {CANARY} is unknown"}}')
    elif how is not None:
        server.fails(how)
    try:
        await page.post(INCIDENT, Posted.INVESTIGATING, "x")
    except CodeBlueError as error:
        assert CANARY not in f"{error!r} {error.remedy} {error.__cause__!r} {error.__context__!r}"
        logging.getLogger("codeblue.test").exception("not posted", exc_info=error)
    assert CANARY not in caplog.text + repr(page)
