"""The help, and what start-up loads."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.program import CODEBLUE, Home, environment, run
from tests.unit.record.test_folds import whole

ROOT = Path(__file__).parents[3]
HEAVY = {
    "pydantic",
    "sqlalchemy",
    "dbos",
    "lightkube",
    "httpx2",
    "httpx",
    "rich",
    "ruamel",
    "psycopg",
    "asyncio",
}


def test_the_rendered_help_is_what_would_be_rendered() -> None:
    script = ROOT / "tools" / "render_help.py"
    answer = subprocess.run([sys.executable, script, "--check"], timeout=60, check=False)
    assert answer.returncode == 0, f"run {script} after a verb was added or its line changed"


def test_help_is_asked_for_in_three_ways(tmp_path: Path) -> None:
    texts = {run(*argv, cwd=tmp_path).out for argv in ((), ("-h",), ("--help",))}
    assert len(texts) == 1
    [text] = texts
    assert "rollback" in text
    assert "\x1b" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_every_verb_has_help(tmp_path: Path) -> None:
    from codeblue.cli.main import VERBS

    for verb in VERBS:
        answer = run(verb, "--help", cwd=tmp_path)
        assert answer.code == 0, answer
        assert "Usage: codeblue" in answer.out


def test_the_version_is_told(tmp_path: Path) -> None:
    from codeblue import __version__

    assert run("--version", cwd=tmp_path).out.strip() == __version__


def test_what_is_no_verb_is_a_usage_error(tmp_path: Path) -> None:
    for argv in (("rollbak",), ("rollback", "--no-such"), ("run", "show"), ("rollback",)):
        answer = run(*argv, cwd=tmp_path)
        assert answer.code == 2, argv
        assert "Traceback" not in answer.err
        assert "Next: " in answer.err


def loaded(*argv: str, cwd: Path) -> set[str]:
    """Names of the top-level modules that the program imported."""
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", CODEBLUE, *argv],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in answer.stderr.splitlines() if "|" in line}
    assert "codeblue" in names
    return names


@pytest.mark.done(11)
def test_help_and_status_load_nothing_heavy(home: Home) -> None:
    home.tell(whole())
    assert home.run("check").code == 0
    assert loaded("status", cwd=home.path).isdisjoint(HEAVY)
    assert loaded("--help", cwd=home.path).isdisjoint(HEAVY | {"cyclopts", "sqlite3"})


@pytest.mark.done(11)
def test_status_of_a_profile_that_was_not_loaded_yet_is_the_same(home: Home) -> None:
    home.tell(whole())
    first = home.run("status", "--json")
    assert home.run("check").code == 0
    second = home.run("status", "--json")
    assert first.document == second.document
