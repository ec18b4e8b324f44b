"""Slack: keeps `ports.channel.Channel`, by a bot token and a channel (chat.postMessage) or an incoming webhook.

Slack takes no key (B3: best effort): an outcome that is not known stays unknown, and the next channel covers it. All
texts are plain: nothing in a page can mention, link or format.
"""

import json
import re
import ssl as tls
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from codeblue.adapters.outbound import Answer, Backoff, Outbound
from codeblue.model.errors import Temporary, Unreachable
from codeblue.model.incident import Level, Role
from codeblue.model.page import Delivery, Fate, Page
from codeblue.model.reply import ACKNOWLEDGE_ACTION, APPROVE_ACTION, Acknowledge, approval_of
from codeblue.model.secret import Secret

BASE: Final = "https://slack.com/api"
MAX_TEXT: Final = 3000
MAX_BLOCKS: Final = 50
_MAX_FIELDS: Final = 10
_MAX_FIELD: Final = 2000
_MAX_HEADER: Final = 150
_MAX_FACTS: Final = 40
#: `ok: false` for which Slack says that nothing was done and that it may be asked again.
_BUSY: Final = frozenset(("ratelimited", "rate_limited", "service_unavailable", "request_timeout", "team_added_to_org"))
#: … and for which it says that some of it may have been done.
_UNCLEAR: Final = frozenset(("internal_error", "fatal_error"))
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class SlackChannel:
    """Messages to one Slack channel, which stands for all roles or some.

    Args:
        token, channel: a bot token with `chat:write`, and the id of a channel that it is in; or
        webhook: the URL of an incoming webhook. Not both.
        roles: whom it reaches; None: everybody.
        base: where the API is.
        timeout_s: limit of one request.
    """

    name = "slack"
    keyed = False

    def __init__(
        self,
        *,
        token: Secret | None = None,
        channel: str = "",
        webhook: Secret | None = None,
        roles: Collection[Role] | None = None,
        base: str = BASE,
        timeout_s: float = 9.0,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        if (token is None) == (webhook is None) or (token is not None and not channel):
            raise ValueError("a token with a channel, or a webhook")
        self._token, self._webhook, self._channel, self._roles = token, webhook, channel, roles
        self._url = f"{base.rstrip('/')}/chat.postMessage"
        self._http = Outbound(timeout_s=timeout_s, ssl=ssl)
        self._backoff = Backoff()

    def reaches(self, page: Page) -> bool:
        """See `Channel.reaches`."""
        return self._roles is None or page.role in self._roles

    async def send(self, page: Page) -> Delivery:
        """Post the message; see `Channel.send`."""
        if not self.reaches(page):
            return Delivery(Fate.REFUSED, why=f"the channel is not for {page.role}")
        text = message(page)
        if self._webhook is not None:
            answer = await self._http.ask("POST", self._webhook.reveal(), text)
        elif self._token is not None:
            auth = {"Authorization": f"Bearer {self._token.reveal()}"}
            answer = await self._http.ask("POST", self._url, {"channel": self._channel, **text}, auth)
        if answer.status is None and not answer.sent:
            raise Unreachable(f"Slack: {answer.missing}.", delay_s=self._backoff.failed())
        if (busy := self._busy(answer)) is not None:
            raise busy
        return self._hooked(answer) if self._webhook is not None else self._posted(answer)

    async def settle(self, incident: str, *, acknowledged: Level | None) -> None:
        """Nothing: Slack has no incidents."""

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._http.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'webhook' if self._webhook is not None else self._channel})"

    def _busy(self, answer: Answer) -> Temporary | None:
        """Certainly not posted, and worth another attempt. A 500 or 502 can have been posted: that is UNKNOWN."""
        if answer.status in (429, 503) or (answer.status == 200 and _error(answer) in _BUSY):
            what = answer.status if answer.status != 200 else _error(answer)
            return Unreachable(f"Slack answered {what}.", delay_s=self._backoff.failed(answer))
        return None

    def _posted(self, answer: Answer) -> Delivery:
        said, error = answer.json(), _error(answer)
        if answer.missing is not None or answer.status is None or answer.status >= 500 or error in _UNCLEAR:
            return Delivery(Fate.UNKNOWN, why=f"Slack: {answer.missing or error or f'status {answer.status}'}")
        if answer.status == 200 and isinstance(said, dict) and said.get("ok") is True:
            self._backoff.worked()
            return Delivery(Fate.ACCEPTED, _reference(said))
        if answer.status == 200 and not error:
            return Delivery(Fate.UNKNOWN, why="Slack answered 200 without saying ok")
        return Delivery(
            Fate.REFUSED,
            why=f"Slack refused it ({error or f'status {answer.status}'}). Check pages.slack: the token, and that the "
            "app is in the channel.",
        )

    def _hooked(self, answer: Answer) -> Delivery:
        """A webhook says `ok` in plain text, or a code with a 4xx."""
        code = answer.body.decode("utf-8", "replace").strip()
        if answer.missing is not None or answer.status is None or answer.status >= 500:
            return Delivery(Fate.UNKNOWN, why=f"Slack: {answer.missing or f'status {answer.status}'}")
        if answer.status == 200:
            if code == "ok":
                self._backoff.worked()
                return Delivery(Fate.ACCEPTED)
            return Delivery(Fate.UNKNOWN, why="Slack answered 200 without saying ok")
        shown = f": {code}" if _CODE.fullmatch(code) else ""
        return Delivery(
            Fate.REFUSED,
            why=f"Slack refused it (status {answer.status}{shown}). Check pages.slack: webhooks end when their app or "
            "channel does.",
        )


def message(page: Page) -> dict[str, Any]:
    """The message of a page: blocks for people, and one line for notifications. Within Slack's limits, always."""
    facts = [*page.details[:_MAX_FACTS], ("incident", page.incident), ("level", page.level), ("for", page.role.value)]
    if len(page.details) > _MAX_FACTS:
        facts.append(("more facts", f"{len(page.details) - _MAX_FACTS}, in `codeblue incident show {page.incident}`"))
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"{page.severity.text} · {page.level} · {page.role.value}", _MAX_HEADER)},
        {"type": "section", "text": _plain(page.summary)},
        *_fields(facts),
    ]
    if page.next_step:
        blocks.append({"type": "section", "text": _plain(f"Next: {page.next_step}")})
    blocks.append({"type": "actions", "elements": list(_buttons(page))})
    if page.head:
        blocks.append({"type": "context", "elements": [_plain(f"record {page.head}", _MAX_FIELD)]})
    line = _cut(f"{page.severity.text} {page.summary}", MAX_TEXT // 6)  # an escaped character has up to 5
    return {
        "text": line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "blocks": blocks[:MAX_BLOCKS],
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _buttons(page: Page) -> Iterator[dict[str, Any]]:
    yield _button("Acknowledge", ACKNOWLEDGE_ACTION, Acknowledge(page.incident, page.level).value)
    if (approval := approval_of(page)) is not None:
        yield _button("Approve", APPROVE_ACTION, approval.value) | {"style": "primary"}


def _button(text: str, action: str, value: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(text, 75), "action_id": action, "value": value}


def _fields(facts: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for first in range(0, len(facts), _MAX_FIELDS):
        some = facts[first : first + _MAX_FIELDS]
        yield {"type": "section", "fields": [_plain(f"{name}: {value}", _MAX_FIELD) for name, value in some]}


def _plain(text: str, limit: int = MAX_TEXT) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(text, limit) or "-", "emoji": False}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _error(answer: Answer) -> str:
    """Slack's own code, which is a word; anything else is not repeated."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    error = said.get("error") if isinstance(said, Mapping) and said.get("ok") is False else None
    return error if isinstance(error, str) and _CODE.fullmatch(error) else ("unnamed" if error is not None else "")


def _reference(said: Mapping[str, Any]) -> str:
    place, ts = said.get("channel"), said.get("ts")
    known = (
        isinstance(place, str) and isinstance(ts, str) and re.fullmatch(r"[A-Z0-9]{1,40}/[0-9.]{1,40}", f"{place}/{ts}")
    )
    return f"{place}/{ts}" if known else ""
