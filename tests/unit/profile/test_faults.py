"""Every faulty profile is refused with its place and its remedy, all problems at once, and in good time."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.profile.faults import CLUSTER, FAULTS, LOCAL, Fault

from codeblue.model.errors import ExitCode, UsageError
from codeblue.profile.load import ProfileError, load, load_text


def refused(fault: Fault, directory: Path) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load(fault.write(directory))
    return caught.value


@pytest.mark.done(8)
@pytest.mark.req("R1c")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_each_fault_has_its_line_and_its_remedy(fault: Fault, tmp_path: Path) -> None:
    started = time.process_time()
    error = refused(fault, tmp_path)
    spent_s = time.process_time() - started

    assert [
        problem
        for problem in error.problems
        if problem.line == fault.line
        and re.search(fault.message, f"{problem.path}: {problem.message}")
        and re.search(fault.remedy, problem.remedy)
    ], str(error)
    assert all(problem.remedy and problem.message for problem in error.problems)
    for line in str(error).splitlines():
        place = r":\d+:\d+:" if fault.line else ":"
        assert re.match(rf"{re.escape(str(tmp_path))}/codeblue\.yaml{place} .+\. Remedy: .+\.$|.*more problems$", line)
    assert "Traceback" not in str(error)
    assert spent_s < 1.0


@pytest.mark.done(8)
def test_the_table_covers_enough_and_has_unique_names() -> None:
    assert len(FAULTS) >= 45
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("namespace-upper-case", marks=pytest.mark.defect("D1")),
        pytest.param("timeout-over-interval", marks=pytest.mark.defect("D17")),
        pytest.param("no-context", marks=pytest.mark.defect("D55")),
        pytest.param("null-context", marks=pytest.mark.defect("D55")),
        pytest.param("service-traversal", marks=pytest.mark.defect("D51")),
    ],
)
def test_what_the_documents_scripts_let_through_is_refused(name: str, tmp_path: Path) -> None:
    [fault] = [fault for fault in FAULTS if fault.id == name]
    assert [problem.line for problem in refused(fault, tmp_path).problems] == [fault.line]


def test_a_profile_error_is_a_usage_error() -> None:
    assert issubclass(ProfileError, UsageError)
    assert ProfileError.exit_code is ExitCode.USAGE


@pytest.mark.done(8)
@pytest.mark.req("R1c")
def test_all_problems_are_shown_together_in_the_order_of_the_file() -> None:
    text = CLUSTER.replace("ai-diagnostics-prod", "Prod") + (
        "health:\n  interval: 10\n  timout: 5s\n"
        "flags:\n  a: 101\n  b: 102\n  c d: true\n"
        "contract:\n  commands:\n    smoke: npm\n    smoek: [npm]\n    verify_rollback: [x, 1, 2]\n"
        "lease:\n  duration: 1s\n"
        "runbooks:\n  quick_rollback:\n    at_once: yes\n"
        "verify:\n  checks:\n"
        "state:\n  database: x\n"
    )
    with pytest.raises(ProfileError) as caught:
        load_text(text)
    places = [(problem.line, problem.path) for problem in caught.value.problems]
    assert places == [
        (6, "platform.namespace"),
        (9, "health.interval"),
        (10, "health.timout"),
        (12, "flags.a"),
        (13, "flags.b"),
        (14, "flags.(a key)"),
        (17, "contract.commands.smoke"),
        (18, "contract.commands.smoek"),
        (19, "contract.commands.verify_rollback[1]"),
        (19, "contract.commands.verify_rollback[2]"),
        (21, "lease.duration"),
        (24, "runbooks.quick_rollback.at_once"),
        (26, "verify.checks"),
        (28, "state.database"),
    ]


def test_columns_point_at_the_value_or_at_the_unknown_key() -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(LOCAL + "health: {intervall: 10s, timeout: 5}\n")
    assert [(p.line, p.column) for p in caught.value.problems] == [(6, 10), (6, 35)]


def test_one_flaw_is_reported_once() -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(LOCAL + "verify:\n  checks: 012\nreport:\n  directory: *x\n")
    assert len(caught.value.problems) == 2


def test_thousands_of_problems_are_bounded_in_print_but_all_counted() -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(LOCAL + "".join(f"contact{n}: 1\n" for n in range(900)))
    assert len(caught.value.problems) == 900
    assert str(caught.value).count("\n") == 100
    assert str(caught.value).endswith("and 800 more problems")


def test_the_name_of_the_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        load(tmp_path / "a\x1b[31m\nb.yaml")
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ProfileError):
        load(Path("a\0b"))


NOBODY = """
import os, sys
from pathlib import Path
from codeblue.profile.load import ProfileError, load
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    load(Path(sys.argv[1]))
except ProfileError as error:
    print(error)
"""


@pytest.mark.done(8)
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    path = tmp_path / "codeblue.yaml"
    path.write_text(LOCAL)
    path.chmod(0)
    for parent in (tmp_path, tmp_path.parent):
        parent.chmod(0o755)
    answer = subprocess.run(
        [sys.executable, "-c", NOBODY, str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert "may not be read by this user. Remedy: give this user the right" in answer.stdout, answer
    assert "Traceback" not in answer.stderr


def test_loading_imports_nothing_heavy() -> None:
    code = "import sys, codeblue.profile.load; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert not {"rich", "cyclopts", "httpx", "httpx2", "sqlalchemy", "dbos", "asyncio"} & set(answer.stdout.split())
