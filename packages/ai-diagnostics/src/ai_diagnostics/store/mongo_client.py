"""What both MongoDB adapters share: a client with deadlines, and errors in our own words."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient, errors

from ai_diagnostics.secret import Secret
from ai_diagnostics.store import StoreError, StoreUnreachable

Document = dict[str, Any]


_clients: dict[tuple[int, str, int], MongoClient[Document]] = {}


def connect(uri: Secret, timeout_s: float) -> MongoClient[Document]:
    """The one client of this process for a URI; it connects at its first use; each operation ends after `timeout_s`,
    with the driver's own second attempt included.

    One, because a client has threads and a pool of its own, and stores are opened again and again while a server is
    down. By process, because a client must not be used after a fork.

    Raises:
        StoreError: the URI is malformed. The message does not quote it, because it may hold a password.
    """
    ms = int(timeout_s * 1000)
    key = (os.getpid(), uri.reveal(), ms)
    if key not in _clients:
        try:
            client: MongoClient[Document] = MongoClient(
                uri.reveal(),
                connect=False,
                timeoutMS=ms,
                serverSelectionTimeoutMS=ms,
                connectTimeoutMS=ms,
                retryWrites=False,
                appname="ai-diagnostics",
            )
        except (errors.PyMongoError, ValueError) as error:
            raise StoreError(f"MONGODB_URI is not usable: {type(error).__name__}") from None
        atexit.register(client.close)
        _clients[key] = client
    return _clients[key]


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into StoreUnreachable (temporary) and StoreError (for good)."""
    try:
        yield
    except errors.PyMongoError as error:
        if error.timeout or isinstance(error, errors.ConnectionFailure):
            raise StoreUnreachable(f"MongoDB does not answer: {type(error).__name__}") from error
        code = getattr(error, "code", None)
        raise StoreError(f"MongoDB refused: {type(error).__name__} (code {code})") from error
