"""Redis, or none: a cache of drug names that RxNorm has normalised. The service works without it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, cast

from ai_diagnostics.secret import Secret

if TYPE_CHECKING:
    from redis import Redis

_PREFIX = "ai-diagnostics:"
_TTL_S = 86400


class CacheError(Exception):
    """Redis does not answer, or answers wrongly."""


class RedisCache:
    """Names and values as text, for a day; each wait ends after `timeout_s`."""

    def __init__(self, url: Secret, timeout_s: float = 2.0) -> None:
        import redis

        self._error = redis.RedisError
        self._redis: Redis = redis.Redis.from_url(
            url.reveal(),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            decode_responses=True,
        )

    def get(self, key: str) -> str | None:
        """The value, or None."""
        try:
            return cast("str | None", self._redis.get(_PREFIX + key))
        except self._error as error:
            raise CacheError(type(error).__name__) from error

    def put(self, key: str, value: str) -> None:
        """Keep a value for a day."""
        try:
            self._redis.set(_PREFIX + key, value, ex=_TTL_S)
        except self._error as error:
            raise CacheError(type(error).__name__) from error

    def probe(self) -> None:
        """PING, then set, get and delete a key of its own (R59)."""
        key, value = f"{_PREFIX}probe:{uuid.uuid4()}", uuid.uuid4().hex
        try:
            self._redis.ping()
            self._redis.set(key, value, ex=10)
            seen = self._redis.get(key)
            self._redis.delete(key)
        except self._error as error:
            raise CacheError(type(error).__name__) from error
        if seen != value:
            raise CacheError("a value was not read back")

    def clear(self) -> int:
        """Remove all our keys (after a restore, cached answers may be of a later time); returns how many (D14)."""
        try:
            keys = list(self._redis.scan_iter(match=_PREFIX + "*", count=500))
            return self._redis.delete(*keys) if keys else 0
        except self._error as error:
            raise CacheError(type(error).__name__) from error
