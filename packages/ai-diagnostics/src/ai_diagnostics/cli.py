"""The command line: `ai-diagnostics VERB …`. Exit codes: 0 ok, 1 failed, 2 usage, 4 unreachable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from ai_diagnostics import settings as settings_module
from ai_diagnostics.settings import Settings, SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a wrong command line exits with 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments else ""
    if verb == "serve":
        return _serve(arguments[1:])
    if verb == "emulators":
        from ai_diagnostics.emulators.main import main as emulate

        return emulate(arguments[1:])
    return _operate(arguments)


def _serve(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ai-diagnostics serve", allow_abbrev=False)
    parser.add_argument("--host", help="default: HOST or 0.0.0.0")
    parser.add_argument("--port", help="default: PORT or 5000; 0 takes a free one")
    parser.add_argument("--workers", help="worker processes; default: WORKERS or 2")
    given = {name.upper(): value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    settings = _settings({**os.environ, **given})
    if settings is None:
        return 2
    from ai_diagnostics.serve import serve

    return serve(settings)


def _operate(arguments: Sequence[str]) -> int:
    from ai_diagnostics.cache import CacheError
    from ai_diagnostics.commands import Report, UsageError
    from ai_diagnostics.logs import to_stderr
    from ai_diagnostics.store import StoreError, StoreUnreachable

    to_stderr()
    args = _parser().parse_args(arguments)
    command = " ".join(filter(None, (args.verb, getattr(args, "action", None))))
    settings = _settings(os.environ)
    if settings is None:
        return 2
    report: Report
    try:
        report = args.run(args, settings)
    except UsageError as error:
        report = Report("usage", {}, [str(error)])
    except StoreUnreachable as error:
        report = Report("unreachable", {}, [str(error)])
    except (StoreError, CacheError) as error:
        report = Report("failed", {}, [str(error)])
    print(report.as_json(command) if args.json else report.as_text(command))
    return report.exit_code


def _settings(env: Mapping[str, str]) -> Settings | None:
    try:
        return settings_module.read(env)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return None


def _parser() -> argparse.ArgumentParser:
    from ai_diagnostics.commands import control, error_rate, health, integrity, migrate, smoke, tools, verify_rollback

    class Strict(argparse.ArgumentParser):
        """Abbreviated options are refused: `--enable` must not become something else."""

        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **{"allow_abbrev": False, **options})  # type: ignore[arg-type]

    common = Strict(add_help=False)
    common.add_argument("--json", action="store_true", help="print one line of JSON")
    parser = Strict(prog="ai-diagnostics", epilog="Exit codes: 0 ok, 1 failed, 2 usage, 4 unreachable.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="serve the API until SIGTERM")
    verbs.add_parser("emulators", help="serve stand-ins for OpenRouter, RxNorm, FHIR and the laboratory")
    for module in (control, migrate, health, smoke, error_rate, verify_rollback, integrity, tools):
        module.register(verbs, common)
    return parser
