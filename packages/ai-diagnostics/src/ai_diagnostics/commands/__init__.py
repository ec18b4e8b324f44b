"""The operator commands (R60): a verb is a file. They talk to the stores directly, so they work with the service down.

Every command returns a `Report`; `--json` prints it whole. Exit codes, one table: 0 ok, 1 failed (or nothing is known),
2 usage or configuration, 4 a store cannot be reached and nothing was changed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ai_diagnostics.control import now
from ai_diagnostics.settings import Settings

Verdict = Literal["ok", "failed", "unknown", "usage", "unreachable"]
EXIT_CODES: Mapping[Verdict, int] = {"ok": 0, "failed": 1, "unknown": 1, "usage": 2, "unreachable": 4}


class UsageError(Exception):
    """The command line asks for something that does not exist; nothing was touched."""


@dataclass(frozen=True)
class Report:
    """What a command found or did.

    Attributes:
        data: the findings, JSON.
        problems: why the verdict is not ok, in words.
    """

    verdict: Verdict
    data: Mapping[str, object] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def exit_code(self) -> int:
        """See the table."""
        return EXIT_CODES[self.verdict]

    def as_json(self, command: str) -> str:
        """One line of JSON; the shape is in contract/operator-commands.md."""
        return json.dumps(
            {
                "command": command,
                "verdict": self.verdict,
                "exit_code": self.exit_code,
                "at": now(),
                "problems": list(self.problems),
                "data": self.data,
            }
        )

    def as_text(self, command: str) -> str:
        """For people: the verdict, the problems, then the findings."""
        lines = [f"{command}: {self.verdict}", *(f"  ! {problem}" for problem in self.problems)]
        return "\n".join([*lines, *(f"  {line}" for line in _lines(self.data))])


Run = Callable[[argparse.Namespace, Settings], Report]
#: The type has no public name, and takes its parameter only where it is not evaluated.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def verdict(problems: Sequence[str]) -> Verdict:
    """ok without problems."""
    return "failed" if problems else "ok"


def _lines(value: object, name: str = "") -> list[str]:
    if isinstance(value, Mapping):
        head = [f"{name}:"] if name else []
        pad = "  " if name else ""
        return head + [pad + line for key, item in value.items() for line in _lines(item, str(key))]
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return [f"{name}:", *(line for item in value for line in _indented(_lines(item)))]
    shown = value if isinstance(value, str) else json.dumps(value)
    return [f"{name}: {shown}" if name else str(shown)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  - {lines[0]}", *(f"    {line}" for line in lines[1:])] if lines else []
