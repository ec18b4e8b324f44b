"""Keeping the triggers quiet by hand, for a time that ends by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.cli.program import Home
from tests.unit.cli.test_incident_verbs import ME, failed

from codeblue.record.inhibitions import INHIBITION_KINDS, fold_inhibitions


@pytest.mark.req("R1b")
def test_it_begins_with_a_reason_and_an_expiry_and_ends_by_hand(home: Home) -> None:
    home.tell(failed())
    answer = home.run("inhibit", "begin", "--for", "30m", "--reason", "a load test", "--json")
    assert answer.code == 0, answer
    [held] = fold_inhibitions(home.record().read(kinds=INHIBITION_KINDS))
    assert (held.kind, held.why, held.by) == ("declared", "a load test", ME)
    assert abs(held.expires - datetime.now(UTC) - timedelta(minutes=30)) < timedelta(minutes=1)
    assert answer.document["expires"] == held.expires.isoformat()
    assert home.run("inhibit", "end").code == 0
    assert fold_inhibitions(home.record().read(kinds=INHIBITION_KINDS)) == ()
    again = home.run("inhibit", "end")
    assert (again.code, "Nobody inhibits" in again.err) == (3, True)


@pytest.mark.parametrize("time", ["30", "0s", "25h", "soon", "-1m", "1e9h"])
def test_a_time_that_is_none_is_refused(home: Home, time: str) -> None:
    home.tell(failed())
    before = len(home.record().read())
    answer = home.run("inhibit", "begin", "--for", time, "--reason", "r")
    assert answer.code == 2, answer
    assert "Nothing was changed." in answer.err or "--for" in answer.err
    assert len(home.record().read()) == before


def test_without_a_record_or_a_reason_nothing_is_inhibited(home: Home) -> None:
    assert home.run("inhibit", "begin", "--for", "5m").code == 2
    answer = home.run("inhibit", "begin", "--for", "5m", "--reason", "r")
    assert (answer.code, "there is no record" in answer.err) == (3, True)
