"""The virtual clock keeps the order of deadlines, whatever the tasks do."""

import asyncio
import time
from datetime import timedelta

from codeblue.testing.clock import VirtualClock


async def test_sleepers_wake_in_the_order_of_their_deadlines_and_an_hour_takes_no_time() -> None:
    clock, woke = VirtualClock(), list[tuple[str, float]]()
    started = time.monotonic()

    async def ticker() -> None:
        for _ in range(3):
            await clock.sleep(1200)
            woke.append(("tick", clock.monotonic()))

    async def once(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woke.append((name, clock.monotonic()))

    await asyncio.gather(once("late", 3599), ticker(), once("early", 1))
    assert woke == [("early", 1), ("tick", 1200), ("tick", 2400), ("late", 3599), ("tick", 3600)]
    assert time.monotonic() - started < 5


async def test_a_cancelled_sleeper_holds_nobody_back() -> None:
    clock = VirtualClock()
    sleeper = asyncio.create_task(clock.sleep(10))
    waiter = asyncio.create_task(clock.sleep(20))
    await asyncio.sleep(0)
    sleeper.cancel()
    await waiter
    assert clock.monotonic() == 20


async def test_the_time_of_day_jumps_alone() -> None:
    clock = VirtualClock()
    before = clock.now()
    clock.jump(timedelta(hours=-1))
    await clock.sleep(60)
    assert clock.now() == before - timedelta(minutes=59)
    assert clock.monotonic() == 60
    clock.advance(5)
    assert clock.monotonic() == 65
    await clock.sleep(0)


async def test_time_does_not_pass_a_task_that_waits_for_others_to_wake() -> None:
    """A gather goes on some turns after its last member woke; whoever sleeps longer must not wake in between."""
    clock = VirtualClock()
    late: list[float] = []

    async def sleeper() -> None:
        await clock.sleep(100)
        late.append(clock.monotonic())

    task = asyncio.create_task(sleeper())
    for n in range(1, 40):
        await asyncio.gather(*(clock.sleep(1) for _ in range(4)))
        assert (clock.monotonic(), late) == (n, [])
    await task
    assert late == [100]
