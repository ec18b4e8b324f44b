"""A secret that does not show itself: its repr and str are `***`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class Secret:
    """Holds a secret text; only `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def from_env(env: Mapping[str, str], name: str) -> Secret | None:
    """Read a secret from `NAME`, or from the file that `NAME_FILE` names (trailing newline dropped).

    Raises:
        ValueError: both are set, or the file cannot be read or is empty. A missing secret never becomes "".
    """
    direct, path = env.get(name, ""), env.get(f"{name}_FILE", "")
    if direct and path:
        raise ValueError(f"{name} and {name}_FILE are both set; keep one")
    if direct:
        return Secret(direct)
    if not path:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE={path} cannot be read: {type(error).__name__}") from None
    if not text:
        raise ValueError(f"{name}_FILE={path} is empty")
    return Secret(text)
