"""The application: which endpoints there are, what every answer carries, and what is said when something is wrong."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codeblue import __version__
from codeblue.web.alerts import alerts
from codeblue.web.answers import HEADERS, Problem
from codeblue.web.clicks import pagerduty_webhook, slack_actions
from codeblue.web.desk import Desk
from codeblue.web.looks import looks, status
from codeblue.web.metrics import Numbers

_STATUS_TEXTS: Final = {
    404: ("There is nothing at this address.", "GET /openapi.json lists what there is; what has no secret in the "
          "profile's section api does not exist."),
    405: ("This address does not take this method.", "The header Allow lists those that it takes."),
}  # fmt: skip
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def make_app(desk: Desk) -> FastAPI:
    """The application of a desk. It calls no adapter: what it is told becomes an event of the record, or is refused."""
    app = FastAPI(
        title="Code Blue",
        version=__version__,
        summary="Alerts and clicks become events of the record; the record becomes status and metrics.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    numbers = Numbers(desk.record, desk.loop)
    schemes: dict[str, Any] = {}
    app.include_router(looks(desk, numbers))
    if desk.status_token is not None:
        app.include_router(status(desk, desk.status_token))
        schemes["status"] = {"type": "http", "scheme": "bearer"}
    if desk.alerts_token is not None:
        app.include_router(alerts(desk, desk.alerts_token))
        schemes["alerts"] = {"type": "http", "scheme": "bearer"}
    if desk.slack_secret is not None:
        app.include_router(slack_actions(desk, desk.slack_secret))
    if desk.pagerduty_secret is not None:
        app.include_router(pagerduty_webhook(desk, desk.pagerduty_secret))
    _describe(app, schemes)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _defect)
    app.add_middleware(_Every, numbers=numbers)
    return app


class _Every:
    """What every answer carries, and its place in the metrics."""

    def __init__(self, app: ASGIApp, numbers: Numbers) -> None:
        self._app, self._numbers = app, numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # names that we gave: what somebody asks for must not become a label
                endpoint = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._numbers.answers.labels(endpoint, method, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, sent)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101  # registered for it
    return error.answer()


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for it
    message, remedy = _STATUS_TEXTS.get(
        error.status_code, ("The request cannot be answered.", "Look at /openapi.json.")
    )
    return JSONResponse({"message": message, "remedy": remedy}, error.status_code, dict(error.headers or {}))


async def _invalid(_: Request, __: Exception) -> JSONResponse:
    # without what was sent, which the library would repeat
    return JSONResponse({"message": "It does not say what it must.", "remedy": "Look at /openapi.json."}, 422)


async def _defect(_: Request, __: Exception) -> JSONResponse:
    # the library raises it anew behind this answer, and the server writes it to its log
    answer = {"message": "A defect of Code Blue's: nothing follows from this request.", "remedy": "Report it."}
    return JSONResponse(answer, 500, HEADERS)


def _describe(app: FastAPI, schemes: dict[str, Any]) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = make()
            schema.setdefault("components", {})["securitySchemes"] = schemes
            app.openapi_schema = schema
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
