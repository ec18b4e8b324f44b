"""`codeblue check` as a program: what it warns of."""

import json

import pytest
from tests.unit.cli.program import PROFILE, Home

PAGES = "pages: {slack_webhook: {env: WEBHOOK}}\n"


@pytest.mark.req("R3")
@pytest.mark.defect("D21")
def test_a_channel_without_people_is_an_error_with_its_line(home: Home) -> None:
    (home.path / "codeblue.yaml").write_text(PROFILE + PAGES)
    answer = home.run("check")
    assert answer.code == 2
    assert "codeblue.yaml:6:1: pages: a level reaches nobody: 9 of the people who are to be paged" in answer.err
    assert "Remedy: add contacts.on_call with name and phone" in answer.err


def test_the_problems_of_a_profile_are_apart_for_programs(home: Home) -> None:
    file = home.path / "codeblue.yaml"
    file.write_text(PROFILE + "health: {interval: 10, timeout: x}\n")
    answer = home.run("check", "--json")
    document = answer.document
    assert (answer.code, document["schema"], document["exit_code"]) == (2, "codeblue/error/1", 2)
    assert document["message"] == "codeblue.yaml: 2 problems, each with its remedy."
    assert document["remedy"]
    assert document["problems_count"] == 2
    assert [(p["line"], p["column"], p["key"]) for p in document["problems"]] == [
        (6, 20, "health.interval"),
        (6, 33, "health.timeout"),
    ]
    assert all(p["message"] and p["remedy"] for p in document["problems"])
    people = home.run("check").err
    assert all(p["message"] in people and p["remedy"] in people for p in document["problems"])
    file.write_text(PROFILE + "health: {interval: 10}\n")
    document = home.run("check", "--json").document
    assert document["message"].startswith("codeblue.yaml:6:20: health.interval: a number without a unit")
    assert document["remedy"].startswith("write a number with its unit")


def test_the_check_warns_that_nobody_is_paged(home: Home) -> None:
    answer = home.run("check")
    assert answer.code == 0, answer
    assert "! Nobody is paged: the profile has no channel (pages)." in answer.out
    assert "Next: Add a channel to pages and try it with `codeblue page test`" in answer.out
    assert "not used" not in answer.out
    document = home.run("check", "--json").document
    assert document["ok"] is True
    assert [(w["keys"], w["message"][:15]) for w in document["warnings"]] == [([], "Nobody is paged")]


def test_what_the_profile_says_in_vain_is_named_in_json_too(home: Home) -> None:
    (home.path / "codeblue.yaml").write_text(PROFILE + "contacts: {}\n")
    assert "contacts in the profile: checked for their form, and not used" in home.run("check").out
    document = home.run("check", "--json").document
    assert [w["keys"] for w in document["warnings"]] == [["contacts"]]
    assert all(w["remedy"] for w in document["warnings"])


def test_the_check_of_a_platform_that_is_not_there_warns_as_well(home: Home) -> None:
    answer = home.run("check", "--live", "--json")
    assert answer.code == 3, answer
    assert "Nobody is paged" in answer.document["warnings"][0]["message"]


def test_the_daemon_says_it_before_anything_else(home: Home) -> None:
    words = "WARNING: Nobody is paged: the profile has no channel (pages)."
    assert words in home.run("serve").out.splitlines()[0]
    first = json.loads(home.run("serve", "--json").out.splitlines()[0])
    assert first["sentence"].startswith(words)
