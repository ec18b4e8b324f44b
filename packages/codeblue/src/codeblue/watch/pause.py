"""Waiting that ends when the process is to end."""

import asyncio

from codeblue.ports.clock import Clock


async def pause(stop: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Wait for so long, or until `stop` is set."""
    waiting = asyncio.ensure_future(stop.wait())
    pausing = asyncio.ensure_future(clock.sleep(max(0.01, seconds)))
    try:
        await asyncio.wait({waiting, pausing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (waiting, pausing):
            task.cancel()
        await asyncio.gather(waiting, pausing, return_exceptions=True)
