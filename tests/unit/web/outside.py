"""Whoever watches Code Blue from outside: a real HTTP server that counts the signs of life."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Outside:
    """A dead man's switch as healthchecks.io has one.

    Attributes:
        answers: the status that it answers with.
        at: when each sign of life came, monotonic seconds.
    """

    def __init__(self) -> None:
        self.at: list[float] = []
        self.answers = 200
        self.holds = threading.Event()
        self.holds.set()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            known: ClassVar[set[str]] = {"/ping/5ecret-uuid"}

            def do_POST(self) -> None:
                outside.holds.wait(30)
                if self.path in self.known:
                    outside.at.append(time.monotonic())
                self.send_response(outside.answers if self.path in self.known else 404)
                if outside.answers in (301, 302, 307):
                    self.send_header("Location", self.path)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Whoever waited for an answer is gone."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/ping/5ecret-uuid"

    def silence_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self.at[-1]

    def close(self) -> None:
        self.holds.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
