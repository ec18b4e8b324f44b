"""`codeblue check` as a program: what it warns of."""

import json

from tests.unit.cli.program import PROFILE, Home

PAGES = "pages: {slack_webhook: {env: WEBHOOK}}\n"


def test_the_check_warns_that_nobody_is_paged(home: Home) -> None:
    answer = home.run("check")
    assert answer.code == 0, answer
    assert "! Nobody is paged by this version of Code Blue." in answer.out
    assert "Next: Keep the paging that you have" in answer.out
    assert "not used" not in answer.out
    document = home.run("check", "--json").document
    assert document["ok"] is True
    assert [(w["keys"], w["message"][:16]) for w in document["warnings"]] == [([], "Nobody is paged ")]


def test_what_the_profile_says_in_vain_is_named_in_json_too(home: Home) -> None:
    (home.path / "codeblue.yaml").write_text(PROFILE + PAGES + "triggers: {recent_change: 1h}\n")
    assert "pages in the profile: checked for their form, and not used" in home.run("check").out
    document = home.run("check", "--json").document
    assert [w["keys"] for w in document["warnings"]] == [["pages"], ["triggers.recent_change"]]
    assert all(w["remedy"] for w in document["warnings"])


def test_the_check_of_a_platform_that_is_not_there_warns_as_well(home: Home) -> None:
    answer = home.run("check", "--live", "--json")
    assert answer.code == 3, answer
    assert "Nobody is paged" in answer.document["warnings"][0]["message"]


def test_the_daemon_says_it_before_anything_else(home: Home) -> None:
    words = "WARNING: Nobody is paged by this version of Code Blue."
    assert words in home.run("serve").out.splitlines()[0]
    first = json.loads(home.run("serve", "--json").out.splitlines()[0])
    assert first["sentence"].startswith(words)
