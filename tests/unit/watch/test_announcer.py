"""The status page follows the record: on virtual time, with a page that fails, and killed at every point (R22, D33)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.profile.faults import LOCAL

from codeblue.model.errors import CodeBlueError, Forbidden, LeaseLost, Refused, Unreachable
from codeblue.model.event import Draft
from codeblue.ports.status_page import Entry, Posted
from codeblue.profile.load import load_text
from codeblue.record.announcements import fold_announcement
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory_record import MemoryRecord
from codeblue.testing.memory_status_page import MemoryPage, MemoryStatusPage
from codeblue.watch import announcer as announcer_module
from codeblue.watch.announcer import Announcer

INCIDENT = "inc-20260105t031500z-0a1b2c"
RUN = "run-20260105t031600z-0a1b2c"
PAGE = "status_page:\n  page: kctbh9vrtdwd\n  api_key: {env: STATUSPAGE_KEY}\n"
POINTS = ("status_page.intended", "status_page.told", "status_page.recorded")


class Killed(BaseException):
    """The process died here."""


class Town:
    """A record, a page, and the announcer between them, which can be killed and started anew."""

    def __init__(self, profile: str = "") -> None:
        self.clock = VirtualClock()
        self.record = MemoryRecord(self.clock)
        self.page = MemoryPage()
        self.profile = load_text(LOCAL + PAGE + profile)
        self.kill_at = ""
        self.announcer = self.started()

    def started(self) -> Announcer:
        return Announcer(self.record, MemoryStatusPage(self.page), self.profile, self.clock)

    def crashpoint(self, name: str) -> None:
        if name == self.kill_at:
            self.kill_at = ""
            raise Killed

    def event(self, kind: str, *, run: str = "", incident: str = INCIDENT, **data: Any) -> None:
        self.record.append(Draft(kind, "watch", data, run=run, incident=incident))

    def open(self, severity: str = "SEV1", incident: str = INCIDENT, **more: Any) -> None:
        began = self.clock.now().isoformat()
        self.event(
            "incident.opened", incident=incident, severity=severity, trigger="health", why="4 > 3", began=began, **more
        )

    def decide(self, action: str = "rollback", mode: str | None = "act") -> None:
        self.event("incident.decided", action=action, sentence=f"{action}: because", mode=mode)

    def request(self, runbook: str = "quick_rollback", run: str = RUN) -> None:
        steps = [{"id": "s", "title": "S", "limit_s": 1.0}]
        self.event(
            "run.requested", run=run, runbook=runbook, reason="r", deadline_s=300.0, digest="d", inputs={}, steps=steps
        )

    def start(self, runbook: str = "quick_rollback", run: str = RUN) -> None:
        self.request(runbook, run)
        self.event("run.started", run=run, deadline=self.clock.now().isoformat())

    def end(self, state: str = "done", run: str = RUN) -> None:
        code = 0 if state == "done" else 1
        self.event("run.ended", run=run, state=state, exit_code=code, why="w", remedy="")

    def mitigate(self) -> None:
        self.event("incident.mitigated", why="proven healthy")

    async def run(self, seconds: float, every_s: float = 1.0) -> list[str]:
        """The daemon's loop; a killed process is started anew. Returns what it said, without repetitions."""
        said: list[str] = []
        for _ in range(int(seconds / every_s)):
            try:
                sentence = await self.announcer.cycle()
            except Killed:
                self.announcer = self.started()
                sentence = "killed"
            if said[-1:] != [sentence]:
                said.append(sentence)
            self.clock.advance(every_s)
        return said

    @property
    def statuses(self) -> list[str]:
        """What the public was told, in order."""
        return [status.value for _, status in self.page.told]

    @property
    def kinds(self) -> list[str]:
        return [e.kind.removeprefix("status_page.") for e in self.record.events if e.kind.startswith("status_page.")]


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.mark.req("R22")
async def test_the_page_tells_the_whole_life_of_an_incident(town: Town) -> None:
    assert await town.announcer.cycle() == "the status page is up to date"
    for change in (town.open, town.decide, town.start, town.end, town.mitigate):
        change()
        await town.run(2)
    assert town.statuses == ["investigating", "identified", "monitoring", "resolved"]
    assert len(town.page.entries) == 1
    assert town.kinds == ["intended", "posted"] * 4
    wording = town.profile.status_page.wording  # type: ignore[union-attr]
    assert town.page.texts == [wording.investigating, wording.identified, wording.monitoring, wording.resolved]
    view = fold_announcement(town.record.events)
    assert (view.id, view.url, view.posted) == ("e1", "https://status.hospital.org/e1", Posted.RESOLVED)
    asked = len(town.page.asked)
    assert await town.run(600) == ["the status page is up to date"]
    assert len(town.page.asked) == asked, "what is true already is not asked for again"


@pytest.mark.req("R22")
async def test_a_person_who_closes_the_incident_resolves_the_entry(town: Town) -> None:
    town.open()
    await town.run(1)
    town.event("incident.resolved", reason="it was a test")
    await town.run(1)
    assert town.statuses == ["investigating", "resolved"]


@pytest.mark.req("R22")
@pytest.mark.parametrize("mode", ["act", "ask", "observe", None])
@pytest.mark.parametrize("action", ["rollback", "replace_pod", "disable_flags", "freeze", "page_only"])
async def test_a_decision_from_which_nothing_follows_is_no_restoration(
    town: Town, action: str, mode: str | None
) -> None:
    town.open()
    town.decide(action, mode)
    await town.run(3)
    assert town.statuses == ["investigating"]


@pytest.mark.req("R22")
async def test_what_waits_for_an_approval_is_not_under_way(town: Town) -> None:
    town.open()
    town.decide(mode="ask")
    town.request()
    town.event("run.waiting", run=RUN, digest="d", until=1800.0)
    await town.run(2)
    assert town.statuses == ["investigating"]
    town.event("run.approved", run=RUN, digest="d")
    town.event("run.started", run=RUN, deadline=town.clock.now().isoformat())
    await town.run(2)
    assert town.statuses == ["investigating", "identified"]


async def test_a_person_s_rollback_is_one_too_and_reading_is_none(town: Town) -> None:
    town.open()
    town.start("recovery", run="run-20260105t031600z-ffffff")
    town.end(run="run-20260105t031600z-ffffff")
    town.request()
    await town.run(1)
    assert town.statuses == ["investigating"], "requested is not begun"
    town.event("run.started", run=RUN, deadline=town.clock.now().isoformat())
    await town.run(1)
    town.end("failed")
    await town.run(1)
    assert town.statuses == ["investigating", "identified"], "a rollback that failed restored nothing"


async def test_a_status_never_goes_back(town: Town) -> None:
    town.open()
    town.start()
    town.end()
    await town.run(1)
    town.decide("page_only")
    town.start(run="run-20260105t031700z-ffffff")
    town.end("failed", run="run-20260105t031700z-ffffff")
    await town.run(5)
    assert town.statuses == ["monitoring"]


@pytest.mark.parametrize(
    ("severity", "profile", "told"),
    [("SEV1", "", True), ("SEV2", "", True), ("SEV3", "", False), ("SEV4", "", False),
     ("SEV3", "  severities: [SEV3]\n", True), ("SEV1", "  severities: [SEV3]\n", False)],
)  # fmt: skip
async def test_only_incidents_that_the_profile_calls_public(severity: str, profile: str, told: bool) -> None:
    town = Town(profile)
    town.open(severity)
    await town.run(2)
    assert bool(town.page.entries) is told


async def test_an_incident_that_turns_out_worse_is_told_and_one_that_turns_out_better_is_not_left_open(
    town: Town,
) -> None:
    town.open("SEV3")
    await town.run(1)
    assert town.statuses == []
    town.event("incident.severity", severity="SEV2")
    await town.run(1)
    assert town.statuses == ["investigating"]
    town.event("incident.severity", severity="SEV4")
    town.mitigate()
    await town.run(1)
    assert town.statuses == ["investigating", "resolved"]


@pytest.mark.req("R22")
async def test_of_a_drill_the_public_reads_nothing(town: Town) -> None:
    town.open(drill=True)
    for change in (town.decide, town.start, town.end, town.mitigate):
        change()
        assert await town.run(2) == ["the status page is up to date"]
    assert (town.page.asked, town.kinds) == ([], [])
    other = Town()
    other.open(drill="no")
    await other.run(1)
    assert other.statuses == ["investigating"]


@pytest.mark.defect("D33")
@pytest.mark.req("R22", "B3")
@pytest.mark.parametrize("at", ["investigating", "identified", "monitoring", "resolved"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_every_point_makes_no_second_entry_and_no_second_message(
    town: Town, monkeypatch: pytest.MonkeyPatch, point: str, at: str
) -> None:
    monkeypatch.setattr(announcer_module, "crashpoint", town.crashpoint)
    changes = {"investigating": [town.open], "identified": [town.decide, town.start], "monitoring": [town.end],
               "resolved": [town.mitigate]}  # fmt: skip
    for status, some in changes.items():
        for change in some:
            change()
        town.kill_at = point if status == at else ""
        said = await town.run(3)
        assert ("killed" in said) == (status == at)
    assert len(town.page.entries) == 1
    assert town.statuses == ["investigating", "identified", "monitoring", "resolved"]
    assert town.kinds.count("intended") == 4
    assert fold_announcement(town.record.events).posted is Posted.RESOLVED


@pytest.mark.defect("D33")
@pytest.mark.parametrize("cuts", [1, 2, 3])
async def test_lost_answers_make_no_second_entry(town: Town, cuts: int) -> None:
    town.page.cuts = cuts
    for change in (town.open, town.start, town.mitigate):
        change()
        await town.run(120)
    assert len(town.page.entries) == 1
    assert town.statuses == ["investigating", "identified", "resolved"]


@pytest.mark.done("4.5")
@pytest.mark.req("R22")
async def test_a_page_that_is_down_for_five_minutes_is_told_once_when_it_is_back(town: Town) -> None:
    down = Unreachable("The status page: no connection.", delay_s=1.0)
    town.page.fails = [down] * 1000
    town.open()
    said = await town.run(150)
    town.decide()
    town.start()
    said += await town.run(150)
    assert 8 <= len(town.page.asked) <= 12, "with a back-off, and without end"
    assert all("does not read" in s and "no connection; next attempt at" in s for s in said)
    assert said[0].endswith("at 03:15:05 UTC")
    assert len(said) <= len(town.page.asked) + 1, "said once for each attempt, and not in every cycle"
    town.page.fails.clear()
    await town.run(60)
    assert town.statuses == ["identified"], "the latest is told, and not what was true meanwhile"
    assert town.kinds == ["intended", "unreachable", "intended", "unreachable", "posted"], "recorded once a change"
    view = fold_announcement(town.record.events[:-1])
    assert (view.unreachable, view.unreachable_why) == (Posted.IDENTIFIED, "The status page: no connection.")
    assert fold_announcement(town.record.events).unreachable is None
    town.mitigate()
    await town.run(2)
    assert town.statuses == ["identified", "resolved"]


async def test_a_page_that_was_down_all_the_time_has_the_entry_afterwards(town: Town) -> None:
    town.page.fails = [Unreachable("It is down.")] * 3
    town.open()
    await town.run(2)
    town.mitigate()
    await town.run(120)
    assert town.statuses == ["resolved"]
    assert len(town.page.entries) == 1


async def test_a_wait_that_the_page_asks_for_is_kept(town: Town) -> None:
    town.page.fails = [Unreachable("The status page asks us to be slower (420).", delay_s=42.0)]
    town.open()
    said = await town.run(42)
    assert said[0].endswith("slower (420); next attempt at 03:15:42 UTC")
    assert town.page.asked == ["find"]
    await town.run(1)
    assert town.statuses == ["investigating"]


@pytest.mark.parametrize(
    "error",
    [Forbidden("Our key is not accepted.", remedy="Look at it."), Refused("It is wrong.", remedy="Look at it.")],
)
async def test_a_refusal_is_recorded_once_said_and_tried_anew_later(town: Town, error: CodeBlueError) -> None:
    town.page.fails = [error, error]
    town.open()
    said = await town.run(1)
    assert "Look at it" in said[0]
    assert "next attempt at 03:20:00 UTC" in said[0]
    await town.run(600)
    assert town.kinds == ["intended", "refused", "posted"]
    assert town.statuses == ["investigating"]
    assert fold_announcement(town.record.events).refused == ((Posted.INVESTIGATING, error.message),)


async def test_a_lease_that_does_not_answer_holds_up_no_word_for_long(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer_module, "MAY_S", 0.01)

    async def never() -> None:
        await asyncio.Event().wait()

    town.announcer._fence = never
    town.open()
    await town.announcer.cycle()
    assert town.statuses == ["investigating"]


@pytest.mark.parametrize("defect", [KeyError("id"), IndexError("x"), LookupError("x")])
async def test_a_defect_of_the_adapter_is_no_entry_that_a_person_removed(town: Town, defect: LookupError) -> None:
    town.open()
    await town.run(1)
    town.start()
    town.page.fails = [defect] * 9  # type: ignore[list-item]
    for _ in range(4):
        with pytest.raises(type(defect)):
            await town.announcer.cycle()
        town.clock.advance(120)
    assert "abandoned" not in town.kinds


@pytest.mark.defect("D33")
async def test_an_entry_of_another_process_or_of_before_is_taken_over(town: Town) -> None:
    town.page.entries["x7"] = Entry("x7", INCIDENT, Posted.INVESTIGATING)
    town.open()
    await town.run(2)
    assert town.statuses == [], "it says so already"
    town.start()
    await town.run(2)
    assert list(town.page.entries) == ["x7"]
    assert town.statuses == ["identified"]


async def test_a_person_who_was_faster_on_the_page_is_believed(town: Town) -> None:
    town.open()
    await town.run(1)
    town.page.entries["e1"] = Entry("e1", INCIDENT, Posted.RESOLVED)
    town.start()
    await town.run(2)
    town.mitigate()
    await town.run(2)
    assert town.statuses == ["investigating"]
    assert fold_announcement(town.record.events).posted is Posted.RESOLVED


async def test_an_entry_that_a_person_removed_is_not_made_again(town: Town) -> None:
    town.open()
    await town.run(1)
    town.page.entries.clear()
    town.start()
    said = await town.run(200)
    assert said[-2].endswith("a person removed it; nothing more is posted")
    assert town.page.asked.count("find") == 4, "one look is not enough: a page can be slow to show what it has"
    town.mitigate()
    town.announcer = town.started()
    await town.run(10)
    assert town.page.entries == {}
    assert town.kinds[-1] == "abandoned"


async def test_an_entry_that_is_only_slow_to_show_is_found(town: Town) -> None:
    town.open()
    await town.run(1)
    kept = dict(town.page.entries)
    town.page.entries.clear()
    town.start()
    await town.run(10)
    town.page.entries.update(kept)
    await town.run(120)
    assert town.statuses == ["investigating", "identified"]
    assert len(town.page.entries) == 1


async def test_the_mode_observe_tells_nothing_and_says_what_it_would_tell() -> None:
    town = Town("  mode: observe\n")
    town.open()
    assert await town.run(3) == [
        f"{INCIDENT}: would tell the public investigating (status_page.mode observe): nothing was posted"
    ]
    for change in (town.decide, town.start, town.end, town.mitigate):
        change()
        await town.run(2)
    assert town.page.asked == []
    assert town.kinds == ["observed"] * 4


async def test_what_was_over_before_there_was_a_status_page_is_not_told(town: Town) -> None:
    town.open()
    town.start()
    town.mitigate()
    assert await town.run(3) == ["the status page is up to date"]
    assert town.page.asked == []


async def test_two_incidents_have_two_entries_and_one_that_waits_does_not_hold_up_the_other(town: Town) -> None:
    other = "inc-20260105t041500z-ffffff"
    town.page.fails = [Refused("It is wrong.", remedy="Look.")]
    town.open()
    town.open(incident=other)
    await town.run(2)
    assert [e.incident for e in town.page.entries.values()] == [other]
    await town.run(310)
    assert {e.incident for e in town.page.entries.values()} == {INCIDENT, other}


async def test_a_record_that_cannot_be_written_lets_nothing_out(town: Town) -> None:
    town.open()
    town.record.refuses.add("status_page.intended")
    with pytest.raises(Unreachable):
        await town.announcer.cycle()
    assert town.page.asked == []
    town.record.refuses = {"status_page.posted"}
    with pytest.raises(Unreachable):
        await town.announcer.cycle()
    town.record.refuses.clear()
    await town.run(2)
    assert town.statuses == ["investigating"]
    assert len(town.page.entries) == 1


async def test_whoever_lost_the_lease_tells_the_public_nothing(town: Town) -> None:
    async def lost() -> None:
        raise LeaseLost("Another one acts.")

    async def unknown() -> None:
        raise Unreachable("The platform does not answer.")

    town.open()
    announcer = Announcer(town.record, MemoryStatusPage(town.page), town.profile, town.clock, lost)
    with pytest.raises(LeaseLost):
        await announcer.cycle()
    assert town.statuses == []
    announcer = Announcer(town.record, MemoryStatusPage(town.page), town.profile, town.clock, unknown)
    await announcer.cycle()
    assert town.statuses == ["investigating"], "what is unknown is no loss"


async def test_a_jump_of_the_clock_changes_nothing(town: Town) -> None:
    town.page.fails = [Unreachable("It is down.", delay_s=30.0)]
    town.open()
    await town.run(10)
    town.clock.jump(timedelta(hours=-2))
    await town.run(15)
    assert town.page.asked == ["find"]
    await town.run(10)
    assert town.statuses == ["investigating"]


def test_without_a_status_page_in_the_profile_there_is_no_announcer(town: Town) -> None:
    with pytest.raises(ValueError, match="no status page"):
        Announcer(town.record, MemoryStatusPage(town.page), load_text(LOCAL), town.clock)


CHANGES = ("decide", "start", "end", "fail", "mitigate", "close", "kill", "cut", "down", "wait")


@pytest.mark.req("R22", "B3")
@settings(deadline=None)
@given(st.lists(st.sampled_from(CHANGES), max_size=14), st.sampled_from(POINTS))
async def test_whatever_happens_there_is_one_entry_that_only_moves_forward_and_ends_true(
    changes: list[str], point: str
) -> None:
    town = Town()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(announcer_module, "crashpoint", town.crashpoint)
        town.open()
        await town.run(1)
        for n, change in enumerate(changes):
            run = f"run-20260105t0316{n:02d}z-0a1b2c"
            match change:
                case "decide":
                    town.decide()
                case "start":
                    town.start(run=run)
                case "end" | "fail":
                    town.start(run=run)
                    town.end("done" if change == "end" else "failed", run=run)
                case "mitigate":
                    town.mitigate()
                case "close":
                    town.event("incident.resolved", reason="enough")
                case "kill":
                    town.kill_at = point
                case "cut":
                    town.page.cuts += 1
                case "down":
                    town.page.fails = [Unreachable("It is down.")] * 2
            await town.run(3)
        town.mitigate()
        await town.run(400)
    order = [list(Posted).index(Posted(s)) for s in town.statuses]
    assert order == sorted(set(order)), "each at most once, in their order"
    assert town.statuses[-1] == "resolved"
    assert len(town.page.entries) == 1
