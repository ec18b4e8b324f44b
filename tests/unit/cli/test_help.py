"""The help, and what start-up loads."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App
from tests.unit.cli.program import CODEBLUE, Home, environment, run
from tests.unit.record.test_folds import whole

from codeblue.cli.main import VERBS

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
    assert all(len(line) <= 80 for line in text.splitlines())


def words(text: str) -> str:
    """A text without its line breaks, box and markup."""
    return " ".join(re.sub(r"[`│╭╮╰╯─•]|^ *- ", " ", text, flags=re.MULTILINE).split())


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_is_all_of_its_docstring(tmp_path: Path, verb: str) -> None:
    """And fits a terminal of 80 columns."""
    module, _, name = VERBS[verb][0].partition(":")
    # anew: a list of all verbs, built by another test in this process, gives the verbs the line that stands in it
    target = getattr(importlib.reload(importlib.import_module(module)), name)
    targets = {(): target.help} if isinstance(target, App) else {(): inspect.getdoc(target)}
    if isinstance(target, App):
        targets |= {(n,): inspect.getdoc(target[n].default_command) for n in target if not n.startswith("-")}
        assert len(targets) > 1
    for below, text in targets.items():
        answer = run(verb, *below, "--help", cwd=tmp_path, env={"COLUMNS": "80"})
        assert answer.code == 0, answer
        assert f"Usage: codeblue {' '.join((verb, *below))}" in answer.out
        description = (text or "").partition("Parameters\n---")[0]
        assert description
        assert words(description) in words(answer.out)
        assert all(len(line) <= 80 for line in answer.out.splitlines())


def test_the_exit_codes_of_a_rollback_stand_in_its_help(tmp_path: Path) -> None:
    text = words(run("rollback", "--help", cwd=tmp_path).out)
    for said in ("0: done and verified", "3: refused", "130: interrupted", "For example: codeblue rollback"):
        assert said in text


def test_the_list_of_verbs_imports_none_of_them() -> None:
    code = "import sys; from codeblue.cli.main import VERBS, build_app; build_app('rollback')\n"
    code += "print([m for m in sys.modules if m in {w.partition(':')[0] for w, _ in VERBS.values()}])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == "[]\n"


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


@pytest.mark.parametrize(
    ("argv", "said", "remedy"),
    [
        ("status extra", "`codeblue status` takes no such further argument: 'extra'.", "`codeblue status --help`"),
        ("run show a b", "`codeblue run show` takes no such further argument: 'b'.", "`codeblue run show --help`"),
        ("run show", "RUN is missing: `codeblue run show` needs it.", "`codeblue run show --help`"),
        ("rollback", "--reason is missing: `codeblue rollback` needs it.", "`codeblue rollback --help`"),
        ("rollback --reason", "--reason was given without a value.", "`codeblue rollback --help`"),
        ("verify --plan=7", "--plan takes no value: it is given or left out.", "`codeblue verify --help`"),
        ("nope", 'Unknown command "nope".', "`codeblue --help`"),
    ],
)
def test_a_wrong_command_line_is_told_in_our_words(home: Home, argv: str, said: str, remedy: str) -> None:
    answer = home.run(*argv.split())
    assert answer.code == 2, answer
    assert answer.err.startswith(said)
    assert f"Next: {remedy}" in answer.err


@pytest.mark.parametrize("verb", ["run", "incident", "page", "audit"])
def test_the_first_line_of_a_group_names_all_its_verbs(verb: str) -> None:
    module, _, name = VERBS[verb][0].partition(":")
    group = getattr(importlib.import_module(module), name)
    for line in (group.help, VERBS[verb][1]):
        assert all(n in line.lower() for n in group if not n.startswith("-"))
