"""`integrity`: are the stored documents whole? (R31)"""

from __future__ import annotations

import argparse

from ai_diagnostics.commands import Report, Subparsers, verdict
from ai_diagnostics.integrity import examine
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import open_data


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser("integrity", parents=[common], help="read every document and say what is wrong")
    parser.add_argument("--baseline", type=float, metavar="N", help="requests a day, instead of the mean of the past")
    parser.add_argument("--baseline-days", type=int, default=7, metavar="D")
    parser.add_argument("--min-ratio", type=float, default=0.5, help="of the baseline, in the last 24 h (default 0.5)")
    parser.set_defaults(run=integrity)


def integrity(args: argparse.Namespace, settings: Settings) -> Report:
    """Examine both collections and the schema."""
    store = open_data(settings.storage)
    drift = list(store.drift())
    if store.schema_version() < 1:
        return Report("failed", {"schema_version": 0}, drift)
    found = examine(
        store.requests(),
        store.results(),
        baseline_days=args.baseline_days,
        baseline=args.baseline,
        min_ratio=args.min_ratio,
    )
    problems = [*drift, *(f"{kind} ({count}x)" for kind, count in found.wrong.items())]
    data = {
        "schema_version": store.schema_version(),
        "totals": found.totals,
        "counts_24h": found.counts_24h,
        "baseline_per_day": found.baseline,
        "wrong": found.wrong,
        "samples": found.samples,
        "unfinished": found.unfinished,
        "window": {"first": found.window.first, "last": found.window.last},
    }
    return Report(verdict(problems), data, problems)
