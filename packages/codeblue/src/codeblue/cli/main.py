"""The root of the command line. Verbs are imported when they are used: start-up is part of an emergency."""

import gc
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import App

#: verb → where it is. The order is that of the help.
VERBS = {
    "demo": ("codeblue.cli.demo:demo", "The whole story on this machine, in about half a minute."),
    "check": ("codeblue.cli.check:check", "Check the profile; --live also whether Code Blue could act."),
    "serve": ("codeblue.cli.serve:serve", "Watch the service, decide, act: the daemon."),
    "status": ("codeblue.cli.status:status", "What is going on, from the record."),
    "rollback": ("codeblue.cli.rollback:rollback", "Roll back to the known-good release, and prove it."),
    "flags": ("codeblue.cli.flags:app", "Switch the AI features off, proven in every process; restore them."),
    "verify": ("codeblue.cli.verify:verify", "Verify that the service is healthy; can mark it known-good."),
    "run": ("codeblue.cli.run:app", "List, show, approve, abort and resume runs."),
    "incident": ("codeblue.cli.incident:app", "Declare, list, show, ack, escalate, note, mitigate, resolve, report."),
    "page": ("codeblue.cli.page:app", "Send a test page: does it reach a person?"),
    "inhibit": ("codeblue.cli.inhibit:app", "Let no trigger fire for a while; end that."),
    "explain": ("codeblue.cli.explain:explain", "Why it was decided so: the arithmetic of a decision."),
    "rules": ("codeblue.cli.rules:app", "Replay recorded series against the profile's triggers."),
    "export": ("codeblue.cli.export:app", "The triggers as alerting rules of Prometheus."),
    "local": ("codeblue.cli.local:app", "Run a service on this machine: start, deploy, stop."),
    "audit": ("codeblue.cli.audit:app", "Verify the chain of the record; adopt a record."),
}

HELP_FILE = "help.txt"


def build_app(verb: str = "") -> "App":
    """The cyclopts application with every verb, none of them imported yet.

    Args:
        verb: the one that is asked for. Its help is its own docstring, not the line that stands in the list of all.
    """
    from cyclopts import App

    from codeblue import __version__

    app = App(
        name="codeblue",
        help="Rollback and emergency response for a clinical AI service, proven against the world.\n\n"
        "Exit codes: 0 done and verified; 1 failed; 2 usage or profile error; 3 refused for safety; "
        "4 unreachable, nothing changed; 130 interrupted.",
        version=__version__,
        version_flags=["--version"],
        help_flags=["--help", "-h"],
        suppress_keyboard_interrupt=False,  # `frame` says what Ctrl-C left behind
    )
    for place, (name, (where, line)) in enumerate(VERBS.items()):
        lines = {} if name == verb else {"help": line}
        app.command(where, name=name, sort_key=place, **lines)
    return app


def main() -> None:
    """Entry point of `codeblue` and `kubectl codeblue`."""
    argv = sys.argv[1:]
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that cannot show "≤" shows its number
        sys.stdout.reconfigure(errors="backslashreplace")
    if argv in (["--help"], ["-h"], []):
        # rendered beforehand (a test compares): whoever asks for help at night gets it at once
        try:
            print(Path(__file__).with_name(HELP_FILE).read_text("utf-8"), end="", flush=True)
        except OSError as error:
            print(f"The help could not be written: {error.strerror}.", file=sys.stderr)
            os._exit(1)
        return
    gc.set_threshold(100_000)  # start-up makes many objects and no garbage
    code = 130  # ExitCode.INTERRUPTED: Ctrl-C so early that nothing was begun
    with suppress(KeyboardInterrupt):
        from codeblue.cli.frame import flush, run_app

        code = run_app(build_app(next((a for a in argv if a in VERBS), "")), argv)
        flush()
    os._exit(code)  # all is said and durable; taking the interpreter and DBOS's threads down would cost 0.2 s
