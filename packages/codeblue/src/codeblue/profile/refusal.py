"""How a field refuses its value: what is wrong, what to write instead, and never the value itself.

The loader decides whether a value may be shown; a validator only says what it expects.
"""

from pydantic_core import PydanticCustomError

#: The type of our own errors among pydantic's.
KIND = "codeblue"


def refusal(message: str, remedy: str, *, at: tuple[str, ...] = (), quiet: bool = False) -> PydanticCustomError:
    """An error for a validator to raise.

    Args:
        message: what is wrong, continuing "path.to.key: ", without the value.
        remedy: what to write instead.
        at: keys below the validated section that the error is about; () for the value itself.
        quiet: the value is not shown in any case.
    """
    return PydanticCustomError(KIND, "{message}", {"message": message, "remedy": remedy, "at": at, "quiet": quiet})
