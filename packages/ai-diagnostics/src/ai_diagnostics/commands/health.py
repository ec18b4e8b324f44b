"""`db health`, `external health`: the health endpoints' own probes, from where this command runs (R40, R41)."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping

from ai_diagnostics import probes
from ai_diagnostics.cache import RedisCache
from ai_diagnostics.commands import Report, Subparsers
from ai_diagnostics.probes import Check
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import StoreError, open_control, open_data


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    texts = {"db": ("database and Redis", database), "external": ("OpenRouter, RxNorm, FHIR, lab", external)}
    for verb, (text, run) in texts.items():
        actions = verbs.add_parser(verb, help=f"probe {text}").add_subparsers(dest="action", required=True)
        actions.add_parser("health", parents=[common], help=f"probe {text}, each apart").set_defaults(run=run)


def database(_args: argparse.Namespace, settings: Settings) -> Report:
    """Ping, write probe, schema version, Redis; exit 4 when the database cannot be reached."""
    checks = asyncio.run(database_checks(settings))
    report = as_report(checks)
    return Report("unreachable", report.data, report.problems) if checks["ping"].unreachable else report


async def database_checks(settings: Settings) -> dict[str, Check]:
    """The probes of the database and of Redis."""
    control = open_control(settings.storage)
    cache = None if settings.redis_url is None else RedisCache(settings.redis_url)

    def read_only() -> bool:
        return control.read().value("read_only") is True

    found = probes.database(open_data(settings.storage), read_only, probes.probe_key(settings.pod))
    return await probes.run({**found, **probes.redis(cache)})


def external(_args: argparse.Namespace, settings: Settings) -> Report:
    """Each external system apart; one that a flag switches off is disabled."""

    async def run() -> dict[str, Check]:
        found = probes.systems(settings, None)
        try:
            return await probes.run(probes.external(found, flags(settings)))
        finally:
            await found.close()

    return as_report(asyncio.run(run()))


def flags(settings: Settings) -> Callable[[str], bool]:
    """Looks a flag up in the control store; with the store down every system is probed."""
    try:
        state = open_control(settings.storage).read()
    except StoreError:
        return lambda _name: True
    return lambda name: state.value(name) is True


def as_report(checks: Mapping[str, Check]) -> Report:
    """Probes as a report."""
    problems = [f"{name}: {check.detail}" for name, check in checks.items() if check.status == "failed"]
    status = probes.overall(checks)
    data = {"status": status, "checks": {name: check.as_json() for name, check in checks.items()}}
    return Report("failed" if status == "failed" else "ok", data, problems)
