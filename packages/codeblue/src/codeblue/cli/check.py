"""`codeblue check`: the profile, and with --live whether Code Blue could act now (B1, R1c)."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from codeblue.cli.frame import Common, show, untouched
from codeblue.model.errors import ExitCode

if TYPE_CHECKING:
    from codeblue.cli.finding import Finding
    from codeblue.wiring import App

_DEFAULT = Common()

_SIGNS = {"ok": "✓", "no": "✗", "unknown": "?", "skipped": "–"}


@untouched()
def check(*, live: Annotated[bool, Parameter(negative="")] = False, common: Common = _DEFAULT) -> int:
    """Check the profile; with --live also whether Code Blue could act now. Changes nothing.

    It warns of what the profile says and this version does not do, and where nobody is paged.

    Exit 0 when all is well, also where there is nothing to roll back to because the release in force is known-good;
    2 for a faulty profile; 3 when a procedure would be refused now; 4 when something did not answer; 1 when every
    procedure could begin, but the service is unhealthy now. Where several hold, 3 goes before 4, and 4 before 1.

    Parameters
    ----------
    live
        Ask the platform, the service and the record, and plan every procedure that needs no further argument, with
        the profile's own settings. Only reading is tried: a missing right to change something is not found.
    """
    from codeblue.profile.caveats import caveats

    profile = common.load()
    warnings = caveats(profile)
    document = {"schema": "codeblue/check/1", "service": profile.service, "warnings": [asdict(w) for w in warnings]}
    warned = [f"! {w.message}\n    Next: {w.remedy}" for w in warnings]
    if not live:
        text = f"{common.path}: the profile is valid. `codeblue check --live` asks what it names."
        show(common, {**document, "ok": True, "findings": []}, "\n".join([text, *warned]))
        return int(ExitCode.DONE)
    from codeblue.cli.readiness import worst
    from codeblue.wiring import open_app

    findings = asyncio.run(_look(open_app(profile)))
    code = worst(findings)
    lines = [in_words(f) for f in findings]
    found = {"ok": code is ExitCode.DONE, "findings": [asdict(f) for f in findings]}
    show(common, {**document, **found}, "\n".join([*lines, *warned]))
    return int(code)


def in_words(finding: "Finding") -> str:
    """A finding for people: the line, what it announces below it, and what to do next."""
    below = [f"    {line}" for line in finding.lines]
    below += [f"    Next: {finding.remedy}"] if finding.remedy else []
    return "\n".join([f"{_SIGNS[finding.outcome]} {finding.what}: {finding.why}", *below])


async def _look(app: "App") -> "list[Finding]":
    from codeblue.cli.readiness import look

    try:
        return await look(app.world, app.lease)
    finally:
        await app.close()
