"""The state file and its lock: every change of it is one compare-and-swap."""

from collections.abc import Callable

from codeblue.adapters.local.files import Layout, locked, read_json, write_json
from codeblue.adapters.local.state import State, from_json, to_json
from codeblue.model.errors import NotFound, Unreachable, UsageError


def load(layout: Layout) -> State:
    """The state as it is now; needs no lock, because it is replaced whole.

    Raises:
        NotFound: there is no workload here. Forbidden. Unreachable: the file is damaged.
    """
    data = read_json(layout.state)
    if data is None:
        raise NotFound(
            f"There is no local workload in {layout.directory}.",
            remedy="Start one there first, or correct platform.directory in the profile.",
        )
    try:
        return from_json(data)
    except (KeyError, ValueError, TypeError, UsageError) as error:
        raise Unreachable(f"{layout.state} is damaged: {error}.", remedy="Restore it from a copy.") from error


def edit(layout: Layout, change: Callable[[State], State], *, timeout_s: float = 5.0) -> State:
    """Replace the state by `change(state)` under the lock; blocks. What `change` raises leaves everything as it was.

    Raises:
        NotFound, Forbidden, Unreachable: as `load`, or the lock could not be had within `timeout_s`.
    """
    if not layout.directory.is_dir():
        raise NotFound(f"There is no local workload in {layout.directory}.", remedy="Start one there first.")
    with locked(layout.lock, timeout_s=timeout_s):
        before = load(layout)
        after = change(before)
        if after != before:
            write_json(layout.state, to_json(after))
        return after
