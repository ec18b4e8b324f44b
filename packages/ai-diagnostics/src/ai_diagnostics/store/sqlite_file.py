"""Opening SQLite files: one connection per operation, so that threads, forks and a replaced file do no harm."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ai_diagnostics.store import StoreError, StoreUnreachable


class SqliteFile:
    """A SQLite database file in WAL mode.

    Args:
        create: make the file (mode 0600) and its directory (0700) when they are not there; else their absence is
            StoreUnreachable.
        timeout_s: how long an operation waits for another writer.
    """

    def __init__(self, path: Path, *, create: bool, timeout_s: float) -> None:
        self.path = path
        self.timeout_s = timeout_s
        if create and not path.exists():
            try:
                _private_directory(path.parent)
                path.touch(mode=0o600)
            except OSError as error:
                raise StoreUnreachable(f"cannot create {path}: {error.strerror}") from error
            with self.transaction() as db:
                db.execute("SELECT 1")

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit mode; SQLite's errors become StoreUnreachable or StoreError."""
        try:
            db = sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, timeout=self.timeout_s, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreUnreachable(f"cannot open {self.path} (is the path right?): {error}") from error
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA foreign_keys = ON")
            yield db
        except sqlite3.OperationalError as error:
            raise StoreUnreachable(f"{self.path}: {error}") from error
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error
        finally:
            db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one write transaction: all of it is done, or nothing."""
        with self.connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _private_directory(path: Path) -> None:
    """Make a directory that only we can use; refuse another user's (the default lies in a shared /tmp)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = path.lstat()
    if info.st_uid not in (os.getuid(), 0) and info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(0, "the directory belongs to another user and others can write to it")
