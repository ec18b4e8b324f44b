"""The picture of a run on a terminal of 80 columns and 24 lines, and on one that is gone."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from codeblue.cli.progress import Picture, _Screen
from codeblue.record.runs import RunState, RunView, StepView

NOW = datetime.now(UTC)


def run(*states: str, seen: str = "seen", title: str = "Step", ended: bool = False) -> RunView:
    steps = tuple(
        StepView(
            f"s{n}",
            f"{title} {n}",
            60.0,
            state,
            "" if state == "waiting" else seen,
            started=None if state == "waiting" else NOW - timedelta(seconds=3),
            ended=NOW if state in ("done", "failed") else None,
        )
        for n, state in enumerate(states)
    )
    state = RunState.DONE if ended else RunState.RUNNING
    return RunView("run-x", "recovery", state, "a", "r", NOW, 300.0, "d", "", {}, steps, started=NOW)


def drawn(view: RunView, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=80, height=height, force_terminal=True, color_system=None)
    console.print(Picture(view))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("height", [24, 10, 5])
@pytest.mark.parametrize("steps", [1, 6, 22, 23, 40])
def test_the_running_step_is_always_there_and_nothing_is_cut_off(steps: int, height: int) -> None:
    """Room for the cursor's own line as well: what is taller than the terminal loses its end."""
    for at in range(steps):
        states = ["done"] * at + ["running"] + ["waiting"] * (steps - at - 1)
        for seen in ("short", "a rather long one, " * 30):
            lines = drawn(run(*states, seen=seen), height)
            assert len(lines) <= height - 1
            assert all(len(line) <= 80 for line in lines)
            [running] = [n for n, line in enumerate(lines) if line.startswith(f"▸ Step {at} ")]
            assert running + 1 < len(lines) or not seen
            assert lines[running].endswith(" / 60 s")
            assert lines[running + 1].strip().startswith(seen[:5])


def test_finished_steps_make_room_first_and_are_counted() -> None:
    lines = drawn(run(*["done"] * 30, "running", *["waiting"] * 5))
    assert lines[0].startswith("recovery [")
    assert "30 of 36 steps done" in lines[0]
    assert lines[1] == "✓ 16 steps done"
    assert lines[2].startswith("✓ Step 16: seen")
    assert [line[:9] for line in lines[-5:]] == [f"· Step {n}" for n in range(31, 36)]


def test_waiting_steps_that_have_no_room_are_counted() -> None:
    lines = drawn(run("done", "running", *["waiting"] * 40))
    assert lines[1].startswith("✓ Step 0: seen")
    assert lines[-1] == "· 22 more to come"
    assert len(lines) == 23


def test_a_failed_step_stays_while_others_clean_up() -> None:
    lines = drawn(run(*["done"] * 25, "failed", "running", seen="status 503"))
    assert any(line.startswith("✗ Step 25 ") for line in lines)
    assert any(line.startswith("▸ Step 26 ") for line in lines)
    assert lines.count("    status 503") == 2
    assert len(drawn(run("failed", "running", seen="status 503 " * 40), 6)) <= 5


def test_a_run_that_has_ended_is_shown_whole() -> None:
    lines = drawn(run(*["done"] * 30, ended=True))
    assert sum(line.startswith("✓ Step") for line in lines) == 30


def test_what_others_wrote_is_one_line_and_steers_nothing() -> None:
    lines = drawn(run("done", "running", seen="[red]a\nb\x1b[31m", title="日本語" * 20))
    assert any("[red]a b�[31m" in line for line in lines)
    assert len(lines) == 4
    assert all(Console(width=80).measure(line).maximum <= 80 for line in lines if line.startswith(("✓", "▸")))


def test_a_terminal_that_is_gone_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

    console = Console(file=_Screen(Gone()), width=80, height=24, force_terminal=True)  # type: ignore[arg-type]
    console.print(Picture(run("running")))
    assert console.file.isatty() is False
