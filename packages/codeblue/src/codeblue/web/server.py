"""The server: uvicorn in a thread of its own, within this process, bounded against those who want to keep it busy.

A thread, because the loop of the daemon can be held up for seconds by a database that is silent: whoever asks over HTTP
is answered then all the same, and /healthz says so. It shares no state with that loop but the record and its pulse.
"""

import asyncio
import errno
import json
import logging
import socket
import threading
from typing import Any, Final

import h11
from fastapi import FastAPI
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from codeblue.model.errors import Failed, Unreachable
from codeblue.web.answers import HEADERS

#: A request has to be there as a whole within this time, headers and body.
REQUEST_S: Final = 10.0
#: From there on its answer has to be taken.
ANSWER_S: Final = 60.0
#: A connection without a request is kept so long.
IDLE_S: Final = 5
#: Connections at one time; of more, the oldest that waits for its request is closed.
CONNECTIONS: Final = 128
#: Of the headers of a request.
HEADER_BYTES: Final = 16 * 1024
#: What is under way may go on so long when we are told to stop.
GRACE_S: Final = 3

_LOG: Final = logging.getLogger(__name__)


class Guarded(H11Protocol):
    """uvicorn's protocol with the limits that it has not: on the time that a request takes, and on connections."""

    _timer: asyncio.TimerHandle | None = None
    _answering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(REQUEST_S)
        there = _by_age(self.connections)
        if len(there) > CONNECTIONS:
            next((c for c in there if not c._answering and c is not self), self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete and not self._answering:
            self._answering = True
            self._within(ANSWER_S)

    def on_response_complete(self) -> None:
        self._answering = False
        # the next request's own time; uvicorn's shorter one is on the wait for its first byte
        self._within(REQUEST_S + IDLE_S)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        answer = {"message": "This is no HTTP that can be read.", "remedy": "Send a request of HTTP/1.1."}
        body = json.dumps(answer).encode()
        headers = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"connection", b"close")]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _within(self, seconds: float | None) -> None:
        """From now on it has so long; None: no limit any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        # no answer: whoever dribbles does not read it, and one that was begun cannot be taken back
        self.transport.abort()


def _by_age(connections: Any) -> list["Guarded"]:
    """Those that are open, and of them first whose time is up first."""
    ours = (c for c in connections if isinstance(c, Guarded) and not c.transport.is_closing())
    timed = [(c._timer.when(), c) for c in ours if c._timer is not None]
    return [c for _, c in sorted(timed, key=lambda pair: pair[0])]


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, before anything else is begun.

    Raises:
        Unreachable: the address is in use, or is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise _unusable(host, port, f"the name is not known here ({error.strerror})") from None
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(CONNECTIONS)
    except OSError as error:
        bound.close()
        why = "another process listens there" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise _unusable(host, port, why) from None
    return bound


def _unusable(host: str, port: int, why: str) -> Unreachable:
    return Unreachable(
        f"Code Blue cannot listen on {host}:{port}: {why}. Nothing was begun.",
        remedy="Stop the other process, or name another address: --listen, or api.listen in the profile.",
    )


class HttpServer:
    """Serves an application on a bound socket, from `start` to `stop`."""

    def __init__(self, app: FastAPI, bound: socket.socket) -> None:
        config = Config(
            app,
            http=Guarded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=None,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEADER_BYTES,
            backlog=CONNECTIONS,
        )
        # whatever strangers send is no news; a defect is
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server, self._bound = Server(config), bound
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        name = self._bound.getsockname()
        return str(name[0]), int(name[1])

    @property
    def shown(self) -> str:
        """The address as a URL has it."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self, *, limit_s: float = 10.0) -> None:
        """Begin to serve. Raises Failed: it did not begin."""
        self._thread.start()
        ended = threading.Event()
        for _ in range(int(limit_s / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            ended.wait(0.01)
        if not self._server.started:
            raise Failed("The HTTP server did not start. Nothing was begun.", remedy="Look at the log, report it.")

    def stop(self) -> None:
        """End in order: what is under way is answered within `GRACE_S`. Blocks until then."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout=GRACE_S + 2)
        self._bound.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._bound])
        except BaseException:
            _LOG.exception("the HTTP server ended")
            raise
