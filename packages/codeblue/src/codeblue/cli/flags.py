"""`codeblue flags`: the kill switch (R20, R21)."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from codeblue.cli.frame import Common, show, untouched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codeblue.model.flag import Stored
    from codeblue.profile.model import Profile
    from codeblue.runbooks.processes import Census
    from codeblue.runbooks.step import World

_DEFAULT = Common()

Plan = Annotated[bool, Parameter(negative="")]
Yes = Annotated[bool, Parameter(negative="", name=["--yes", "-y"])]

app = App(name="flags", help="Switch the AI features off, proven in every process of every pod; restore them; look.")


@app.command
def disable(
    *flags: str,
    reason: Annotated[str, Parameter(required=True)],
    incident: str = "",
    plan: Plan = False,
    yes: Yes = False,
    common: Common = _DEFAULT,
) -> int:
    """Switch the AI features off, and prove that they are off in every process of every pod.

    What was before is kept: `codeblue flags restore` brings it back. Works while pods crash, and while there is none.
    The Clinical lead is paged.

    Exit 0 only when the store has them off for everybody, every worker process reports it, and the model was called no
    more after the calls that were under way. Exit 1 names the pod and the process that may still have them on.

    For example: `codeblue flags disable --reason "wrong dosages since 14:00" --yes`

    Parameters
    ----------
    flags
        Names of flags; default: all of the profile.
    reason
        Why; it is recorded and stands in the report. No patient data.
    incident
        The open incident that it is done for; default: the newest.
    plan
        Show what would be done, and stop.
    yes
        Do not ask.
    """
    from codeblue.cli.session import Options, execute
    from codeblue.record.flags import DISABLE
    from codeblue.runbooks.flags import DisableRequest

    return execute(common, DISABLE, DisableRequest(flags), reason, Options(plan=plan, yes=yes, incident=incident))


@app.command
def restore(
    *flags: str,
    reason: Annotated[str, Parameter(required=True)],
    expected: Annotated[bool, Parameter(negative="")] = False,
    incident: str = "",
    plan: Plan = False,
    yes: Yes = False,
    common: Common = _DEFAULT,
) -> int:
    """Bring back exactly the values from before the flags were switched off, and see them in every process.

    Parameters
    ----------
    flags
        Names of flags; default: all that were switched off.
    reason
        Why it is safe again; it is recorded and stands in the report. No patient data.
    expected
        To the values that the profile expects, in place of those from before.
    incident
        The open incident that it is done for; default: the newest.
    plan
        Show what would be done, and stop.
    yes
        Do not ask.
    """
    from codeblue.cli.session import Options, execute
    from codeblue.record.flags import RESTORE
    from codeblue.runbooks.flags import RestoreRequest

    return execute(
        common, RESTORE, RestoreRequest(flags, expected), reason, Options(plan=plan, yes=yes, incident=incident)
    )


@app.command
@untouched()
def status(*, common: Common = _DEFAULT) -> int:
    """What the store has, what each process applies, and what was before; changes nothing.

    Exit 0 when every process of every pod applies what is stored; 1 when one does not, or that cannot be told.
    """
    import asyncio

    from codeblue.wiring import open_app

    profile = common.load()
    app_ = open_app(profile)

    async def look() -> int:
        try:
            return await _status(common, profile, app_.world)
        finally:
            await app_.close()

    return asyncio.run(look())


async def _status(common: Common, profile: "Profile", world: "World") -> int:
    from codeblue.model.errors import ExitCode, Refused, Temporary
    from codeblue.model.flag import spoken
    from codeblue.record.flags import FLAG_KINDS, prior_values
    from codeblue.runbooks.processes import can_be_asked, census, judge

    if not profile.flags:
        raise Refused("The profile names no flags.", remedy="Add flags with the values they should have (R42).")
    names, stored, trouble = tuple(profile.flags), dict["str", "Stored"](), ""
    if world.flags is not None:
        try:
            stored = dict(await world.flags.read(names))
        except (Refused, Temporary) as error:
            trouble = error.message
    else:
        trouble = "the profile does not say where they are stored (contract.commands: flags_status and flags_set)"
    before = prior_values(world.record.read(kinds=FLAG_KINDS))
    lines = [f"{'flag':<32} {'stored':<12} {'expected':<12} before it was switched off"]
    for name in names:
        value = stored[name].value if name in stored else None
        why = f"  ({stored[name].why})" if name in stored and stored[name].why else ""
        was = spoken(before[name]) if name in before else "-"
        lines.append(f"{name:<32} {spoken(value):<12} {spoken(profile.flags[name]):<12} {was}{why}")
    if trouble:
        lines.append(f"The store was not read: {trouble}")
    known = {n: s.value for n, s in stored.items() if s.value is not None}
    agreed, said, seen = False, "no way to ask the processes is in the profile (contract.processes)", None
    if can_be_asked(world):
        seen = await census(world)
        verdict = judge("flags", seen, known)
        agreed, said = verdict.ok and len(known) == len(names), f"{verdict.outcome}: {verdict.why}"
        lines += ["", *_table(seen, names)]
    lines += ["", f"Processes: {said}."]
    document = {
        "schema": "codeblue/flags/1",
        "store": world.flags.place if world.flags else None,
        "flags": {
            name: {
                "stored": stored[name].value if name in stored else None,
                "why": stored[name].why if name in stored else trouble,
                "expected": profile.flags[name],
                "before": before.get(name),
            }
            for name in names
        },
        "processes": _document(seen, names),
        "silent": dict(seen.silent) if seen else {},
        "agreed": agreed,
        "verdict": said,
    }
    show(common, document, "\n".join(lines))
    return int(ExitCode.DONE if agreed else ExitCode.FAILED)


def _table(seen: "Census", names: tuple[str, ...]) -> list[str]:
    from codeblue.runbooks.processes import named

    lines = []
    for process in sorted(named(seen.processes), key=lambda p: p.name):
        values = ", ".join(f"{name}={_plain(process.values.get(name))}" for name in names)
        lines.append(f"{process.name}: {values if process.live else 'does not report any more'}")
    return lines + [f"{pod}: {why}" for pod, why in sorted(seen.silent.items())]


def _document(seen: "Census | None", names: tuple[str, ...]) -> "list[Mapping[str, object]]":
    from codeblue.runbooks.processes import named

    return [
        {
            "pod": p.pod or p.place,
            "pid": p.pid,
            "live": p.live,
            "loaded_at": p.loaded_at,
            "flags": {n: _plain(p.values.get(n)) for n in names},
        }
        for p in (named(seen.processes) if seen else ())
    ]


def _plain(value: object) -> object:
    """What a process said, where it can be the value of a flag: the rest is text of the service."""
    return value if isinstance(value, bool | int) else None
