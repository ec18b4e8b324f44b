"""Names of runs and incidents: unique, sortable by time, safe as file names (D9, D51)."""

import re
import secrets
from datetime import datetime

_SAFE = re.compile(r"[a-z]{2,8}-\d{8}t\d{6}z-[0-9a-f]{6}")


def new_id(kind: str, at: datetime) -> str:
    """A new id such as `run-20261124t031502z-9f3a1c`.

    Args:
        kind: two to eight lower-case letters ("run", "inc").
        at: aware UTC time of creation.
    """
    return f"{kind}-{at:%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    """Whether the text has the form of our ids; anything else never becomes part of a path or a query."""
    return _SAFE.fullmatch(text) is not None
