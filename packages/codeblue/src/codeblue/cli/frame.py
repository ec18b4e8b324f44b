"""What every verb shares: options, the translation of errors into messages and exit codes, JSON."""

import errno
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

from codeblue.model.errors import CodeBlueError, ExitCode, Failed, Interrupted, Unreachable, UsageError

if TYPE_CHECKING:
    from cyclopts import Argument

    from codeblue.profile.model import Profile
    from codeblue.profile.pointer import Pointer

DEFAULT_PROFILE = "codeblue.yaml"

#: What ends a command in order besides Ctrl-C: a service manager, a pipeline's timeout, a terminal that was closed.
ENDING = (signal.SIGTERM, signal.SIGHUP)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


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
    """Run a command line and give its exit code; no error of ours or of the machine leaves as a traceback."""
    as_json = "--json" in argv
    listen()
    try:
        result = app(list(argv), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return report(_wrong(error), as_json)
    except CodeBlueError as error:
        return report(error, as_json)
    except KeyboardInterrupt:
        remedy = "`codeblue status` tells what is going on; run the command again when you want it."
        return report(Interrupted("Interrupted before it was done.", remedy=remedy), as_json)
    except BrokenPipeError:  # of a help page in a pager; results and progress go through `emit`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    except OSError as error:
        what, remedy = told(error)
        message = f"The command ended before it was done: {what}. What it did until then is not undone."
        return report(Failed(message, remedy=f"{remedy}, then look at `codeblue status`."), as_json)
    return int(result) if isinstance(result, int) else int(ExitCode.DONE)


def _wrong(error: CycloptsError) -> UsageError:
    """What is wrong with a command line, in our words where the library has only its own."""
    verb = " ".join(("codeblue", *(error.command_chain or ())))
    name = error.argument.name if error.argument is not None else ""
    what = str(error)
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        extra = ", ".join(repr(token) for token in error.unused_tokens)
        what = f"`{verb}` takes no such further argument: {extra}. Nothing was done."
    elif isinstance(error, MissingArgumentError) and error.argument is not None:
        given = error.keyword or next((t.keyword for t in error.argument.tokens if t.keyword), None)
        if given:
            what = f"{given} was given without a value. Nothing was done."
        else:
            what = f"{_called(error.argument)} is missing: `{verb}` needs it. Nothing was done."
    elif isinstance(error, CoercionError) and error.target_type is bool and name:
        what = f"{name} takes no value: it is given or left out. Nothing was done."
    help_ = f"`{verb} --help` says what it takes." if error.command_chain else "`codeblue --help` lists the verbs."
    return UsageError(what, remedy=help_)


def _called(argument: "Argument") -> str:
    """An argument as the help calls it: RUN by its place, --reason by its name."""
    by_place = argument.field_info.kind is not argument.field_info.KEYWORD_ONLY
    return argument.name.removeprefix("--").replace("-", "_").upper() if by_place else argument.name


def listen() -> None:
    """From here on `ENDING` signals end the command as Ctrl-C does. One that is ignored (nohup) stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def deafen() -> None:
    """From here on no signal but SIGKILL ends the command: what is left to do is short, and has to be done."""
    with suppress(ValueError):  # not the main thread, where alone this can be said
        for number in (signal.SIGINT, *ENDING):
            signal.signal(number, signal.SIG_IGN)


def _end(number: int, at: FrameType | None) -> None:
    # what Ctrl-C does at this moment: raise, or within an event loop cancel its task, which then ends in order
    interrupt = signal.getsignal(signal.SIGINT)
    (interrupt if callable(interrupt) else signal.default_int_handler)(number, at)


def told(error: OSError) -> tuple[str, str]:
    """An error of the operating system in words: what happened and where, and what can be done about it."""
    place = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    what = f"{error.strerror or type(error).__name__}{place}"
    if error.errno in _FULL:
        return what, "Free the disk"
    if error.errno in _NOT_ALLOWED:
        return what, "Give this user the right to use that place, or name another one in the profile"
    return what, "Look at that place, or name another one in the profile"


@contextmanager
def untouched() -> Iterator[None]:
    """For what only reads: an error of the operating system becomes Unreachable, and says that nothing was changed."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        what, remedy = told(error)
        raise Unreachable(f"{what}. Nothing was changed.", remedy=f"{remedy}.") from error


def say(text: str) -> None:
    """A line for people, on standard error: standard output belongs to the result."""
    emit(printable(text), sys.stderr)


def emit(line: str, stream: TextIO | None) -> OSError | None:
    """Print a line, and return what kept it from being printed, if anybody would still have read it.

    Whoever read it may be gone (`| head`), the disk of a log full, the terminal closed: no reason to leave a run alone,
    so nothing is raised.
    """
    if stream is None:  # closed by whoever started us
        return None
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        return error
    return None


def flush() -> None:
    """Write what is still held back, as far as it can be."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()


def printable(text: str) -> str:
    """The text without control characters: a version or a reason that somebody else wrote must not steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def show(common: Common, document: Mapping[str, Any], text: str) -> None:
    """The result of a verb: the document with --json, else the text. Raises Failed when it cannot be written."""
    error = emit(json.dumps(document) if common.json else printable(text), sys.stdout)
    if error is not None:
        raise Failed(
            f"The result could not be written to standard output: {told(error)[0]}. What was done stays done.",
            remedy="`codeblue status` and `codeblue run list` tell it again.",
        )


def report(error: CodeBlueError, as_json: bool) -> int:
    """Tell an error, as a document or in words, and return its exit code."""
    deafen()
    document = {"schema": "codeblue/error/1", **error.plain(), "exit_code": int(error.exit_code)}
    if not as_json or emit(json.dumps(document), sys.stdout) is not None:
        say(error.message)
        if error.remedy:
            say(f"Next: {error.remedy}")
    return int(error.exit_code)
