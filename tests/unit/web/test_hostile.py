"""What strangers send to the real program: it answers the others all the same, records nothing and stays small."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.contract.local_machine import Machine
from tests.process import until
from tests.unit.web.daemon import Served, drain
from tests.unit.web.desk import TOKEN, alert, message

pytestmark = pytest.mark.slow

#: A server of ours has this much memory at most, whatever is sent (done when 6).
MEMORY_MB = 250.0
MB = 1024 * 1024


@pytest.fixture(scope="module")
def target(local: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    daemon = Served(tmp_path_factory.mktemp("hostile"), local.directory)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture(autouse=True)
def _unharmed(target: Served) -> Iterator[None]:
    """After each attack: small, alive, nothing recorded but that something was refused, nothing left open."""
    before, open_files = taken(target), target.descriptors()
    yield
    now, most = target.memory_mb()
    assert max(now, most) < MEMORY_MB
    assert target.get("/healthz").status == 200
    assert taken(target) == before
    until("the connections to be closed", lambda: target.descriptors() <= open_files + 2)


def taken(target: Served) -> list[str]:
    """What is in the record but for what follows from a refused message: people are told of it."""
    told = ("record.claimed", "alert.truncated", "incident.opened", "incident.decided")
    return [e.kind for e in target.events() if e.kind not in told]


def head(length: str = "", token: str = TOKEN) -> bytes:
    return (
        f"POST /v1/alerts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\n{length}\r\n"
    ).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize("token", ["wrong", TOKEN])
def test_ten_megabytes_are_refused_at_the_first_line(target: Served, token: str) -> None:
    # nothing of the body is sent: it is refused for its length alone
    for _ in range(3):
        answer = target.raw(head(f"Content-Length: {10 * MB}\r\n", token))
        assert status(answer) == (413 if token == TOKEN else 401)
        assert b"connection: close" in answer.lower()
    # who has the token is our own Alertmanager: people hear of what it could not tell
    assert len(target.events("alert.truncated")) == (1 if token == TOKEN else 0)


def test_a_body_in_pieces_without_an_end_is_refused_early(target: Served) -> None:
    with contextlib.closing(target.connect()) as line:
        line.sendall(head("Transfer-Encoding: chunked\r\n"))
        sent = 0
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        with contextlib.suppress(OSError):
            while sent < 64 * MB:
                line.sendall(piece)
                sent += 65536
        assert sent < 64 * MB, "the connection was closed before all of it was sent"


def test_many_large_bodies_at_once(target: Served) -> None:
    body = json.dumps(message([alert(n, pad="x" * 4000) for n in range(1000)], version="3")).encode()
    assert 4 * MB < len(body) < 5 * MB
    body = body[: 4 * MB - 1]
    codes: list[int] = []

    def send() -> None:
        codes.append(target.alert(body).status)

    threads = [threading.Thread(target=send) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {400, 503, 0}, codes
    assert 400 in codes


@pytest.mark.parametrize("body", [b"[" * 10_000 + b"]" * 10_000, b'{"alerts":' * 10_000, b"[" * 200_000])
def test_json_that_is_nested_ten_thousand_deep(target: Served, body: bytes) -> None:
    assert target.alert(body).status == 400


@pytest.mark.parametrize("part", [b"{},", b"1,", b"[[1]],", b'{"a":{"b":[]}},', b"[", b'"",'])
def test_json_of_a_million_parts(target: Served, part: bytes) -> None:
    """What is small when it is sent and large when it is read."""
    body = b'{"version":"4","alerts":[' + part * ((4 * MB - 50) // len(part)) + b"1]}"
    assert target.alert(body).status == 422


def test_text_that_is_small_when_it_is_sent(target: Served) -> None:
    """One letter that takes four bytes makes all the others take them as well."""
    body = json.dumps(message([alert(1, pad="x" * (4 * MB - 1000) + "\U0001f691")], version="3"), ensure_ascii=False)
    threads = [threading.Thread(target=target.alert, args=(body.encode(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_ten_thousand_alerts(target: Served) -> None:
    one = {"status": "firing", "labels": {}, "startsAt": "2026-01-05T03:10:00Z"}
    small = [one | {"fingerprint": f"{n}"} for n in range(10_000)]
    body = json.dumps({"version": "4", "alerts": small}, separators=(",", ":")).encode()
    assert len(body) < MB, "refused for their number, not for their size"
    assert target.alert(body).status == 422
    assert target.alert(message([alert(n, pad="x" * 500) for n in range(10_000)])).status == 413


@pytest.mark.parametrize("token", ["", "n0-t0ken", TOKEN[:-1], "{{7*7}}", "$(id)", "<script>"])
def test_without_the_token_there_is_no_event(target: Served, token: str) -> None:
    answer = target.alert(message([alert(1)]), token)
    assert answer.status == 401
    assert token not in answer.text or not token


def test_a_body_that_is_dribbled_ends_with_the_limit(target: Served) -> None:
    """Slowloris by body and by headers: a byte a second, 60 connections of each, and others are answered meanwhile."""
    begun = time.monotonic()
    lines = [target.connect() for _ in range(120)]
    for n, line in enumerate(lines):
        if n % 2:
            line.sendall(head("Content-Length: 1000\r\n", TOKEN if n % 4 == 1 else "x")[: None if n % 4 == 1 else -2])
        else:
            line.sendall(b"GET /healthz HTTP/1.1\r\nX-A: ")
    alive, slowest = set(lines), 0.0
    while alive and time.monotonic() - begun < 30:
        for line in list(alive):
            try:
                line.sendall(b"x")
                line.setblocking(False)
                if line.recv(4096) == b"":
                    alive.discard(line)
            except BlockingIOError:
                line.setblocking(True)
            except OSError:
                alive.discard(line)
        asked = time.monotonic()
        assert target.get("/healthz").status == 200
        slowest = max(slowest, time.monotonic() - asked)
        threading.Event().wait(0.5)
    for line in lines:
        line.close()
    assert not alive
    assert time.monotonic() - begun < 20
    assert slowest < 3


def test_many_connections_that_say_nothing_do_not_keep_others_out(target: Served) -> None:
    lines: list[socket.socket] = []
    try:
        for n in range(600):
            with contextlib.suppress(OSError):
                lines.append(target.connect())
            if n % 100 == 99:
                assert target.get("/healthz").status == 200
        assert target.descriptors() < 250
    finally:
        for line in lines:
            line.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 200 + b"\x00\xff" * 1000,
        b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000,
        b"POST /v1/alerts HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /v1/alerts HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/alerts HTTP/1.1\r\nHost: a\r\nContent-Length: 9" + b"9" * 30 + b"\r\n\r\n",
        b"POST /v1/alerts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 10_000,
    ],
)
def test_what_is_no_http_is_answered_and_closed(target: Served, garbage: bytes) -> None:
    answer = target.raw(garbage + b"\r\n")
    assert b"Traceback" not in answer
    statuses = {part.split(b" ", 1)[0] for part in answer.split(b"HTTP/1.1 ")[1:]}
    assert statuses <= {b"400", b"401", b"404", b"413"}, answer[:500]
    if b"400" in statuses:
        assert b'{"message": "This is no HTTP that can be read."' in answer
        assert b"nosniff" in answer


def test_requests_behind_each_other_without_reading_the_answers(target: Served) -> None:
    """The answers fill the way back; nothing of ours waits for ever, nor is kept in memory."""
    with contextlib.closing(target.connect()) as line:
        line.settimeout(2)
        ask = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 100
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 5000:
                line.sendall(ask)
                sent += 100
        assert target.get("/healthz").status == 200


def test_what_is_refused_says_nothing_of_what_was_sent(target: Served) -> None:
    hostile = "<script>alert(1)</script>{{7*7}}$(id)"
    for answer in (
        target.alert(hostile.encode()),
        target.alert({"version": hostile, "alerts": []}),
        target.alert(message([alert() | {"fingerprint": hostile}])),
        target.alert({hostile: hostile}),
        target.send("GET", "/%3Cscript%3Ealert(1)%3C/script%3E"),
        target.send("PATCH", "/v1/alerts?x=%3Cscript%3E", b"{}"),
    ):
        assert answer.status >= 400
        assert not any(part in answer.text for part in ("script", "7*7", "$(id)", "Traceback"))


def test_drained_lines_are_closed(target: Served) -> None:
    """A connection without a word is closed by us."""
    with contextlib.closing(target.connect()) as line:
        begun = time.monotonic()
        assert drain(line) == b""
        assert time.monotonic() - begun < 15
