"""Slack: `chat.postMessage` and incoming webhooks, as their documentation has them (docs.slack.dev).

The Web API answers 200 with `ok: false` and a code, but for 429 with `Retry-After`. Refused: no or another token, an
unknown channel or one that the app is not in, no text and no blocks, more than 50 blocks, texts above their limits
(section 3,000, field 2,000 and 10 fields, header 150, button 75 and its value 2,000), a text of more than 40,000
characters, unknown kinds of block, the same action twice. More than one message a second for a channel is refused once
a short burst is used up.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from codeblue.testing.emulators.base import Emulator, Window, whole_seconds

MAX_BLOCKS = 50
MAX_TEXT = 40_000
#: Slack allows "short bursts" above one a second and does not say how short.
BURST, BURST_S = 20, 20.0


class Slack(Emulator):
    """One workspace.

    Args:
        token: of the app's bot. channels: ids that it is in. outside: ids of channels that it is not in.
        hook: path of an incoming webhook below /services/, "T0/B0/…".

    Attributes:
        messages: (channel, text, blocks) in order; the channel of a webhook's message is "hook".
    """

    def __init__(
        self,
        token: str,
        channels: tuple[str, ...],
        hook: str = "",
        outside: tuple[str, ...] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(
            [
                Route("/api/chat.postMessage", self._post, methods=["POST"]),
                Route("/services/{hook:path}", self._hooked, methods=["POST"]),
                Route("/api/auth.test", self._auth_test, methods=["POST"]),
            ]
        )
        self.token, self.channels, self.outside, self.hook = token, channels, outside, hook
        self.messages: list[tuple[str, str, list[dict[str, Any]]]] = []
        self._window = Window(BURST, BURST_S, clock) if clock else Window(BURST, BURST_S)

    @property
    def texts(self) -> list[str]:
        """What people read, one text for each message."""
        return ["\n".join(_words(blocks)) or text for _, text, blocks in self.messages]

    @property
    def api(self) -> str:
        """The base of the Web API."""
        return f"{self.url}/api"

    async def _auth_test(self, request: Request) -> Response:
        error = self._unknown(request, {})
        return _no(error) if error else JSONResponse({"ok": True, "user_id": "U0CODEBLUE", "team_id": "T0"})

    async def _post(self, request: Request) -> Response:
        try:
            said = await _said(request)
        except (ValueError, RecursionError):
            return _no("invalid_json")
        if said is None:
            return _no("invalid_post_type")
        error = self._unknown(request, said)
        if error:
            return _no(error)
        channel = said.get("channel")
        if not isinstance(channel, str) or not channel or channel not in (*self.channels, *self.outside):
            return _no("channel_not_found")
        if channel in self.outside:
            return _no("not_in_channel")
        wait_s = self._window.wait_s(channel)
        if wait_s:
            return JSONResponse(
                {"ok": False, "error": "ratelimited"}, status_code=429, headers={"Retry-After": whole_seconds(wait_s)}
            )
        error, why = _wrong(said)
        if error:
            return _no(error, *why)
        ts = self._keep(channel, said)
        return JSONResponse({"ok": True, "channel": channel, "ts": ts, "message": {"type": "message", "ts": ts}})

    async def _hooked(self, request: Request) -> Response:
        if not self.hook or request.path_params["hook"] != self.hook:
            return PlainTextResponse("no_service", status_code=404)
        try:
            said = await _said(request)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return PlainTextResponse("invalid_payload", status_code=400)
        wait_s = self._window.wait_s("hook")
        if wait_s:
            return PlainTextResponse("rate_limited", status_code=429, headers={"Retry-After": whole_seconds(wait_s)})
        error, _ = _wrong(said)
        if error:
            return PlainTextResponse(error, status_code=400)
        self._keep("hook", said)
        return PlainTextResponse("ok")

    def _unknown(self, request: Request, said: dict[str, Any]) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token if scheme == "Bearer" else str(said.get("token", ""))
        if not token:
            return "not_authed"
        return "" if token == self.token else "invalid_auth"

    def _keep(self, channel: str, said: dict[str, Any]) -> str:
        self.messages.append((channel, said.get("text") or "", said.get("blocks") or []))
        return f"1767582900.{len(self.messages):06d}"


async def _said(request: Request) -> dict[str, Any] | None:
    """The arguments of a call; None for a content type that Slack does not take. Raises ValueError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        said = json.loads(await request.body())
        if not isinstance(said, dict):
            raise ValueError("no object")
        return said
    if kind != "application/x-www-form-urlencoded":
        return None
    form: dict[str, Any] = dict(parse_qsl((await request.body()).decode()))
    if "payload" in form:
        form = json.loads(form["payload"])
    if isinstance(form.get("blocks"), str):
        form["blocks"] = json.loads(form["blocks"])
    return form


def _no(error: str, *why: str) -> Response:
    body: dict[str, Any] = {"ok": False, "error": error}
    if why:
        body |= {"errors": list(why), "response_metadata": {"messages": [f"[ERROR] {w}" for w in why]}}
    return JSONResponse(body)


def _wrong(said: dict[str, Any]) -> tuple[str, list[str]]:
    text, blocks = said.get("text"), said.get("blocks")
    if not text and not blocks:
        return "no_text", []
    if text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT):
        return "msg_too_long", []
    if blocks is None:
        return "", []
    if not isinstance(blocks, list):
        return "invalid_blocks_format", []
    if len(blocks) > MAX_BLOCKS:
        return "invalid_blocks", [f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]"]
    why = [f"{w} [json-pointer:/blocks/{n}]" for n, block in enumerate(blocks) for w in _wrong_block(block)]
    actions = [e.get("action_id") for b in blocks if isinstance(b, dict) for e in b.get("elements", ())]
    named = [a for a in actions if a]
    if len(set(named)) != len(named):
        why.append("`action_id` is not unique [json-pointer:/blocks]")
    return ("invalid_blocks", why) if why else ("", [])


def _wrong_block(block: Any) -> Any:
    if not isinstance(block, dict):
        yield "must be an object"
        return
    if len(str(block.get("block_id", ""))) > 255:
        yield "`block_id` must be less than 256 characters"
    match block.get("type"):
        case "section":
            if "text" not in block and "fields" not in block:
                yield "missing required field: text or fields"
            if "text" in block:
                yield from _wrong_text(block["text"], 3000)
            fields = block.get("fields", [])
            if "fields" in block and not 1 <= len(fields) <= 10:
                yield "between 1 and 10 fields allowed"
            for one in fields:
                yield from _wrong_text(one, 2000)
        case "header":
            yield from _wrong_text(block.get("text"), 150, ("plain_text",))
        case "context":
            if not 1 <= len(block.get("elements", ())) <= 10:
                yield "between 1 and 10 elements allowed"
            for one in block.get("elements", ()):
                yield from _wrong_text(one, 3000)
        case "actions":
            if not 1 <= len(block.get("elements", ())) <= 25:
                yield "between 1 and 25 elements allowed"
            for one in block.get("elements", ()):
                yield from _wrong_button(one)
        case "divider":
            pass
        case _:
            yield f"unsupported type: {block.get('type')}"


def _wrong_button(button: Any) -> Any:
    if not isinstance(button, dict) or button.get("type") != "button":
        yield "unsupported element"
        return
    yield from _wrong_text(button.get("text"), 75, ("plain_text",))
    if len(str(button.get("value", ""))) > 2000:
        yield "`value` must be less than 2001 characters"
    if len(str(button.get("action_id", ""))) > 255:
        yield "`action_id` must be less than 256 characters"
    if button.get("style", "primary") not in ("primary", "danger"):
        yield "`style` must be primary or danger"


def _wrong_text(text: Any, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> Any:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        yield "failed to match all allowed schemas"
    elif not isinstance(text.get("text"), str) or not text["text"]:
        yield "must be more than 0 characters"
    elif len(text["text"]) > limit:
        yield f"must be less than {limit + 1} characters"


def _words(node: Any) -> list[str]:
    """All texts of blocks, in order."""
    if isinstance(node, list):
        return [word for item in node for word in _words(item)]
    if not isinstance(node, dict):
        return []
    own = [node["text"]] if isinstance(node.get("text"), str) else []
    return own + [w for k, v in node.items() if isinstance(v, dict | list) for w in _words(v)]
