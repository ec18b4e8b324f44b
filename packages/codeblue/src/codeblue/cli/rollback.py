"""`codeblue rollback`: the quick rollback (R11)."""

from typing import Annotated

from cyclopts import Parameter

from codeblue.cli.frame import Common

_DEFAULT = Common()

#: Characters; a reason is a sentence, not a document.
REASON_LIMIT = 500


def rollback(
    *,
    reason: Annotated[str, Parameter(required=True)],
    to: str = "",
    surge: Annotated[bool | None, Parameter(negative="--no-surge")] = None,
    allow_bad: Annotated[bool, Parameter(negative="")] = False,
    incident: str = "",
    plan: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="", name=["--yes", "-y"])] = False,
    common: Common = _DEFAULT,
) -> int:
    """Roll back to the known-good release, and prove it on every pod.

    Shows what it would do, and asks. Today's secrets stay.

    Exit codes:

    - 0: done and verified
    - 1: failed; the result says where the workload stands
    - 2: the command or the profile is wrong, nothing was touched
    - 3: refused for safety, nothing was changed
    - 4: the platform or the record does not answer, nothing was changed
    - 130: interrupted; the run can be resumed

    For example: `codeblue rollback --reason "errors since 14:00" --plan`

    Parameters
    ----------
    reason
        Why; it is recorded and stands in the report. No patient data.
    to
        Revision (number or version) to go to instead of the known-good one.
    surge
        Replace all pods at once, where quota and nodes allow it; default from the profile.
    allow_bad
        Go to --to although that release is quarantined.
    incident
        The open incident that it is done for; default: the newest.
    plan
        Show what would be done, and stop.
    yes
        Do not ask.
    """
    from codeblue.cli.session import Options, execute
    from codeblue.model.errors import UsageError
    from codeblue.runbooks.quick_rollback import Request

    if not reason.strip():
        raise UsageError("--reason is empty.", remedy="Say in a few words why; it stands in the report.")
    if not reason.isprintable() or len(reason) > REASON_LIMIT:
        raise UsageError(
            f"--reason is not one line of 1 to {REASON_LIMIT} printable characters.",
            remedy="Say in a few words why; it stands in the report.",
        )
    profile_says = common.load().runbooks.quick_rollback.at_once
    request = Request(to=to, at_once=profile_says if surge is None else surge, allow_bad=allow_bad)
    return execute(common, "quick_rollback", request, reason, Options(plan=plan, yes=yes, incident=incident))
