"""Answers: what is wrong and what to do about it, as JSON, and never what was sent."""

from typing import Any, Final

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from codeblue.model.errors import CodeBlueError

#: With every answer. There is nothing here to be shown in a frame, kept in a cache or executed.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class ErrorAnswer(BaseModel):
    """What every answer above 399 says."""

    message: str = Field(description="What happened and what it means.")
    remedy: str = Field(description="What to do next.")


class Problem(Exception):
    """An answer that is no success.

    Args:
        close: the connection is closed after it: what is still to come on it is not worth reading.
    """

    def __init__(
        self, status: int, message: str, remedy: str, *, close: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.remedy = status, message, remedy
        self.headers = dict(headers or {}) | ({"Connection": "close"} if close else {})

    def answer(self) -> JSONResponse:
        """It as a response."""
        return JSONResponse({"message": self.message, "remedy": self.remedy}, self.status, self.headers)


class TooMuch(Problem):
    """An answer to what is too large, or too many at once."""


def not_stored(error: CodeBlueError) -> Problem:
    """503 for what could not be recorded: senders try again."""
    return Problem(
        503,
        f"It could not be recorded: {error.message}",
        error.remedy or "Send it again.",
        headers={"Retry-After": "5"},
    )


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The part of an endpoint's description that names its errors."""
    what = {
        400: "It is no JSON document, or no form.",
        401: "The token or the signature is missing or wrong.",
        403: "This person may not do that.",
        404: "There is no such thing.",
        405: "Not with this method.",
        408: "It did not come in time.",
        409: "It is not so any more.",
        413: "It is too large.",
        415: "It is not of the right type.",
        422: "It does not say what it must.",
        503: "It cannot be recorded or told now: try again.",
    }
    return {status: {"model": ErrorAnswer, "description": what[status]} for status in statuses}
