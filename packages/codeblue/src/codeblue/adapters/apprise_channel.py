"""E-mail, SMS, calls and whatever else `apprise` has: keeps `ports.channel.Channel`.

apprise says yes or no, and not why: its "no" can be a refusal, a provider that is down, or one that took the message
and did not answer. So a "no" is UNKNOWN here, and the next channel covers it. Its addresses are URLs that hold
credentials; they come from references, are never shown, and apprise's own log is silenced because it shows some of
them. It takes proxies from the environment, unlike our own channels.
"""

import asyncio
import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from codeblue.model.errors import Unreachable, UsageError
from codeblue.model.incident import Level, Role
from codeblue.model.page import Delivery, Fate, Page
from codeblue.model.secret import Secret

#: Sends that may hang at the same time; a thread cannot be ended.
_MAX_THREADS: Final = 32
#: Names of logs that show URLs, and with them credentials, and the least level that does not.
_TALKATIVE: Final = {"apprise": logging.CRITICAL + 1, "urllib3": logging.INFO}


class AppriseChannel:
    """Addresses by role.

    Args:
        addresses: apprise URLs of each role ("mailtos://…", "twilio://…"): each is tried, one that says yes is enough.
        timeout_s: limit of one send.

    Raises:
        UsageError: an address is none that apprise knows. The message does not show it.
    """

    name = "apprise"
    keyed = False

    def __init__(self, addresses: Mapping[Role, Sequence[Secret]], *, timeout_s: float = 9.0) -> None:
        for name, level in _TALKATIVE.items():
            log = logging.getLogger(name)
            log.setLevel(max(log.level, level))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of modules that apprise loads with its first address
            for role, urls in addresses.items():
                _check(role, urls)
        self._addresses = {role: tuple(urls) for role, urls in addresses.items() if urls}
        self._timeout_s = timeout_s
        self._threads: set[threading.Thread] = set()

    def reaches(self, page: Page) -> bool:
        """See `Channel.reaches`."""
        return page.role in self._addresses

    async def send(self, page: Page) -> Delivery:
        """Send to all of the role's addresses at once; see `Channel.send`."""
        urls = self._addresses.get(page.role, ())
        if not urls:
            return Delivery(Fate.REFUSED, why=f"no address for {page.role}")
        self._threads = {t for t in self._threads if t.is_alive()}
        if len(self._threads) + len(urls) > _MAX_THREADS:
            raise Unreachable("apprise: too many messages are under way and do not end.", delay_s=10.0)
        title, body = f"{page.severity.text} {page.level}: {page.incident}", _body(page)
        waiting = [self._start(url, title, body) for url in urls]
        done, late = await asyncio.wait(waiting, timeout=self._timeout_s)
        for future in late:
            future.cancel()
        accepted = sum(future.result() for future in done)
        said = f"{accepted} of {len(urls)} addresses said yes"
        if accepted:
            return Delivery(Fate.ACCEPTED, why=said)
        why = f"{said}, {len(done)} no, {len(late)} nothing within {self._timeout_s:g} s; apprise does not say why"
        return Delivery(Fate.UNKNOWN, why=why)

    async def settle(self, incident: str, *, acknowledged: Level | None) -> None:
        """Nothing: a sent message stays as it is."""

    async def close(self) -> None:
        """Nothing is kept open."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self._addresses))})"

    def _start(self, url: Secret, title: str, body: str) -> "asyncio.Future[bool]":
        """Send in a thread of its own: it may outlive our limit, and must not hold the end of the process up."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()

        def tell(answer: bool) -> None:
            if not future.done():
                future.set_result(answer)

        def work() -> None:
            answer = False
            try:
                answer = _notify(url, title, body)
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(tell, answer)

        thread = threading.Thread(target=work, name="codeblue-apprise", daemon=True)
        self._threads.add(thread)
        thread.start()
        return future


def _check(role: Role, urls: Sequence[Secret]) -> None:
    for number, url in enumerate(urls, 1):
        if _ready(url) is None:
            raise UsageError(
                f"pages.apprise.{role.value}: address {number} is none that apprise knows.",
                remedy="write it as apprise's documentation shows it for the service",
            )


def _body(page: Page) -> str:
    lines = [page.summary]
    if page.next_step:
        lines.append(f"Next: {page.next_step}")
    lines += [f"{name}: {value}" for name, value in page.details]
    if page.head:
        lines.append(f"record {page.head}")
    return "\n".join(lines)


def _ready(url: Secret) -> Any:
    """apprise with one address; None for an address that it does not know."""
    from apprise import Apprise, AppriseAsset

    # no templates in texts, no files written, no redirects, no second try behind our back: the ladder decides that
    asset = AppriseAsset(
        allow_templates=False,
        storage_mode="memory",
        secure_logging=True,
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
        interpret_emojis=False,
        interpret_escapes=False,
        default_service_retry=0,
        async_mode=False,
        app_id="Code Blue",
    )
    made = Apprise(asset=asset)
    return made if made.add(url.reveal()) else None


def _notify(url: Secret, title: str, body: str) -> bool:
    made = _ready(url)
    if made is None:
        return False
    from apprise import NotifyFormat, NotifyType

    return bool(made.notify(body, title, NotifyType.FAILURE, body_format=NotifyFormat.TEXT, interpret_escapes=False))
