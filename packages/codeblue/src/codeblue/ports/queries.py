"""Asks a metrics server in its own language."""

from typing import Protocol

from codeblue.model.query import Answer


class Queries(Protocol):
    """Kept by Prometheus."""

    async def instant(self, query: str) -> Answer:
        """The value of an expression now. Never raises for a server that does not answer, answers in part, with nothing
        or with something else: that is `Answer.unknown` (B5, D34). Bounded in time and memory."""

    async def close(self) -> None:
        """Release connections. May be called twice."""
