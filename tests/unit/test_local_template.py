"""Releases of a local service: what identifies them, and whose secret files a template of the past is started with."""

import json
from pathlib import Path

import pytest

from codeblue.adapters.local.template import overlay, parse, read_template, why_not_runnable
from codeblue.model.errors import UsageError


def test_the_order_of_fields_and_the_secret_files_make_no_release() -> None:
    one = read_template({"command": ["api"], "env": {"A": "1", "B": "2"}, "secrets": {"T": "/a"}, "version": "1"})
    two = read_template({"version": "1", "secrets": {"T": "/b"}, "env": {"B": "2", "A": "1"}, "command": ["api"]})
    assert one.release == two.release
    assert one.exact != two.exact
    assert parse(one.body) == one
    assert one.images == ("api",)
    other = read_template({"command": ["api"], "env": {"A": "2", "B": "2"}, "secrets": {"T": "/a"}, "version": "1"})
    assert other.release != one.release


@pytest.mark.defect("D15")
def test_todays_secret_wins_unless_its_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "today").write_text("x")
    today, gone, old = (str(tmp_path / name) for name in ("today", "gone", "old"))
    wanted = read_template({"command": ["api"], "secrets": {"A": old, "B": old, "C": old}, "version": "1"})
    current = read_template({"command": ["api2"], "secrets": {"A": today, "B": gone, "D": today}, "version": "2"})
    result = overlay(wanted, current)
    assert json.loads(result.template.body)["secrets"] == {"A": today, "B": old, "C": old, "D": today}
    assert result.template.release == wanted.release
    assert result.template.version == "1"
    assert len(result.notes) == 4
    assert "does not exist" in next(n for n in result.notes if "secret B" in n)
    assert "no such secret" in next(n for n in result.notes if "secret C" in n)


def test_a_missing_program_or_script_is_told(tmp_path: Path) -> None:
    script = tmp_path / "serve.py"
    template = read_template({"command": ["python3", "-I", str(script), "/not/a/script"]})
    assert str(script) in why_not_runnable(template)
    script.write_text("")
    assert why_not_runnable(template) == ""
    assert "no-such-program" in why_not_runnable(read_template({"command": ["/opt/no-such-program"]}))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "command"),
        ({"command": []}, "command"),
        ({"command": "python3 serve.py"}, "command"),
        ({"command": ["a\0"]}, "command"),
        ({"command": ["a\0"]}, "half of a surrogate pair"),
        ({"command": ["\ud800"]}, "half of a surrogate pair"),
        ({"command": ["a"], "version": "\ud800"}, "version: a text"),
        ({"command": ["a"], "env": {"A": "\udfff"}}, "half of a surrogate pair"),
        ({"command": ["a"], "env": {"\udfff": "a"}}, "half of a surrogate pair"),
        ({"command": ["a"], 1: "a", "image": "x"}, "unknown field '1'"),
        ({"command": ["a"], "env": {"A": 1}}, "env: texts by name"),
        ({"command": ["a"], "env": {"A-B": "1"}}, "env.A-B: not a name"),
        ({"command": ["a"], "env": {"PORT": "1"}}, "env.PORT: the platform sets it"),
        ({"command": ["a"], "secrets": {"A": "token"}}, "secrets.A: not an absolute path"),
        ({"command": ["a"], "secrets": ["A"]}, "secrets: texts by name"),
        ({"command": ["a"], "version": 2}, "version: a text"),
        ({"command": ["a"], "image": "x"}, "unknown field 'image'"),
    ],
)
def test_a_wrong_template_is_refused_with_the_field(raw: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")) as refused:
        read_template(raw)
    assert refused.value.remedy
