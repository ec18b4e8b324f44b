"""`codeblue inhibit`: begin, end."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import App, Parameter

from codeblue.cli.frame import Common, show, untouched

_DEFAULT = Common()

#: The longest time that triggers can be kept quiet by hand, seconds.
LONGEST_S = 24 * 3600.0

app = App(name="inhibit", help="Let no trigger fire for a while, and end that: for work that looks like an outage.")


@app.command
@untouched()
def begin(
    *,
    time: Annotated[str, Parameter(name="--for", required=True)],
    reason: Annotated[str, Parameter(required=True)],
    common: Common = _DEFAULT,
) -> int:
    """No trigger fires until it is ended, or until the time is over: then people are told that nobody ended it.

    Parameters
    ----------
    time
        How long at most: "30m", "2h"; up to 24h.
    reason
        Why; it is recorded. No patient data.
    """
    from codeblue.cli.actor import actor_name
    from codeblue.cli.looking import look
    from codeblue.cli.words import sentence
    from codeblue.model.event import Draft
    from codeblue.record.pages import anchor_data
    from codeblue.wiring import system_clock

    seconds, kept = _seconds(time), sentence(reason, "--reason")
    record = look(common.load()).need("Nothing can be inhibited")
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    data = {"kind": "declared", "why": kept, "expires": expires.isoformat()}
    anchor = anchor_data(system_clock().anchor())
    record.append(Draft("inhibition.begun", actor_name(), {**data, "anchor": anchor}))
    text = f"No trigger fires until {expires:%Y-%m-%d %H:%M:%S} UTC. `codeblue inhibit end` ends it earlier."
    show(common, {"schema": "codeblue/inhibition/1", **data}, text)
    return 0


@app.command
@untouched()
def end(*, common: Common = _DEFAULT) -> int:
    """The triggers count again, from the next look at the service on."""
    from codeblue.cli.actor import actor_name
    from codeblue.cli.looking import look
    from codeblue.model.errors import NothingToDo
    from codeblue.model.event import Draft
    from codeblue.record.inhibitions import INHIBITION_KINDS, fold_inhibitions

    record = look(common.load()).need("Nothing is inhibited")
    if not any(i.kind == "declared" for i in fold_inhibitions(record.read(kinds=INHIBITION_KINDS))):
        raise NothingToDo("Nobody inhibits the triggers by hand. Nothing was changed.")
    record.append(Draft("inhibition.released", actor_name(), {"kind": "declared", "why": "by hand"}))
    show(common, {"schema": "codeblue/inhibition/1", "kind": "declared", "released": True}, "The triggers count again.")
    return 0


def _seconds(text: str) -> float:
    from pydantic_core import PydanticCustomError

    from codeblue.model.errors import UsageError
    from codeblue.profile.units import parse_duration

    remedy = 'Write a number with its unit: --for 30m. At most "24h".'
    try:
        seconds = parse_duration(text)
    except PydanticCustomError as error:
        raise UsageError(f"--for is no duration: {text[:40]!r}. Nothing was changed.", remedy=remedy) from error
    if not 1 <= seconds <= LONGEST_S:
        raise UsageError(f"--for is not between 1s and 24h: {text[:40]!r}. Nothing was changed.", remedy=remedy)
    return seconds
