"""`codeblue verify`: recovery verification (R39-R46), and the mark of a known-good release (B2)."""

from typing import Annotated

from cyclopts import Parameter

from codeblue.cli.frame import Common

_DEFAULT = Common()


def verify(
    *,
    mark_known_good: Annotated[bool, Parameter(negative="")] = False,
    plan: Annotated[bool, Parameter(negative="")] = False,
    common: Common = _DEFAULT,
) -> int:
    """Verify that the service is healthy: every check that it offers the means for.

    Changes nothing but the mark. Exit 0: every check passed. 1: one failed. 4: the platform does not answer.

    Parameters
    ----------
    mark_known_good
        Watch it for the soak time (known_good.soak) afterwards, and mark the release known-good: a target of
        rollbacks from then on. Put it at the end of a release pipeline.
    plan
        Show what would be checked, and stop.
    """
    from codeblue.cli.session import Options, execute

    if mark_known_good:
        from codeblue.runbooks.known_good import Request

        return execute(common, "known_good", Request(), "known-good after its soak", Options(plan=plan, yes=True))
    from codeblue.runbooks.recovery import Request as VerifyRequest

    return execute(common, "recovery", VerifyRequest(), "verification", Options(plan=plan))
