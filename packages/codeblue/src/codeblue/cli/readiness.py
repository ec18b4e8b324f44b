"""Could Code Blue act now? What `codeblue check --live` asks the platform and the record (B1, R1c). Changes nothing."""

from codeblue.cli.finding import Finding
from codeblue.cli.session import no_fence
from codeblue.cli.signals import look_at_signals
from codeblue.engine.runs import Runs, make_plan
from codeblue.model.errors import CodeBlueError, ExitCode, NothingToDo, NotOffered, Temporary
from codeblue.model.health import Outcome
from codeblue.model.release import Workload
from codeblue.model.verdict import Verdict
from codeblue.ports.lease import Lease
from codeblue.profile.model import Profile
from codeblue.profile.secretref import references
from codeblue.runbooks.registry import RUNBOOKS, USUAL, runbook
from codeblue.runbooks.rollout import judge_health, judge_rollout
from codeblue.runbooks.step import World

#: From good to bad, for a check: what would be refused weighs more than what could not be told, and that more than a
#: service that is unhealthy while everything stands ready to mend it.
_BADNESS = (ExitCode.DONE, ExitCode.FAILED, ExitCode.UNREACHABLE, ExitCode.REFUSED, ExitCode.USAGE)

_OUTCOMES = {
    Outcome.OK: ("ok", ExitCode.DONE),
    Outcome.BREACH: ("no", ExitCode.FAILED),
    Outcome.UNKNOWN: ("unknown", ExitCode.UNREACHABLE),
}


def worst(findings: list[Finding]) -> ExitCode:
    """The exit code of all of them together; the order they came in makes no difference."""
    return max((f.exit_code for f in findings), key=_BADNESS.index, default=ExitCode.DONE)


async def look(world: World, lease: Lease) -> list[Finding]:
    """Ask the platform, the service and the record, and plan every procedure. An error of ours becomes a finding."""
    secrets = look_at_secrets(world.profile)
    try:
        seen = await world.platform.observe()
        who = await world.platform.identity()
    except CodeBlueError as error:
        return [_failed("platform", error), *secrets]
    findings = [Finding("platform", "ok", f"{world.platform.target}, {seen.desired} wanted pods, as {who}")]
    findings += [Finding(f"{o.kind} {o.name}", "no" if o.reverts else "ok", o.remedy) for o in seen.owners]
    findings.append(Finding("release", "ok", _in_force(seen)))
    if seen.surged:
        why = "a rollback set the rollout strategy aside, and it was not put back"
        remedy = "`codeblue verify --mark-known-good` puts it back."
        findings.append(Finding("strategy", "no", why, remedy, ExitCode.FAILED))
    findings.append(_judged("pods", judge_rollout(seen, seen.template.exact)))
    findings.append(await _health(world, seen))
    findings += await look_at_signals(world)
    findings.append(await _lease(lease))
    findings += secrets
    findings.append(_under_way(world))
    findings += [await _procedure(name, world) for name in RUNBOOKS]
    return findings


def look_at_secrets(profile: Profile) -> list[Finding]:
    """Whether each secret that the profile refers to is there, by its key; never what it is."""
    there, findings = [], list[Finding]()
    for key, reference in references(profile):
        try:
            reference.resolve(key)
        except CodeBlueError as error:
            findings.append(_failed(f"secret {key}", error))
        else:
            there.append(key)
    if there:
        findings.insert(0, Finding("secrets", "ok", f"there are {', '.join(there)}"))
    return findings


async def _health(world: World, seen: Workload) -> Finding:
    try:
        return _judged("health", await judge_health(world, seen.template.version))
    except CodeBlueError as error:
        return _failed("health", error)


async def _lease(lease: Lease) -> Finding:
    try:
        holder = await lease.view()
    except CodeBlueError as error:
        return _failed("lease", error)
    return Finding("lease", "ok", f"held by {holder.holder}" if holder else "free")


def _under_way(world: World) -> Finding:
    try:
        Runs(world.record, world, no_fence).refuse_second(runbook("quick_rollback"))
    except CodeBlueError as error:
        return _failed("runs", error)
    return Finding("runs", "ok", "none is under way")


async def _procedure(name: str, world: World) -> Finding:
    """Whether this procedure would begin now, as its verb would begin it without further arguments."""
    what, usual = f"procedure {name}", USUAL[name]
    if usual is None:
        return Finding(what, "skipped", "not planned: it needs arguments that only its case gives")
    try:
        plan = await make_plan(name, usual(world.profile), world)
    except NothingToDo as error:
        return Finding(what, "ok", error.message)
    except NotOffered as error:
        return Finding(what, "skipped", error.message.removesuffix(" Nothing was changed."), error.remedy)
    except CodeBlueError as error:
        return _failed(what, error)
    return Finding(what, "ok", "can begin" + (", as it is planned now:" if plan.lines else ""), lines=tuple(plan.lines))


def _in_force(seen: Workload) -> str:
    standing = seen.standing(seen.template)
    since = f" since {seen.marks[seen.template.release].at:%Y-%m-%d %H:%M} UTC" if standing != "unproven" else ""
    return f"the release in force is {standing}{since}: {seen.template.label}"


def _judged(what: str, verdict: Verdict) -> Finding:
    outcome, code = _OUTCOMES[verdict.outcome]
    if verdict.outcome is not Outcome.BREACH:
        return Finding(what, outcome, verdict.why, exit_code=code)
    return Finding(
        what,
        outcome,
        f"UNHEALTHY NOW: {verdict.why}",
        "`codeblue status` tells what is being done; `codeblue rollback --reason … --plan` what could be.",
        code,
    )


def _failed(what: str, error: CodeBlueError) -> Finding:
    outcome = "unknown" if isinstance(error, Temporary) else "no"
    return Finding(what, outcome, error.message, error.remedy, error.exit_code)
