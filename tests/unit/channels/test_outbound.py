"""One request: what is certain about it afterwards, within its limits of time and size."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from tests.unit.channels.conftest import Tls

from codeblue.adapters.outbound import Answer, Backoff, Missing, Outbound, sayable
from codeblue.model.secret import Secret
from codeblue.testing.emulators.base import Fail
from codeblue.testing.emulators.pagerduty import PagerDuty

KEY = "a" * 31 + "b"
EVENT = {"routing_key": KEY, "event_action": "resolve", "dedup_key": "k"}


@pytest.fixture
def server() -> Iterator[PagerDuty]:
    with PagerDuty((KEY,)) as emulator:
        yield emulator


async def ask(server: PagerDuty, timeout_s: float = 20.0) -> Answer:
    return await post(f"{server.url}/v2/enqueue", timeout_s)


async def post(url: str, timeout_s: float) -> Answer:
    http = Outbound(timeout_s=timeout_s)
    answer = await http.ask("POST", url, EVENT)
    await http.close()
    return answer


@pytest.mark.parametrize(
    ("how", "status", "missing", "sent"),
    [
        (None, 202, None, True),
        (Fail.DOWN, None, Missing.NO_CONNECTION, False),
        (Fail.CUT, None, Missing.CUT, True),
        (Fail.DROP, None, Missing.CUT, True),
        (Fail.CUT_BODY, 202, Missing.CUT, True),
        (Fail.HUGE, 202, Missing.ENDLESS, True),
        (Fail.ENDLESS, 202, Missing.ENDLESS, True),
    ],
)
async def test_what_is_certain(
    server: PagerDuty, how: Fail | None, status: int | None, missing: Missing | None, sent: bool
) -> None:
    if how is not None:
        server.fails(how)
    begun = time.monotonic()
    answer = await ask(server)
    assert (answer.status, answer.missing, answer.sent) == (status, missing, sent)
    assert time.monotonic() - begun < 5, "an answer without end is given up for its size, long before its time"
    assert missing is None or answer.body == b""


async def test_no_answer_in_time(server: PagerDuty) -> None:
    server.fails(Fail.HANG)
    answer = await ask(server, timeout_s=0.3)
    assert (answer.status, answer.missing, answer.sent) == (None, Missing.SLOW, True)


async def test_a_host_that_takes_no_connection_took_nothing() -> None:
    """A full backlog: the connection does not come about within the limit."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        answer = await post(f"http://127.0.0.1:{full.getsockname()[1]}/", 0.3)
        for one in waiting:
            one.close()
    assert (answer.missing, answer.sent) == (Missing.NO_CONNECTION, False)


async def test_a_name_that_does_not_exist_took_nothing() -> None:
    answer = await post("https://no-such-name.invalid/", 5)
    assert (answer.missing, answer.sent) == (Missing.NO_CONNECTION, False)


async def test_a_handshake_that_fails_or_hangs_took_nothing(tls: Tls) -> None:
    with PagerDuty((KEY,)).start(tls.cert, tls.key) as server:
        answer = await ask(server)
        assert (answer.missing, answer.sent) == (Missing.NO_CONNECTION, False)

    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as mute:
        port = mute.sockets[0].getsockname()[1]
        answer = await post(f"https://127.0.0.1:{port}/", 0.3)
        await asyncio.wait_for(ended.wait(), 5)  # our side closed the half-made connection
    assert (answer.missing, answer.sent) == (Missing.NO_CONNECTION, False)


async def test_what_is_not_http_is_no_answer() -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")  # all of it: closing before would be a reset
        writer.write(b"220 mail.hospital.org ESMTP\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as mail:
        port = mail.sockets[0].getsockname()[1]
        answer = await post(f"http://127.0.0.1:{port}/", 5)
    assert (answer.status, answer.missing, answer.sent) == (None, Missing.GARBLED, True)


def test_the_back_off_doubles_to_a_minute_and_begins_anew() -> None:
    backoff = Backoff()
    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.failed(Answer(headers={"retry-after": "90"})) == 90
    backoff.worked()
    assert backoff.failed(Answer(headers={"retry-after": "-1"})) == 1


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [("7", 7), ("0", 0.5), ("0.7", 0.7), ("999999", 3600), ("", None), ("soon", None), ("1e9", None), ("٧", None)],
)
def test_how_long_a_provider_may_make_us_wait(said: str, wait_s: float | None) -> None:
    assert Answer(headers={"retry-after": said}).wait_s == wait_s


def test_what_a_provider_says_is_one_short_line_without_our_secrets() -> None:
    assert sayable("key hunter2\r\n\x1b[31m refused", [Secret("hunter2")]) == "key *** [31m refused"
    assert sayable({"no": "text"}) == ""
    assert len(sayable("x y " * 1000)) == 160
    assert sayable("Bearer abcdefgh12345678") == "Bearer ***"
