"""A secret is a type: nothing that prints, formats, pickles or serialises it shows its value (house rule 7)."""

import hmac
import re
from typing import Final, NoReturn

_MASK: Final = "***"


class Secret:
    """A value that only `reveal()` shows; `repr`, `str` and `format` give `***`, pickling and copying its text fail.

    Raises:
        ValueError: for an empty text. A missing secret never becomes "".
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret cannot be empty")
        self.__value = value

    def reveal(self) -> str:
        """The value itself, for the one call that needs it; never for argv, a log, the record or a message."""
        return self.__value

    def __repr__(self) -> str:
        return _MASK

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return format(_MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash in a dump would be a test of guesses

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or serialised; hand on its reference (env or file) instead")


_CREDENTIALS: Final = r"(?<=://)[^/@\s]*:[^/@\s]+(?=@)"
_IN_URL: Final = re.compile(_CREDENTIALS)
_IN_TEXT: Final = re.compile(
    _CREDENTIALS + r"|(?<=hooks\.slack\.com/)\S+"
    r"|\b(?:xox[a-z]-|AKIA|gh[a-z]_|github_pat_|sk-|eyJ)[A-Za-z0-9_.\-]{8,}"  # what keys of providers begin with; JWTs
    r"|-----BEGIN [A-Z ]*PRIVATE KEY.*"
    r"|(?i:(?<=bearer ))\S{8,}"
    r"|(?i:\b[a-z_-]{0,40}(?:password|passwd|secret|token|api[-_]?key)[a-z_-]{0,40}\s?[=:]\s?)(?P<value>\S+)"
    r"|(?=[A-Za-z0-9+_=-]*[a-z])(?=[A-Za-z0-9+_=-]*[A-Z])(?=[A-Za-z0-9+_=-]*[0-9])[A-Za-z0-9+_=-]{32,}",
)


def masked(text: str) -> str:
    """A text of a person with `***` where it seems to hold the value of a secret.

    The second net (B9): people are asked to write none, and this is for when they do.
    """
    return _IN_TEXT.sub(_hide, text)


def masked_name(name: str) -> str:
    """A name without the password of a URL in it. Names can be long and random: nothing else is hidden."""
    return _IN_URL.sub(_MASK, name)


def _hide(found: "re.Match[str]") -> str:
    value = found["value"]
    return _MASK if value is None else found[0][: -len(value)] + _MASK
