"""A sign of life over HTTP, as healthchecks.io, Dead Man's Snitch, Cronitor and their like take it: keeps
`ports.dead_man`."""

import asyncio

import httpx2

from codeblue.model.errors import Unreachable
from codeblue.model.secret import Secret

#: Limit of one ping, and how much of an answer is read before the rest is dropped.
PING_S, ANSWER_BYTES = 8.0, 64 * 1024


class HttpDeadMan:
    """One POST to a URL that is itself the credential.

    A proxy of the environment (HTTPS_PROXY) is used: the one who watches us is outside. A redirection is no sign of
    life that arrived, and is not followed: it could lead anywhere.
    """

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(
            headers={"User-Agent": "codeblue-watchdog", "Accept-Encoding": "identity"},
            follow_redirects=False,
            timeout=None,  # one limit over the whole exchange
        )

    async def ping(self) -> None:
        """See `DeadMan.ping`."""
        try:
            async with asyncio.timeout(PING_S), self._client.stream("POST", self._url.reveal()) as answer:
                read = 0
                async for part in answer.aiter_raw():
                    read += len(part)
                    if read > ANSWER_BYTES:
                        break
        except TimeoutError:
            raise _lost(f"no answer within {PING_S:g} s") from None
        except (httpx2.TransportError, httpx2.InvalidURL, ValueError) as error:
            # only its type: the text can hold the address, which is the credential
            raise _lost(type(error).__name__) from None
        if not answer.is_success:
            raise _lost(f"it answered {answer.status_code}")

    async def close(self) -> None:
        """See `DeadMan.close`."""
        await self._client.aclose()


def _lost(why: str) -> Unreachable:
    return Unreachable(
        f"the sign of life did not arrive: {why}",
        remedy="Check the address that watchdog.url refers to; whoever watches it will call people soon.",
    )
