"""`error-rate`: the share of failed requests since a moment, from the counts that the workers store (R46, R60).

It needs neither Prometheus nor a live process. Too few requests are `unknown`, which is not ok.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime

from ai_diagnostics.commands import Report, Subparsers, UsageError, Verdict
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import BUCKET_S, open_control


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser("error-rate", parents=[common], help="failed requests since a moment")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--window", type=float, default=120.0, metavar="S", help="the last S seconds (default 120)")
    when.add_argument("--since", metavar="TIME", help="ISO 8601 with an offset, for example the end of a recovery")
    parser.add_argument("--limit", type=float, default=0.05, help="strictly above it is a failure (default 0.05)")
    parser.add_argument("--ai-limit", type=float, default=0.10, help="the same for calls of the model (default 0.10)")
    parser.add_argument("--min-requests", type=int, default=20, help="fewer are unknown (default 20)")
    parser.set_defaults(run=error_rate)


def error_rate(args: argparse.Namespace, settings: Settings) -> Report:
    """Judge with strict `>` and a minimum number of samples; the arithmetic is in the data."""
    since = time.time() - args.window if args.since is None else _moment(args.since)
    # Buckets are whole: the first one begins at or after the moment, so that nothing from before it is counted.
    traffic = open_control(settings.storage).traffic(since)
    rate = traffic.errors / traffic.total if traffic.total else None
    ai_rate = traffic.ai_failures / traffic.ai_total if traffic.ai_total else None
    problems: list[str] = []
    verdict: Verdict = "ok"
    if traffic.total < args.min_requests:
        verdict = "unknown"
        problems.append(f"{traffic.total} requests are fewer than {args.min_requests}: nothing is known")
    if traffic.total >= args.min_requests and rate is not None and rate > args.limit:
        verdict = "failed"
        problems.append(f"{traffic.errors} errors / {traffic.total} requests = {rate:.4f} > {args.limit:g}")
    if traffic.ai_total >= args.min_requests and ai_rate is not None and ai_rate > args.ai_limit:
        verdict = "failed"
        problems.append(f"{traffic.ai_failures} / {traffic.ai_total} model calls = {ai_rate:.4f} > {args.ai_limit:g}")
    data = {
        "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
        "bucket_s": BUCKET_S,
        "requests": traffic.total,
        "errors": traffic.errors,
        "refused": traffic.refused,
        "rate": rate,
        "limit": args.limit,
        "ai_requests": traffic.ai_total,
        "ai_failures": traffic.ai_failures,
        "ai_rate": ai_rate,
        "ai_limit": args.ai_limit,
    }
    return Report(verdict, data, problems)


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text!r} is no ISO 8601 time") from None
    if moment.tzinfo is None:
        raise UsageError(f"--since {text!r} has no offset; end it with +00:00 or Z")
    return moment.timestamp()
