"""Two families of errors, and the one table of exit codes.

A *permanent* error ends what was tried; a *temporary* one says after how long a retry makes sense. Errors of other
people's libraries are translated at the edge (in the adapter), so that nothing inside catches `Exception`. Every
message says what happened and what it means; `remedy` says what to do next.
"""

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a verb of the command line answers to the shell (README.md, "Exit codes")."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class CodeBlueError(Exception):
    """The root of our errors: a message, the remedy and the exit code that the shell sees.

    Attributes:
        run: the run that was under way and can be resumed, "" without one.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, remedy: str = "", run: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.run = run

    def plain(self) -> dict[str, Any]:
        """What programs are told of it."""
        return {"message": self.message, "remedy": self.remedy, **({"run": self.run} if self.run else {})}


class Failed(CodeBlueError):
    """Something was tried and its end state could not be proven."""


class Interrupted(CodeBlueError):
    """Somebody ended the command before it was done: Ctrl-C, SIGTERM or SIGHUP. What was begun is recorded."""

    exit_code = ExitCode.INTERRUPTED


class Damaged(Failed):
    """The record holds something that was never written there so: nothing can be concluded from it any more (B8).

    Attributes:
        what: which event, and what is wrong with it, in one sentence without its end. Never the content itself.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The record is damaged: {what}. Somebody or something changed it, and it cannot be relied on.",
            remedy="`codeblue audit verify` shows where its chain is broken. Keep it as it is, it is evidence; to act "
            "before that is cleared up, give the profile another state.directory (or state.database).",
        )
        self.what = what


class UsageError(CodeBlueError):
    """The command or the profile is wrong; nothing was touched."""

    exit_code = ExitCode.USAGE


class Refused(CodeBlueError):
    """It was not done because it would not be safe: no known-good target, a paused Deployment, an owner elsewhere."""

    exit_code = ExitCode.REFUSED


class NothingToDo(Refused):
    """Refused because what was asked for is so already."""


class NotOffered(Refused):
    """Refused because the profile gives no means for it (R1c): nothing is wrong, and it cannot be done here."""


class LeaseHeld(Refused):
    """Somebody else may act on this service at the moment (D7)."""


class LeaseLost(Refused):
    """We were the holder and are no more: another epoch began. Whatever we still meant to do must not be done (B3)."""


class Temporary(CodeBlueError):
    """A retry may succeed; `delay_s` is the shortest sensible wait before it."""

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, message: str, *, remedy: str = "", delay_s: float = 0.5) -> None:
        super().__init__(message, remedy=remedy)
        self.delay_s = delay_s


class Unreachable(Temporary):
    """A dependency did not answer. An answer that is missing is *unknown*, neither good nor bad (B5)."""


class RecordUnusable(Unreachable):
    """The record could not be written or read: nothing goes on without one, and who acts without one ends itself."""


class EngineUnusable(Unreachable):
    """The engine's own database could not be used: no run can be begun or go on."""


class Conflict(Temporary):
    """The target refused a preconditioned change because it is no longer what we saw: observe again, then decide."""


class NotFound(Refused):
    """The named thing does not exist in the target."""


class Forbidden(Refused):
    """The target knows us and does not allow it: a permission is missing."""
