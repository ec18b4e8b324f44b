"""The command line: `ai-diagnostics VERB …`. Exit codes: 0 ok, 1 failed, 2 usage, 4 unreachable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ai_diagnostics import settings as settings_module
from ai_diagnostics.settings import SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="ai-diagnostics")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve the API until SIGTERM")
    serve.add_argument("--host")
    serve.add_argument("--port", type=int)
    serve.add_argument("--workers", type=int)
    args = parser.parse_args(argv)
    given = {"HOST": args.host, "PORT": args.port, "WORKERS": args.workers}
    env = {**os.environ, **{name: str(value) for name, value in given.items() if value is not None}}
    try:
        settings = settings_module.read(env)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    from ai_diagnostics.serve import serve as run

    return run(settings)
