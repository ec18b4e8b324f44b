"""A run as people and programs see it: live lines while it goes on, the result at the end."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from codeblue.cli.frame import printable, say
from codeblue.record.chain import plain
from codeblue.record.runs import RunState, RunView, StepView

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

_SIGNS = {"done": "✓", "failed": "✗", "running": "▸", "waiting": "·", "stopped": "■"}

#: Lines that what is seen of the running step may take.
_SEEN_LINES = 3


class Progress:
    """Live progress on standard error: on a terminal one picture that is redrawn, elsewhere a line for each change.

    Args:
        quiet: show nothing (`--json`).
    """

    def __init__(self, run: RunView, *, quiet: bool) -> None:
        self._quiet = quiet
        self._said: dict[str, tuple[str, str]] = {}
        self._live: Any = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=_Screen(sys.stderr))  # type: ignore[arg-type]  # all of it that rich uses
            if not console.is_dumb_terminal:
                self._live = Live(console=console, refresh_per_second=5)
        self._announced = run.id

    def __enter__(self) -> "Progress":
        if not self._quiet:
            say(f"Run {self._announced}")
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, run: RunView) -> None:
        """Show where the run is."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(Picture(run))
            return
        for step in run.steps:
            now = (step.state, step.now)
            if step.state != "waiting" and self._said.get(step.id) != now:
                self._said[step.id] = now
                say(f"{_clock(run)} {_SIGNS[step.state]} {step.title}: {step.now or step.state}")


def as_text(run: RunView) -> str:
    """The result for people: what happened, what it means, what to do next."""
    took = f" in {_seconds(run):.1f} s" if run.ended else ""
    lines = [f"{run.state.value.upper()}{took}: {run.why}", f"Run {run.id}"]
    lines += [f"  changed: {change}" for step in run.steps for change in step.changes]
    failed = next((s for s in run.steps if s.state == "failed"), None)
    if failed is not None and run.state is not RunState.ABORTED:
        lines.append(f"  failed at: {failed.title}")
    if run.remedy:
        lines.append(f"Next: {run.remedy}")
    return "\n".join(lines)


def as_document(run: RunView) -> dict[str, Any]:
    """The result for programs, schema codeblue/run/1."""
    document: dict[str, Any] = plain(run)
    return {"schema": "codeblue/run/1", **document, "seconds": _seconds(run)}


def _seconds(run: RunView) -> float:
    if run.ended is None:
        return 0.0
    return (run.ended - (run.started or run.requested)).total_seconds()


def _clock(run: RunView) -> str:
    from datetime import UTC, datetime

    elapsed = (datetime.now(UTC) - (run.started or run.requested)).total_seconds()
    return f"[{elapsed:5.1f} s of {run.deadline_s:g}]"


class Picture:
    """A run on a terminal, no taller than it: whatever else has to make room, the running step is there.

    Finished steps become one line first, then those that still wait; a run that has ended is shown whole.
    """

    def __init__(self, run: RunView) -> None:
        self._run = run

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        width = options.max_width
        steps = self._run.steps
        count = f"{sum(s.state == 'done' for s in steps)} of {len(steps)} steps done"
        title = _line(f"{self._run.runbook.replace('_', ' ')} {_clock(self._run)} {count}", "", width)
        if self._run.state.ended:
            yield from (title, *(line for step in steps for line in _whole(step, width)))
            return
        yield from (title, *self._steps(width, console.size.height - 2))  # one for the title, one for the cursor

    def _steps(self, width: int, height: int) -> "list[Text]":
        done = [s for s in self._run.steps if s.state == "done"]
        waiting = [s for s in self._run.steps if s.state == "waiting"]
        present = [line for s in self._run.steps if s.state in ("running", "failed") for line in _whole(s, width)]
        if len(present) > height:
            present = [line for s in self._run.steps if s.state == "running" for line in _whole(s, width)]
        room = max(0, height - len(present))
        coming = _fitted(waiting, room - min(1, len(done)), "·", "more to come", width)
        before = _fitted(done[::-1], room - len(coming), "✓", "steps done", width)[::-1]
        return [*before, *present, *coming][: max(1, height)]


def _fitted(steps: list[StepView], room: int, sign: str, rest: str, width: int) -> "list[Text]":
    """A line for each step; where there is no room for all, the last line counts those that have none."""
    if len(steps) <= room:
        return [_brief(step, width) for step in steps]
    if room < 1:
        return []
    shown = steps[: room - 1]
    return [*(_brief(step, width) for step in shown), _line(f"{sign} {len(steps) - len(shown)} {rest}", "", width)]


def _brief(step: StepView, width: int) -> "Text":
    seen = f": {step.now}" if step.now else ""
    return _line(f"{_SIGNS[step.state]} {step.title}{seen}", _spent(step), width)


def _whole(step: StepView, width: int) -> "list[Text]":
    """The step, and below it what is seen; shortened only where it would fill the screen."""
    from rich.console import Console
    from rich.text import Text

    first = _line(f"{_SIGNS[step.state]} {step.title}", _spent(step), width)
    seen = Text(" ".join(printable(step.now).split())).wrap(Console(width=width), max(1, width - 4))
    lines = [f"    {line.plain.rstrip()}" for line in seen if line.plain]
    if len(lines) > _SEEN_LINES:
        lines[_SEEN_LINES - 1 :] = [f"{lines[_SEEN_LINES - 1][: width - 1]}…"]
    return [first, *(Text(line, no_wrap=True, overflow="crop") for line in lines)]


def _line(text: str, right: str, width: int) -> "Text":
    """Exactly one line: what does not fit is cut off."""
    from rich.text import Text

    # Text, because square brackets in what others wrote are no markup of ours
    line = Text(" ".join(printable(text).split()), no_wrap=True, overflow="ellipsis")
    line.truncate(max(1, width - len(right) - 2), overflow="ellipsis", pad=bool(right))
    return line.append(f"  {right}" if right else "")


def _spent(step: StepView) -> str:
    from datetime import UTC, datetime

    if step.started is None:
        return f"≤ {step.limit_s:g} s"
    spent = ((step.ended or datetime.now(UTC)) - step.started).total_seconds()
    return f"{spent:.1f} / {step.limit_s:g} s"


class _Screen:
    """A terminal that may be closed at any moment: no reason to leave a run alone, so nothing is raised."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
