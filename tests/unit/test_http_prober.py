"""HttpProber against a real server on loopback that misbehaves in every way it should survive."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from codeblue.adapters.http_prober import BODY_LIMIT, Exchange, Failure, HttpProber, direct
from codeblue.model.health import Outcome
from codeblue.ports.platform import Place

Behaviour = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, body: bytes, kind: str = "application/json", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def says(status: int, body: bytes, kind: str = "application/json", *headers: str) -> Behaviour:
    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(status, body, kind, *headers))

    return behave


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncIterator[Place]:
    """A server on a free port that treats each connection with `behave(request head, writer)`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Place("service", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def prober() -> AsyncIterator[HttpProber]:
    prober = HttpProber()
    yield prober
    await prober.close()
    await prober.close()


@pytest.mark.req("R4")
async def test_a_healthy_answer_names_its_release(prober: HttpProber) -> None:
    async with serving(says(200, b'{"status": "ok", "version": "2.1.0+git.abc"}')) as place:
        probe = await prober.get(place, "/api/health", timeout_s=2)
    assert (probe.outcome, probe.status, probe.version) == (Outcome.OK, 200, "2.1.0+git.abc")
    assert (probe.via, probe.path) == ("service", "/api/health")
    assert 0 < probe.latency_ms < 2000


@pytest.mark.parametrize("status", [301, 302, 404, 429, 500, 503])
async def test_any_other_status_is_a_breach_and_redirects_are_not_followed(prober: HttpProber, status: int) -> None:
    async with serving(says(status, b"{}", "application/json", "Location: http://127.0.0.1:1/elsewhere")) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert (probe.outcome, probe.status) == (Outcome.BREACH, status)


async def test_the_header_names_the_release_where_the_body_does_not(prober: HttpProber) -> None:
    async with serving(says(200, b"fine", "text/plain", "X-Release: 2.0.9")) as place:
        assert (await prober.get(place, "/", timeout_s=2)).version == "2.0.9"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"version": "1.0"}', "text/html"),
        (b'{"version": "1.0"', "application/json"),
        (b'["version"]', "application/json"),
        (b'{"version": 7}', "application/json"),
        (b'{"version": "Erika Mustermann, born 1970"}', "application/json"),
        (b"[" * 60_000, "application/json"),
        (b"\xff\xfe", "application/json"),
    ],
)
async def test_an_unusable_body_leaves_the_version_empty(prober: HttpProber, body: bytes, kind: str) -> None:
    async with serving(says(200, body, kind)) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert (probe.outcome, probe.version) == (Outcome.OK, "")
    assert "Mustermann" not in repr(probe)


async def test_another_field_can_name_the_release() -> None:
    prober = HttpProber("release")
    async with serving(says(200, b'{"release": "r7", "version": "x"}', "application/health+json")) as place:
        assert (await prober.get(place, "/", timeout_s=2)).version == "r7"
    await prober.close()


async def test_nobody_listening_is_a_breach(prober: HttpProber) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = Place("pod/a", f"http://127.0.0.1:{taken.getsockname()[1]}")
        probe = await prober.get(place, "/", timeout_s=2)
    assert (probe.outcome, probe.status) == (Outcome.BREACH, None)
    assert Failure.REFUSED in probe.detail


async def test_a_full_backlog_on_loopback_is_a_breach(prober: HttpProber) -> None:
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hung.getsockname())
        probe = await prober.get(Place("pod/a", f"http://127.0.0.1:{hung.getsockname()[1]}"), "/", timeout_s=0.3)
        for filler in fillers:
            filler.close()
    assert probe.outcome is Outcome.BREACH
    assert Failure.NO_CONNECTION in probe.detail


async def test_a_reset_is_a_breach(prober: HttpProber) -> None:
    async def reset(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with serving(reset) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert probe.outcome is Outcome.BREACH
    assert Failure.RESET in probe.detail


async def test_an_answer_cut_short_is_a_breach(prober: HttpProber) -> None:
    async def cut(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, b'{"version": "1"}')[:-4])

    async with serving(cut) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert (probe.outcome, probe.status, probe.version) == (Outcome.BREACH, 200, "")
    assert Failure.RESET in probe.detail


async def test_an_answer_that_is_not_http_is_a_breach(prober: HttpProber) -> None:
    async def garble(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    async with serving(garble) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert probe.outcome is Outcome.BREACH
    assert Failure.GARBLED in probe.detail


@pytest.mark.defect("D11")
@pytest.mark.parametrize("headers_too", [True, False])
async def test_a_slow_drip_ends_at_the_limit(prober: HttpProber, headers_too: bool) -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        text = answer(200, b" " * 1000)
        start = 0 if headers_too else text.index(b"\r\n\r\n") + 4
        writer.write(text[:start])
        for byte in text[start:]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as place:
        started = time.monotonic()
        probe = await prober.get(place, "/", timeout_s=0.3)
        assert time.monotonic() - started < 2
    assert (probe.outcome, probe.status) == (Outcome.BREACH, None if headers_too else 200)
    assert Failure.SLOW in probe.detail


@pytest.mark.req("R4")
@pytest.mark.parametrize("said", ["failed", "fail", "DOWN", "error"])
async def test_a_200_that_says_of_itself_that_it_failed_is_a_breach(prober: HttpProber, said: str) -> None:
    async with serving(says(200, json.dumps({"status": said}).encode())) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert (probe.outcome, probe.status) == (Outcome.BREACH, 200)
    assert f"says '{said.lower()}'" in probe.detail


@pytest.mark.parametrize("said", ["ok", "degraded", "pass", "warn", "patient Ada failed", 3, None, ["failed"]])
async def test_any_other_word_of_a_200_is_none_of_our_business(prober: HttpProber, said: object) -> None:
    async with serving(says(200, json.dumps({"status": said}).encode())) as place:
        probe = await prober.get(place, "/", timeout_s=2)
    assert probe.outcome is Outcome.OK
    assert "Ada" not in probe.detail


async def test_a_large_answer_with_an_end_is_complete_and_its_start_is_kept(prober: HttpProber) -> None:
    async with serving(says(200, b"x" * 1_000_000, "text/html")) as place:
        probe, body = await prober.read(place, "/", timeout_s=5)
    assert probe.outcome is Outcome.OK
    assert body == b"x" * BODY_LIMIT


async def test_an_answer_without_an_end_is_a_breach_and_fills_no_memory(prober: HttpProber) -> None:
    sent = 0

    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Release: 3\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            sent += 65536
            await writer.drain()

    async with serving(flood) as place:
        probe = await prober.get(place, "/", timeout_s=5)
    assert (probe.outcome, probe.version) == (Outcome.BREACH, "3")
    assert Failure.ENDLESS in probe.detail
    assert sent < 64 * 1024 * 1024


async def test_each_request_opens_its_own_connection_as_a_client_does(prober: HttpProber) -> None:
    heads: list[bytes] = []

    async def count(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(answer(200, b"{}"))

    async with serving(count) as place:
        await prober.get(place, "/", timeout_s=2)
        await prober.get(place, "/", timeout_s=2)
    assert len(heads) == 2
    assert b"connection: close" in heads[0].lower()


@pytest.mark.req("B5")
async def test_a_name_that_does_not_resolve_says_nothing_about_the_service(prober: HttpProber) -> None:
    probe = await prober.get(Place("service", "http://no-such-name.invalid"), "/", timeout_s=5)
    assert (probe.outcome, probe.status) == (Outcome.UNKNOWN, None)


@pytest.mark.req("B5")
async def test_a_failed_tls_session_says_nothing_about_the_service() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"this is not TLS")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    prober = HttpProber(ssl=ssl.create_default_context())
    place = Place("service", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    probe = await prober.get(place, "/", timeout_s=2)
    assert (probe.outcome, probe.status) == (Outcome.UNKNOWN, None)
    assert Failure.TLS in probe.detail
    await prober.close()
    server.close()


async def test_a_tls_session_that_never_comes_ends_at_the_limit_and_leaves_no_connection() -> None:
    ended = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    prober = HttpProber(ssl=ssl.create_default_context())
    place = Place("service", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    probe = await prober.get(place, "/", timeout_s=0.3)
    assert (probe.outcome, probe.status) == (Outcome.BREACH, None)
    assert Failure.SLOW in probe.detail
    async with asyncio.timeout(2):
        await ended.wait()
    await prober.close()
    server.close()


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    prober = HttpProber()
    async with serving(says(200, b"{}")) as place:
        assert (await prober.get(place, "/", timeout_s=2)).outcome is Outcome.OK
    await prober.close()


async def test_headers_and_the_judgement_can_be_exchanged() -> None:
    """As for probes through an API server: its own 503 is told apart by the body, which never reaches the probe."""

    def through_proxy(exchange: Exchange) -> tuple[Outcome, str]:
        body = exchange.json()
        if exchange.status == 503 and isinstance(body, dict) and body.get("kind") == "Status":
            return Outcome.UNKNOWN, "the proxy has no answer"
        return direct(exchange)

    heads: list[bytes] = []

    async def proxy(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        body = {"kind": "Status"} if b"GET /proxy" in head else {"status": "failed"}
        writer.write(answer(503, json.dumps(body).encode()))

    prober = HttpProber(headers={"Authorization": "Bearer t"}, classify=through_proxy, keep_alive=True)
    async with serving(proxy) as place:
        assert (await prober.get(place, "/proxy", timeout_s=2)).outcome is Outcome.UNKNOWN
        assert (await prober.get(place, "/pod", timeout_s=2)).outcome is Outcome.BREACH
    assert b"authorization: bearer t" in heads[0].lower()
    await prober.close()
