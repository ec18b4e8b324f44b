"""A service for the tests: answers 200 with its release, as its environment tells it to."""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(os.environ.get("STATUS", "200"))
        body = json.dumps(
            {
                "status": "ok" if status == 200 else "failed",
                "version": os.environ.get("RELEASE", ""),
                "pod": os.environ["POD_NAME"],
                "token": os.environ.get("TOKEN", ""),
                "path": self.path,
                "environment": sorted(os.environ),
            }
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    if os.environ.get("CRASH"):
        sys.exit("told to crash")
    if os.environ.get("WORKER") and os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    server = ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
    server.daemon_threads = False  # requests under way are finished before the process ends
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.02)
    server.server_close()


main()
