"""Every faulty profile through the real program: exit 2, its line, its remedy, at once, and no traceback."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.cli.program import Answer, run
from tests.unit.profile.faults import FAULTS, Fault

#: Three of eight, and all whose file is no plain text: the loader's own tests go through all of them.
CHOSEN = tuple(f for n, f in enumerate(FAULTS) if n % 8 < 3 or f.setup is not None or isinstance(f.text, bytes))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Answer, Answer | None]]:
    """The path, the answer for people and (every third time) for programs, by the fault's name; two at a time."""

    base = tmp_path_factory.mktemp("faults")

    def ask(fault: Fault) -> tuple[Path, Answer, Answer | None]:
        folder, cwd = base / fault.id / "profile", base / fault.id / "cwd"
        folder.mkdir(parents=True)
        cwd.mkdir()
        path = fault.write(folder)
        argv = ("check", "--profile", str(path))
        return path, run(*argv, cwd=cwd), run(*argv, "--json", cwd=cwd) if fault in CHOSEN[::3] else None

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip([f.id for f in CHOSEN], pool.map(ask, CHOSEN), strict=True))
    worst = max(found.items(), key=lambda item: item[1][1].cpu_s)
    print(f"slowest of {len(found)}: {worst[0]}, {worst[1][1].cpu_s:.2f} s CPU, {worst[1][1].wall_s:.2f} s wall")
    return found


@pytest.mark.done(8)
@pytest.mark.req("R1c")
@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.id)
def test_a_faulty_profile_is_refused_in_words(answers, fault: Fault) -> None:
    path, people, programs = answers[fault.id]
    assert people.code == 2
    assert people.out == ""
    assert "Traceback" not in people.err
    place = rf"^{re.escape(str(path))}:{fault.line}:\d+: " if fault.line else rf"^{re.escape(str(path))}: "
    lines = [line for line in people.err.splitlines() if re.match(place, line)]
    assert any(re.search(fault.remedy, line.partition("Remedy: ")[2]) for line in lines), people.err
    assert min(people.cpu_s, people.wall_s) < 1.0
    if programs is not None:
        document = programs.document
        assert programs.code == document["exit_code"] == 2
        assert document["schema"] == "codeblue/error/1"
        assert document["message"].splitlines()[0] in people.err
        assert programs.err == ""


@pytest.mark.done(8)
def test_enough_of_them_go_through_the_program() -> None:
    assert len(CHOSEN) >= 45
