"""A secret is a type: nothing that prints, formats, pickles or serialises it shows its value (house rule 7)."""

import hmac
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
