"""Where a rollback goes (B2, D23), and how long a release has been healthy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeblue.model.release import Mark, Revision, Standing, Template
from codeblue.rules.known_good import Soak, choose
from codeblue.testing.memory_cluster import memory_template

AT = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
GOOD = Mark(Standing.KNOWN_GOOD, AT, "watch", "healthy for 600 s ≥ 600 s")
BAD = Mark(Standing.BAD, AT, "run-1", "rolled back from by run-1")


def history(*versions: str) -> list[Revision]:
    """Revisions of these versions, oldest first; the last one is in force."""
    count = len(versions)
    return [Revision(n, memory_template(v), current=n == count) for n, v in enumerate(versions, 1)]


def marks(**standings: Mark) -> dict[str, Mark]:
    return {memory_template(v).release: m for v, m in standings.items()}


def chosen(revisions: list[Revision], known: dict[str, Mark], current: Template | None = None) -> str | None:
    choice = choose(revisions, known, current or revisions[-1].template)
    return choice.revision.template.version if choice.revision else None


@pytest.mark.req("B2", "R11")
@pytest.mark.defect("D23")
def test_good_bad1_bad2_goes_to_good_and_not_to_the_previous_one() -> None:
    revisions = history("good", "bad1", "bad2")
    assert chosen(revisions, marks(good=GOOD, bad1=BAD)) == "good"
    assert chosen(revisions, marks(good=GOOD)) == "good"  # bad1 never soaked


@pytest.mark.req("B2")
def test_the_newest_known_good_one_is_chosen_whatever_the_order_of_the_list() -> None:
    revisions = history("a", "b", "c", "d")
    known = marks(a=GOOD, b=GOOD, c=GOOD)
    assert chosen(revisions, known) == "c"
    assert chosen(revisions[::-1], known, revisions[-1].template) == "c"


@pytest.mark.req("B2")
@pytest.mark.defect("D23")
def test_everything_that_was_passed_over_has_its_reason() -> None:
    revisions = history("unproven", "bad", "gone", "current")
    revisions[2] = replace(revisions[2], runnable=False, why_not="the image is gone")
    choice = choose(revisions, marks(bad=BAD, gone=GOOD), revisions[-1].template)
    assert choice.revision is None
    assert choice.because == "there is no other known-good release in its history of 4"
    assert [line.split(": ", 1)[1] for line in choice.passed_over] == [
        "known-good, but it cannot start: the image is gone",
        "bad since 2026-01-05 03:00 UTC (rolled back from by run-1)",
        "unproven, it never soaked healthy",
    ]
    assert [line.split(",")[0] for line in choice.passed_over] == ["revision 3", "revision 2", "revision 1"]


def test_a_target_of_which_nothing_is_known_is_a_candidate() -> None:
    assert chosen(history("a", "b"), marks(a=GOOD)) == "a"


@pytest.mark.req("B2")
@pytest.mark.defect("D15")
def test_a_restart_of_the_current_release_is_no_target() -> None:
    """A rotated secret makes a revision of its own, with the same release: going back there changes nothing."""
    revisions = history("good", "bad")
    rotated = Revision(3, memory_template("bad", reference="token-b"), current=True)
    revisions[1] = replace(revisions[1], current=False)
    choice = choose([*revisions, rotated], marks(good=GOOD, bad=GOOD), rotated.template)
    assert choice.revision is not None
    assert choice.revision.template.version == "good"
    assert "the same release as the current one" in choice.passed_over[0]


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([GOOD, BAD])),
)
def test_a_target_is_always_known_good_and_another_release(versions: list[str], known: dict[str, Mark]) -> None:
    revisions = history(*versions)
    target = chosen(revisions, marks(**known))
    candidates = [v for v in versions if known.get(v) is GOOD and v != versions[-1]]
    assert target == (candidates[-1] if candidates else None)


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def soaked(*looks: tuple[float, bool | None], release: str = "r1", soak: Soak | None = None) -> Soak:
    """Looks at these seconds; two that are more than 25 s apart say nothing about the time between them."""
    soak = soak or Soak()
    for seconds, healthy in looks:
        soak = soak.advance(release, healthy, at(seconds), gap_s=25)
    return soak


@pytest.mark.req("B2", "B5")
def test_the_soak_grows_breaks_and_begins_anew() -> None:
    assert Soak().seconds == 0
    assert soaked((0, True)).seconds == 0
    assert soaked((0, True), (10, True), (30, True)).seconds == 30
    for break_ in (False, None):
        broken = soaked((0, True), (10, True), (20, break_))
        assert broken.seconds == 0
        assert soaked((30, True), (40, True), soak=broken).seconds == 10


@pytest.mark.req("B2")
def test_another_release_soaks_from_its_own_beginning() -> None:
    soak = soaked((20, True), (30, True), release="r2", soak=soaked((0, True), (10, True)))
    assert soak.seconds == 10


@pytest.mark.req("B2", "B5")
def test_time_in_which_nobody_looked_is_no_soak() -> None:
    assert soaked((0, True), (25, True)).seconds == 25
    assert soaked((0, True), (25.001, True)).seconds == 0
    assert soaked((0, True), (3600, True), (3610, True)).seconds == 10
