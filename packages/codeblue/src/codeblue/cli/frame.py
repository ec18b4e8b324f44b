"""What every verb shares: options, the translation of errors into messages and exit codes, JSON."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import App, CycloptsError, Parameter

from codeblue.model.errors import CodeBlueError, ExitCode, UsageError

if TYPE_CHECKING:
    from codeblue.profile.model import Profile
    from codeblue.profile.pointer import Pointer

DEFAULT_PROFILE = "codeblue.yaml"


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Common:
    """Options that every verb has.

    Attributes:
        profile: the profile's file; default `$CODEBLUE_PROFILE`, then ./codeblue.yaml.
        json: print one JSON document on standard output, and nothing else there.
    """

    profile: Annotated[Path | None, Parameter(env_var="CODEBLUE_PROFILE")] = None
    json: Annotated[bool, Parameter(negative="")] = False

    @property
    def path(self) -> Path:
        return self.profile or Path(DEFAULT_PROFILE)

    def load(self) -> "Profile":
        """The validated profile. Raises ProfileError with every problem, its line and its remedy."""
        from codeblue.profile.load import load
        from codeblue.profile.pointer import write_pointer

        profile = load(self.path)
        write_pointer(self.path, self.pointer(profile))
        return profile

    @staticmethod
    def pointer(profile: "Profile") -> "Pointer":
        """What `status` needs of the profile."""
        from codeblue.profile.pointer import Pointer
        from codeblue.wiring import record_file

        record, target = "" if profile.state.database else str(record_file(profile)), profile.target
        return Pointer(profile.service, record, target.kind, target.where, target.name)


def run_app(app: App, argv: Sequence[str]) -> int:
    """Run a command line and give its exit code; no error of ours leaves as a traceback."""
    as_json = "--json" in argv
    try:
        result = app(list(argv), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _report(UsageError(str(error), remedy="`codeblue --help`, or --help after the verb."), as_json)
    except CodeBlueError as error:
        return _report(error, as_json)
    except KeyboardInterrupt:
        say("Interrupted.")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # of a help page in a pager; results and progress go through `emit`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    return int(result) if isinstance(result, int) else int(ExitCode.DONE)


def say(text: str) -> None:
    """A line for people, on standard error: standard output belongs to the result."""
    emit(printable(text), sys.stderr)


def emit(line: str, stream: TextIO) -> None:
    """Print a line. Whoever read it may be gone (`| head`): no reason to leave a run alone, so we go on silently."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str) -> str:
    """The text without control characters: a version or a reason that somebody else wrote must not steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def show(common: Common, document: Mapping[str, Any], text: str) -> None:
    """The result of a verb: the document with --json, else the text."""
    if common.json:
        emit(json.dumps(document), sys.stdout)
    else:
        emit(printable(text), sys.stdout)


def _report(error: CodeBlueError, as_json: bool) -> int:
    if as_json:
        document = {
            "schema": "codeblue/error/1",
            "message": error.message,
            "remedy": error.remedy,
            "exit_code": int(error.exit_code),
        }
        emit(json.dumps(document), sys.stdout)
    else:
        say(error.message)
        if error.remedy:
            say(f"Next: {error.remedy}")
    return int(error.exit_code)
