"""`codeblue check`: the profile, and with --live what it names (B1, R1c)."""

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from codeblue.cli.frame import Common, show, untouched
from codeblue.model.errors import CodeBlueError, ExitCode

if TYPE_CHECKING:
    from codeblue.wiring import App

_DEFAULT = Common()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check.

    Attributes:
        outcome: "ok", "no" (it would fail now) or "unknown".
    """

    what: str
    outcome: str
    why: str
    remedy: str = ""


@untouched()
def check(*, live: Annotated[bool, Parameter(negative="")] = False, common: Common = _DEFAULT) -> int:
    """Check the profile; with --live also whether every procedure would work now, and what each missing piece costs.

    Exit 0 when all is well; 2 for a faulty profile; 3 when a procedure would be refused now; 4 when the platform does
    not answer. Changes nothing.

    Parameters
    ----------
    live
        Ask the platform: names, permissions, a known-good revision that can still start, room for all at once.
    """
    profile = common.load()
    if not live:
        document = {"schema": "codeblue/check/1", "service": profile.service, "ok": True, "findings": []}
        show(common, document, f"{common.path}: the profile is valid. `codeblue check --live` asks what it names.")
        return int(ExitCode.DONE)
    from codeblue.wiring import open_app

    app = open_app(profile)
    findings, code = asyncio.run(_live(app))
    document = {
        "schema": "codeblue/check/1",
        "service": profile.service,
        "ok": code is ExitCode.DONE,
        "findings": [asdict(f) for f in findings],
    }
    signs = {"ok": "✓", "no": "✗", "unknown": "?"}
    lines = [
        f"{signs[f.outcome]} {f.what}: {f.why}" + (f"\n    Next: {f.remedy}" if f.remedy else "") for f in findings
    ]
    show(common, document, "\n".join(lines))
    return int(code)


async def _live(app: "App") -> tuple[list[Finding], ExitCode]:
    from codeblue.engine.runs import make_plan
    from codeblue.runbooks.quick_rollback import Request
    from codeblue.runbooks.recovery import Request as VerifyRequest
    from codeblue.runbooks.rollout import judge_health

    findings: list[Finding] = []
    try:
        seen = await app.world.platform.observe()
        who = await app.world.platform.identity()
    except CodeBlueError as error:
        return [Finding("platform", "no", error.message, error.remedy)], error.exit_code
    findings.append(Finding("platform", "ok", f"{app.world.platform.target}, {seen.desired} replicas, as {who}"))
    findings += [Finding(f"{o.kind} {o.name}", "no" if o.reverts else "ok", o.remedy) for o in seen.owners]
    try:
        health = await judge_health(app.world, "")
        outcome = {"ok": "ok", "breach": "no", "unknown": "unknown"}[health.outcome.value]
        findings.append(Finding("health", outcome, health.why))
        holder = await app.lease.view()
        findings.append(Finding("lease", "ok", f"held by {holder.holder}" if holder else "free"))
    except CodeBlueError as error:
        findings.append(Finding("health", "unknown", error.message, error.remedy))
    code = ExitCode.DONE
    for name, request in (("quick_rollback", Request(at_once=True)), ("recovery", VerifyRequest())):
        try:
            plan = await make_plan(name, request, app.world)
        except CodeBlueError as error:
            findings.append(Finding(f"procedure {name}", "no", error.message, error.remedy))
            code = error.exit_code
        else:
            findings.append(Finding(f"procedure {name}", "ok", "; ".join(plan.lines)))
    await app.close()
    return findings, code
