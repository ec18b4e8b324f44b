"""Feature flags through the service's own operator commands (R20, R60): keeps `ports.flags.FlagStore`.

`flags_status` prints the form of contract/operator-commands.md; `flags_set` gets one flag and its value, as arguments
or as parts of some: a value that is lost on the way is an error of the command, never a default (D26). What was set is
read back: an exit code of 0 is no proof.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from codeblue.adapters.flag_change import planned, wanted_of
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Refused, Unreachable
from codeblue.model.flag import FlagValue, Stored
from codeblue.model.health import Outcome
from codeblue.ports.clock import Clock
from codeblue.ports.commands import Commands

STATUS: Final = "flags_status"
SET: Final = "flags_set"
#: Limit of one command; the document names none (D11).
COMMAND_S: Final = 30.0
_REMEDY: Final = "Run the command of contract.commands yourself and look at what it says."


class CommandFlags:
    """The flags that two operator commands read and write.

    Args:
        commands: must offer `flags_status` and `flags_set`.
    """

    place = "the service's flag commands"

    def __init__(self, commands: Commands, clock: Clock, *, timeout_s: float = COMMAND_S) -> None:
        self._commands, self._clock, self._timeout_s = commands, clock, timeout_s

    async def read(self, names: tuple[str, ...]) -> Mapping[str, Stored]:
        """See `FlagStore.read`. A command that fails because a process disagrees has told what is stored."""
        results = await self._commands.everywhere(STATUS, timeout_s=self._timeout_s)
        for result in results:
            flags = _flags(result.output)
            if flags is not None:
                return {name: _stored(flags, name) for name in names}
        if not results:
            raise Unreachable(f"{STATUS} could not be run: there is no pod to run it in.")
        details = "; ".join(sorted({r.detail for r in results}))
        if all(r.outcome is Outcome.OK for r in results):
            raise Refused(
                f"{STATUS} did not print the flags ({details}).",
                remedy="Let it print one line of JSON: contract/operator-commands.md has the form.",
            )
        raise Unreachable(f"{STATUS} did not say what is stored: {details}.", remedy=_REMEDY)

    def change(self, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
        """See `FlagStore.change`."""
        return planned(self.place, seen, wanted)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `FlagStore.apply`. One flag after the other; one that cannot be set keeps no other from being set."""
        failed, unclear = [], False
        values = wanted_of(change)
        for name, value in values.items():
            said = {"flag": name, "value": json.dumps(value)}
            result = await self._commands.run(SET, timeout_s=self._timeout_s, values=said)
            if result.outcome is not Outcome.OK:
                failed.append(f"{name}: {result.detail}")
                unclear |= result.outcome is Outcome.UNKNOWN or "exit code 4" in result.detail
        if failed:
            message = f"{SET} failed for {'; '.join(failed)}."
            raise Unreachable(message, remedy=_REMEDY) if unclear else Refused(message, remedy=_REMEDY)
        return Receipt(change.summary, f"{len(values)} commands ended with 0", self._clock.now())

    async def close(self) -> None:
        """See `FlagStore.close`."""


def _flags(output: bytes) -> Mapping[str, Any] | None:
    """The flags of an answer; None where there are none. Programs like npm print lines of their own before it."""
    for line in reversed(output.splitlines()):
        if not line.startswith(b"{"):
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            return None
        data = data.get("data", data) if isinstance(data, dict) else None
        flags = data.get("flags") if isinstance(data, dict) else None
        return flags if isinstance(flags, dict) else None
    return None


def _stored(flags: Mapping[str, Any], name: str) -> Stored:
    if name not in flags:
        return Stored(None, "it is not stored")
    entry = flags[name]
    value = entry.get("value") if isinstance(entry, dict) else entry
    if isinstance(value, bool) or (isinstance(value, int) and 0 <= value <= 100):
        return Stored(value)
    return Stored(None, "its value is neither a switch nor a percentage")
