"""`flags set|status`, `modes set|status`: write the control store, and read back what every process applies."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from functools import partial

from ai_diagnostics import control
from ai_diagnostics.commands import Report, Subparsers, UsageError, verdict
from ai_diagnostics.control import Kind, Value
from ai_diagnostics.processes import Agreement, agreement
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import ControlStore, open_control

_POLL_S = 0.2


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    kinds: tuple[tuple[str, Kind], ...] = (("flags", "flag"), ("modes", "mode"))
    for verb, kind in kinds:
        actions = verbs.add_parser(verb, help=f"set or read the {verb}").add_subparsers(dest="action", required=True)
        setter = actions.add_parser("set", parents=[common], help="NAME VALUE; the value has no default")
        setter.add_argument("name")
        setter.add_argument("value")
        setter.add_argument("--reason", default="operator command")
        setter.add_argument("--actor", default="operator command")
        setter.add_argument("--wait", type=float, default=0.0, metavar="S", help="until every process applies it")
        setter.set_defaults(run=partial(set_value, kind))
        status = actions.add_parser("status", parents=[common], help="what is stored, and what each process applies")
        status.add_argument("--expect", action="append", default=[], metavar="NAME=VALUE")
        status.set_defaults(run=partial(read_values, kind))


def set_value(kind: Kind, args: argparse.Namespace, settings: Settings) -> Report:
    """Set one value; refuses an unknown name or value before anything is touched (D26)."""
    value = parsed(args.name, args.value, kind)
    store = open_control(settings.storage)
    before = store.read().value(args.name)
    state = store.change(args.name, value, actor=args.actor, reason=args.reason)
    data: dict[str, object] = {
        "name": args.name,
        "before": before,
        "after": value,
        "control_version": state.version,
    }
    if not args.wait:
        return Report("ok", data)
    found = wait_for_agreement(store, args.wait)
    problems = list(found.disagreements) or ([] if found.agreed else ["no process reports; is the service running?"])
    return Report(verdict(problems), {**data, "processes": len(found.processes)}, problems)


def read_values(kind: Kind, args: argparse.Namespace, settings: Settings) -> Report:
    """Read stored and applied values; fails when a process disagrees, or an expectation does not hold."""
    expected = expectations(args.expect, kind)
    store = open_control(settings.storage)
    state = store.read()
    found = agreement(state, store.processes())
    names = control.FLAGS if kind == "flag" else control.MODES
    problems = [problem for problem in found.disagreements if _concerns(problem, names)]
    problems += [
        f"{name} is {state.value(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if state.value(name) != value
    ]
    keys = ("pod", "pid", "workers", "start_time", "version", "live", "age_s", f"{kind}s", "guarded_calls")
    data = {
        "control_version": state.version,
        f"{kind}s": {name: {**asdict(state.settings[name])} for name in names if name in state.settings},
        "agreed": found.agreed,
        "processes": [{key: process.get(key) for key in keys} for process in found.processes],
    }
    return Report(verdict(problems), data, problems)


def parsed(name: str, value: str, kind: Kind | None) -> Value:
    """Read a name and a value; raises UsageError."""
    try:
        return control.spec(name, kind).parse(value)
    except ValueError as error:
        raise UsageError(str(error)) from None


def expectations(pairs: list[str], kind: Kind | None) -> dict[str, Value]:
    """Read NAME=VALUE pairs; raises UsageError."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--expect takes NAME=VALUE, not {pair!r}")
        found[name] = parsed(name, value, kind)
    return found


def wait_for_agreement(store: ControlStore, limit_s: float) -> Agreement:
    """Poll until every process applies what is stored, or the limit is over; returns the last look."""
    deadline = time.monotonic() + limit_s
    while True:
        found = agreement(store.read(), store.processes())
        if found.agreed or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_S)


def _concerns(problem: str, names: tuple[str, ...]) -> bool:
    return "has not reported" in problem or any(f" applies {name}=" in problem for name in names)
