"""Where the feature flags of the protected service are kept (R20, R21)."""

from collections.abc import Mapping
from typing import Protocol

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.flag import FlagValue, Stored


class FlagStore(Protocol):
    """Reads and writes flags where the service has them from. What its processes apply is asked of them, never here.

    The shared contract suite is `codeblue.testing.contracts.flags`.
    """

    @property
    def place(self) -> str:
        """What it is, for messages ("ConfigMap prod/flags, key flags.json"). No secret, no user, no password."""

    async def read(self, names: tuple[str, ...]) -> Mapping[str, Stored]:
        """What the store has of each of these flags, asked anew, never from a cache.

        A flag is only said to have a value where everybody gets it: no targeting, no other variant, enabled.

        Raises:
            Unreachable: no answer in time. Forbidden: we may not read it. Refused: what is there are no flags.
        """

    def change(self, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
        """What is still to be written so that everybody gets `wanted`; None when nothing is. Pure.

        Everything else that the store has (other flags, other keys) stays as it is.
        """

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """Write it. May be called twice: it sets values, and never toggles them.

        Raises:
            Conflict: somebody wrote in between; read again. Refused: it is not taken. Forbidden. Unreachable:
                no answer; whether it was taken is unknown until the next `read`.
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
