"""The readiness probe of the controller: one GET, judged as the kubelet judges it (200 to 399 passes)."""

import asyncio
import time

#: One probe's limit in seconds, and how many in a row must fail before a ready replica is called unready.
TIMEOUT_S = 2.0
FAILURES = 3

#: Seconds between probes of a replica that is not ready yet, and of one that is.
EAGER_S, STEADY_S = 0.1, 0.5


async def passes(port: int, path: str) -> bool:
    """Whether the path on a port of this machine answers well within the limit."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: codeblue-controller\r\n"
                writer.write(f"{request}Connection: close\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        return False
    version, _, rest = line.partition(b" ")
    return version.startswith(b"HTTP/") and rest[:3].isdigit() and 200 <= int(rest[:3]) < 400


class Health:
    """Keeps probing one replica in a task of its own; `ready` is what came out so far."""

    def __init__(self, port: int, path: str) -> None:
        self.ready = False
        self._port, self._path, self._failures = port, path, 0
        self._task = asyncio.create_task(self._watch())

    def restarted(self) -> None:
        """There is a new process: what the former one answered says nothing about it."""
        self.ready, self._failures = False, 0

    def stop(self) -> None:
        """Probe no more."""
        self.ready = False
        self._task.cancel()

    async def _watch(self) -> None:
        last = float("-inf")
        while True:
            # short steps also while it is ready: a restarted process is asked soon, not after the long interval
            if not self.ready or time.monotonic() - last >= STEADY_S:
                last = time.monotonic()
                await self._probe()
            await asyncio.sleep(EAGER_S)

    async def _probe(self) -> None:
        if await passes(self._port, self._path):
            self.ready, self._failures = True, 0
            return
        self._failures += 1
        self.ready = self.ready and self._failures < FAILURES
