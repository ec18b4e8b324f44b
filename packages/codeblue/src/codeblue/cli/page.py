"""`codeblue page`: prove that a page reaches a person."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from codeblue.cli.frame import Common

_DEFAULT = Common()

RoleName = Literal[
    "on_call", "devops_lead", "ai_team", "security", "clinical_lead", "cto", "clinical_director", "ceo", "cmo"
]

app = App(name="page", help="Send a test page: does it reach a person?")


@app.command
def test(
    *,
    role: tuple[RoleName, ...] = ("on_call",),
    plan: Annotated[bool, Parameter(negative="")] = False,
    common: Common = _DEFAULT,
) -> int:
    """Send a page that says that it is a test, over the channels of the profile; it is recorded.

    A running daemon sends it, without one this command does. Exit 1 when no channel accepted it.

    Parameters
    ----------
    role
        Whom; can be given several times.
    plan
        Say who would be paged over what, and stop.
    """
    from codeblue.cli.paging import send_test
    from codeblue.model.incident import Role

    return send_test(common, [Role(name) for name in dict.fromkeys(role)], plan=plan)
