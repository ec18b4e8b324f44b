"""A server on loopback that answers with what a test wants, bytes as they are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Behaviour = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def says(body: bytes | str, status: int = 200, kind: str = "text/plain; version=0.0.4") -> Behaviour:
    """A whole answer."""
    content = body.encode() if isinstance(body, str) else body

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nLocation: /x\r\n\r\n"
        writer.write(head.encode() + content)

    return behave


def sends(raw: bytes) -> Behaviour:
    """These bytes, whatever they are."""

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return behave


def pours(piece: bytes) -> Behaviour:
    """An answer without an end."""

    async def behave(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(piece)
            await writer.drain()

    return behave


async def hangs(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Takes the request, and says nothing until the client has gone."""
    await writer.wait_closed()


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncIterator[str]:
    """The URL of a server on a free port that treats each connection with `behave(request head, writer)`."""

    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await behave(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()  # since Python 3.12 a server is closed only when its connections are
        await server.wait_closed()
