"""`token`: make a JWT with the configured key. `cache clear`: empty Redis after a restore (D14)."""

from __future__ import annotations

import argparse

from ai_diagnostics import auth
from ai_diagnostics.cache import RedisCache
from ai_diagnostics.commands import Report, Subparsers, UsageError
from ai_diagnostics.settings import Settings


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    maker = verbs.add_parser("token", parents=[common], help="make a JWT with the configured key")
    maker.add_argument("--subject", required=True)
    maker.add_argument("--scope", action="append", required=True, choices=auth.SCOPES)
    maker.add_argument("--lifetime", type=int, default=900, metavar="S", help="seconds (default 900)")
    maker.set_defaults(run=token)
    actions = verbs.add_parser("cache", help="the cache in Redis").add_subparsers(dest="action", required=True)
    actions.add_parser("clear", parents=[common], help="remove all our keys").set_defaults(run=clear)


def token(args: argparse.Namespace, settings: Settings) -> Report:
    """Make a token."""
    try:
        made = auth.mint(settings.jwt_keys, args.subject, args.scope, args.lifetime)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Report("ok", {"token": made})


def clear(_args: argparse.Namespace, settings: Settings) -> Report:
    """Empty the cache."""
    if settings.redis_url is None:
        return Report("ok", {"removed_keys": 0, "redis": "disabled"})
    return Report("ok", {"removed_keys": RedisCache(settings.redis_url).clear()})
