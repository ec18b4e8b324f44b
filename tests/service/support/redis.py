"""A real Redis on a socket of its own."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.process import Process, until


@contextlib.contextmanager
def running(directory: Path) -> Iterator[tuple[Process, str]]:
    """Its process and its URL."""
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is missing: apt-get install -y --no-install-recommends redis-server")
    path = directory / "redis.sock"
    process = Process(
        ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(directory)], {}
    )
    try:
        until("redis-server's socket", path.exists)
        yield process, f"unix://{path}"
    finally:
        process.close()
