"""`migrate up|down|validate|status`: the schema's versions (R17, R18)."""

from __future__ import annotations

import argparse

from ai_diagnostics.commands import Report, Subparsers, UsageError, verdict
from ai_diagnostics.schema import LATEST, supported
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import open_control, open_data


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    actions = verbs.add_parser("migrate", help="move or check the schema").add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", parents=[common], help="also makes stores that do not exist yet")
    up.add_argument("--to", type=int, default=LATEST, metavar="V")
    up.set_defaults(run=go_up)
    down = actions.add_parser("down", parents=[common], help="works in read-only mode too: it is the operator's tool")
    down.add_argument("--to", type=int, required=True, metavar="V")
    down.add_argument("--allow-drop", action="store_true", help="needed for version 0, which drops every document")
    down.set_defaults(run=go_down)
    validate = actions.add_parser("validate", parents=[common], help="is the real schema what its version says?")
    validate.add_argument("--version", type=int, metavar="V", help="and is the version this one?")
    validate.set_defaults(run=check)
    status = actions.add_parser("status", parents=[common], help="the version and its history")
    status.set_defaults(run=show)


def go_up(args: argparse.Namespace, settings: Settings) -> Report:
    """Migrate up; a version below the present one is refused, never walked down to."""
    _known(args.to)
    open_control(settings.storage, initial=settings.initial)
    store = open_data(settings.storage, create=True)
    before = store.schema_version()
    if before > args.to:
        raise UsageError(f"the schema is at {before}, above {args.to}; use `migrate down --to {args.to}`")
    passed = store.migrate(args.to)
    return Report("ok", {"before": before, "after": store.schema_version(), "passed": list(passed)})


def go_down(args: argparse.Namespace, settings: Settings) -> Report:
    """Migrate down; a restored backup may already be older, which is refused and not walked up to (D31)."""
    _known(args.to)
    if args.to == 0 and not args.allow_drop:
        raise UsageError("version 0 drops every document; say --allow-drop if that is meant")
    store = open_data(settings.storage)
    before = store.schema_version()
    if before < args.to:
        raise UsageError(f"the schema is at {before}, below {args.to}: nothing to go down from")
    passed = store.migrate(args.to)
    return Report("ok", {"before": before, "after": store.schema_version(), "passed": list(passed)})


def check(args: argparse.Namespace, settings: Settings) -> Report:
    """Compare the real schema with its version, with this release, and with an expected version."""
    store = open_data(settings.storage)
    version = store.schema_version()
    problems = list(store.drift())
    if args.version is not None and args.version != version:
        problems.append(f"the schema is at {version}, expected {args.version}")
    data = {"version": version, "supported_by_this_release": supported(version)}
    return Report(verdict(problems), data, problems)


def show(_args: argparse.Namespace, settings: Settings) -> Report:
    """The version and the history."""
    store = open_data(settings.storage)
    history = [vars(item) for item in store.history()]
    return Report("ok", {"version": store.schema_version(), "latest": LATEST, "history": history})


def _known(version: int) -> None:
    if not 0 <= version <= LATEST:
        raise UsageError(f"there is no schema version {version}; known are 0 to {LATEST}")
