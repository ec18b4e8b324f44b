"""`verify-rollback --version V`: is the rolled back service what it should be, as a whole? (R60)"""

from __future__ import annotations

import argparse
import asyncio

from ai_diagnostics.commands import Report, Subparsers, control, health, migrate, smoke, verdict
from ai_diagnostics.processes import agreement
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import open_control


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser("verify-rollback", parents=[common], help="release, schema, health, flags, workflow")
    parser.add_argument("--version", required=True, metavar="V", help="the release that every process must be")
    parser.add_argument("--min-processes", type=int, default=1, metavar="N")
    parser.add_argument("--schema", type=int, metavar="V", help="the schema version that is expected")
    parser.add_argument("--expect", action="append", default=[], metavar="NAME=VALUE", help="a flag or mode")
    parser.add_argument("--url", help="run the workflow through this service")
    parser.add_argument("--no-smoke", action="store_true", help="do not run the workflow")
    parser.set_defaults(run=verify)


def verify(args: argparse.Namespace, settings: Settings) -> Report:
    """Run every check, also after one has failed; any problem makes the verdict failed."""
    expected = control.expectations(args.expect, None)
    store = open_control(settings.storage)
    state = store.read()
    found = agreement(state, store.processes())
    running = [process for process in found.processes if process.get("live") is True]
    problems = list(found.disagreements)
    problems += [
        f"{process.get('pod')}/{process.get('pid')} is version {process.get('version')!r}, expected {args.version!r}"
        for process in running
        if process.get("version") != args.version
    ]
    if len(running) < args.min_processes:
        problems.append(f"{len(running)} processes report, expected at least {args.min_processes}")
    problems += [
        f"{name} is {state.value(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if state.value(name) != value
    ]
    if "maintenance" not in expected and state.value("maintenance"):
        problems.append("maintenance mode is still on")
    if "read_only" not in expected and state.value("read_only"):
        problems.append("read-only mode is still on")
    schema = migrate.check(argparse.Namespace(version=args.schema), settings)
    database = health.as_report(asyncio.run(health.database_checks(settings)))
    parts = {"schema": schema, "database": database}
    if not args.no_smoke:
        options = {"url": args.url, "patient": "synthetic-smoke", "expect": None}
        parts["smoke"] = smoke.smoke(argparse.Namespace(**options), settings)
    for name, part in parts.items():
        problems += [f"{name}: {problem}" for problem in part.problems]
    data = {
        "version": args.version,
        "processes": [
            {key: process.get(key) for key in ("pod", "pid", "version", "live")} for process in found.processes
        ],
        **{name: {"verdict": part.verdict, **part.data} for name, part in parts.items()},
    }
    return Report(verdict(problems), data, problems)
