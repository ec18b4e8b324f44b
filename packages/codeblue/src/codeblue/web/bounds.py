"""Bounds against those who send too much, too often or too slowly."""

from collections.abc import Callable

from fastapi import Request

from codeblue.web.answers import TooMuch

#: Of a body that a known sender may send, and of one whose signature is still to be checked.
ALERTS_BYTES, SIGNED_BYTES = 4 * 1024 * 1024, 256 * 1024

#: So much is read and dropped before the answer: a sender whose connection is closed while it still sends sees a
#: broken connection in place of the answer, and Alertmanager would try the same again and again.
DRAINED_BYTES = 8 * 1024 * 1024


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. How long it may take is the business of the connection (`web.server`).

    Raises:
        TooMuch: 413; no more than the limit is kept, whatever length was announced.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and (len(announced) > 12 or int(announced) > DRAINED_BYTES):
        raise _too_large(limit)
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > DRAINED_BYTES:
            break
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> TooMuch:
    # whoever sends more than is drained talks to a closed connection
    return TooMuch(
        413,
        f"The request is larger than {limit // 1024} KiB. Nothing of it was recorded.",
        "Send less at once; in Alertmanager, set max_alerts of the webhook to 1000 or fewer.",
        close=True,
    )


class Bucket:
    """So many at once, refilled evenly over a time.

    Args:
        size: how many are in it when it is full.
        per_s: in how many seconds it fills.
        now: monotonic seconds.
    """

    def __init__(self, size: int, per_s: float, now: Callable[[], float]) -> None:
        self._size, self._per_s, self._now = size, per_s, now
        self._left, self._at = float(size), now()

    def take(self) -> bool:
        """Take one out; False when it is empty."""
        now = self._now()
        self._left = min(self._size, self._left + (now - self._at) * self._size / self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Put one back that was not used after all."""
        self._left = min(self._size, self._left + 1)

    def wait_s(self) -> int:
        """Whole seconds until there is one again, at least 1."""
        return max(1, round((1 - self._left) * self._per_s / self._size + 0.5))
