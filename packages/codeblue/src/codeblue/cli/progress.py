"""A run as people and programs see it: live lines while it goes on, the result at the end."""

import sys
from types import TracebackType
from typing import Any

from codeblue.cli.frame import printable, say
from codeblue.record.chain import plain
from codeblue.record.runs import RunView, StepView

_SIGNS = {"done": "✓", "failed": "✗", "running": "▸", "waiting": "·"}


class Progress:
    """Live progress on standard error: on a terminal one table that is redrawn, elsewhere a line for each change.

    Args:
        quiet: show nothing (`--json`).
    """

    def __init__(self, run: RunView, *, quiet: bool) -> None:
        self._quiet = quiet
        self._said: dict[str, tuple[str, str]] = {}
        self._live: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=5)
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
            self._live.update(_table(run))
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
    if failed is not None:
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


def _table(run: RunView) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{run.runbook.replace('_', ' ')} {_clock(run)}", title_justify="left", expand=True)
    table.add_column("", width=1)
    table.add_column("step", ratio=2)
    table.add_column("time", width=14)
    table.add_column("what is seen", ratio=3)
    for step in run.steps:
        # Text, because square brackets in what others wrote are no markup of ours
        table.add_row(_SIGNS[step.state], Text(step.title), _spent(step), Text(printable(step.now)))
    return table


def _spent(step: StepView) -> str:
    from datetime import UTC, datetime

    if step.started is None:
        return f"≤ {step.limit_s:g} s"
    spent = ((step.ended or datetime.now(UTC)) - step.started).total_seconds()
    return f"{spent:.1f} / {step.limit_s:g} s"
