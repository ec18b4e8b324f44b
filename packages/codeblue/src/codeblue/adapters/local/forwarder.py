"""The Service of a local workload: `python -m codeblue.adapters.local.forwarder DIRECTORY PORT`, run by supervisord.

As kube-proxy does, it hands each connection to one of the ready replicas in turn and looks into none of them. A
replica that refuses is skipped for the next one; where none is ready the client gets a 503 (R12).
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from codeblue.adapters.local.files import Layout, write_json
from codeblue.adapters.local.status import read_status
from codeblue.model.errors import CodeBlueError

#: Seconds that a replica has to accept a connection, and a client without a replica to send its request.
CONNECT_S, REQUEST_S = 2.0, 2.0

_BODY = b'{"status": "failed", "detail": "no replica is ready"}\n'
_SORRY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: " + str(len(_BODY)).encode() + b"\r\n\r\n" + _BODY
)


class Forwarder:
    """Hands connections on; who is ready stands in the controller's report, which is read again when it changes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._turn = itertools.count()
        self._seen: tuple[int, int] = (0, 0)
        self._ports: tuple[int, ...] = ()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from accept to close."""
        try:
            backend = await self._connect()
            if backend is None:
                await _apologise(reader, writer)
                return
            answers, requests = backend
            asking = asyncio.create_task(_pipe(reader, requests))
            try:
                await _pipe(answers, writer)  # when the replica has no more to say, the connection is over
            finally:
                asking.cancel()
                requests.close()
        except (OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            pass  # either side went away; the other one sees its connection close
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ports = self._ready_ports()
        start = next(self._turn)
        for offset in range(len(ports)):
            port = ports[(start + offset) % len(ports)]
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection("127.0.0.1", port)
            except (OSError, TimeoutError):
                continue
        return None

    def _ready_ports(self) -> tuple[int, ...]:
        try:
            now = self._layout.status.stat()
            if (now.st_ino, now.st_mtime_ns) != self._seen:
                status = read_status(self._layout)
                self._ports = tuple(p.port for p in status.pods if p.ready) if status else ()
                self._seen = (now.st_ino, now.st_mtime_ns)
        except (OSError, CodeBlueError):
            pass  # the last known replicas are better than none, as with a kube-proxy without its API server
        return self._ports


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry everything from one side to the other; a side that went away closes the other one as well."""
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except OSError:
        sink.close()


async def _apologise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(REQUEST_S):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_SORRY)
        await writer.drain()
        writer.write_eof()
        while await reader.read(65536):
            pass  # closing with unread data would reset the connection, and the client would lose the answer


async def serve(layout: Layout, port: int) -> None:
    """Listen until cancelled. Raises OSError when the port is taken."""
    forwarder = Forwarder(layout)
    server = await asyncio.start_server(forwarder.handle, "127.0.0.1", port, backlog=512)
    write_json(layout.forwarder, {"pid": os.getpid(), "port": port}, durable=False)
    async with server:
        await server.serve_forever()


def main() -> int:
    """Run for the directory and the port on the command line."""
    try:
        asyncio.run(serve(Layout(Path(sys.argv[1])), int(sys.argv[2])))
    except OSError as error:
        print(f"port {sys.argv[2]} cannot be had: {error.strerror}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
