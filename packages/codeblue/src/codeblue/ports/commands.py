"""Operator commands of the protected service (R60): the team's own programs, by name."""

from dataclasses import dataclass
from typing import Protocol

from codeblue.model.health import Outcome


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        outcome: OK for exit 0; BREACH for another exit code; UNKNOWN when it could not be run or did not end in time.
        detail: exit code and at most one line; never the whole output, which can hold patient data.
    """

    name: str
    outcome: Outcome
    detail: str


class Commands(Protocol):
    """Runs the commands that the profile names; arguments as a list, never a shell, each with a limit."""

    def offers(self, name: str) -> bool:
        """Whether the profile has a command of this name (R1c)."""

    async def run(self, name: str, *, timeout_s: float) -> CommandResult:
        """Run it. Ends within the limit, and so do the processes that it started."""
