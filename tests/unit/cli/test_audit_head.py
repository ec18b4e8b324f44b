"""What a chain cannot show by itself: that its end was cut off. A head that was kept elsewhere shows it (B8)."""

import pytest
from tests.unit.cli.program import Home
from tests.unit.cli.test_damaged_record import execute
from tests.unit.record.test_folds import whole


@pytest.mark.req("B8")
def test_a_record_whose_end_was_cut_off_is_found_by_an_earlier_head(home: Home) -> None:
    home.tell(whole())
    head = home.run("audit", "verify", "--json").document["head"]
    home.tell(whole())
    answer = home.run("audit", "verify", "--head", head.upper())
    assert answer.code == 0, answer
    assert "The head that you gave is that of event 12: nothing up to there was cut off" in answer.out
    execute(home, "DELETE FROM events WHERE seq > 11")

    answer = home.run("audit", "verify")
    assert answer.code == 0
    assert "Whole: 11 events, head " in answer.out
    assert (
        "Whether events were cut off the end, or all of it was written anew, a chain alone does not show." in answer.out
    )
    answer = home.run("audit", "verify", "--head", head)
    assert answer.code == 1
    assert answer.out.startswith(
        f"NOT THE SAME RECORD: its 11 events are chained, but none of them has the head {head}."
    )
    document = home.run("audit", "verify", "--head", head, "--json").document
    assert (document["broken"], document["earlier"]) == (None, {"head": head, "event": None})


def test_the_head_that_a_report_names_is_one_of_the_chain(home: Home) -> None:
    story = whole()
    home.tell(story)
    report = home.run("incident", "show", story.events[0].incident).out
    head = report.rsplit("head `", 1)[1].split("`")[0]
    assert home.run("audit", "verify", "--head", head).code == 0


@pytest.mark.parametrize("head", ["abc", "g" * 64, "0" * 63])
def test_what_cannot_be_a_head_is_refused(home: Home, head: str) -> None:
    home.tell(whole())
    answer = home.run("audit", "verify", "--head", head)
    assert answer.code == 2
    assert "--head is not 64 hexadecimal digits" in answer.err


def test_an_empty_record_does_not_hold_an_earlier_head(home: Home) -> None:
    home.record().close()
    assert home.run("audit", "verify", "--head", "a" * 64).code == 1
