"""Operator commands of the protected service (R60): the team's own programs, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from codeblue.model.health import Outcome

#: Bytes of an output that are read at most.
OUTPUT_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        outcome: OK for exit 0; BREACH for another exit code; UNKNOWN when it could not be run or did not end in time.
        detail: exit code and place; never the output, which can hold patient data.
        output: the start of standard output, only of `everywhere`, for a program to read; never shown or recorded (B9).
    """

    name: str
    outcome: Outcome
    detail: str
    output: bytes = field(default=b"", repr=False)


class Commands(Protocol):
    """Runs the commands that the profile names; arguments as a list, never a shell, each with a limit."""

    def offers(self, name: str) -> bool:
        """Whether the profile has a command of this name (R1c)."""

    async def run(self, name: str, *, timeout_s: float, values: Mapping[str, str] | None = None) -> CommandResult:
        """Run it once. Ends within the limit, and so do the processes that it started.

        Args:
            values: what stands for `{name}` in the arguments; each argument stays one argument, whatever is in it.
        """

    async def everywhere(self, name: str, *, timeout_s: float) -> Sequence[CommandResult]:
        """Run it wherever it sees something of its own: in each live pod, or once where commands run on this machine.

        For commands whose answer is about the place where they run (D5). At most `OUTPUT_LIMIT` bytes of each output.
        """


def filled(argv: Sequence[str], values: Mapping[str, str] | None) -> list[str]:
    """The arguments with the values in the places of `{name}`; what else is in braces stays as it is."""
    said = list(argv)
    for name, value in (values or {}).items():
        said = [argument.replace(f"{{{name}}}", value) for argument in said]
    return said
