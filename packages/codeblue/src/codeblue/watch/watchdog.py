"""The watchdog: gives a sign of life to somebody outside, as long as the loop gives one to it."""

import asyncio
from collections.abc import Callable

from codeblue.model.errors import CodeBlueError
from codeblue.ports.clock import Clock
from codeblue.ports.dead_man import DeadMan
from codeblue.ports.pulse import LoopPulse
from codeblue.watch.pause import pause

#: How long a ping may take, whatever its adapter promises.
PING_S = 10.0


class Watchdog:
    """Pings while the loop is alive, and is silent when it is not: then the one outside calls people.

    It runs in the loop's own event loop, so that a call that blocks this one silences the ping as well.

    Args:
        every_s: time between two pings.
        silent_after_s: a loop whose last cycle is older is taken to hang.
        say: gets a sentence when something changes: a ping fails, the loop hangs, all is well again.
    """

    def __init__(
        self,
        dead_man: DeadMan,
        loop: LoopPulse,
        clock: Clock,
        *,
        every_s: float,
        silent_after_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._dead_man, self._loop, self._clock, self._say = dead_man, loop, clock, say
        self._every_s, self._silent_after_s = every_s, silent_after_s
        self._said = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Ping until `stop` is set."""
        while not stop.is_set():
            begun = self._clock.monotonic()
            sentence = await self.cycle()
            if sentence != self._said:
                self._say(sentence or "watchdog: signs of life are sent and taken again")
                self._said = sentence
            await pause(stop, self._clock, self._every_s - (self._clock.monotonic() - begun))

    async def cycle(self) -> str:
        """One ping, or none. Returns what is wrong, "" if nothing is."""
        age_s = self._loop.pulse().age_s
        if age_s > self._silent_after_s:
            return (
                f"watchdog: the loop has said nothing for more than {self._silent_after_s:g} s; no sign of life is "
                "sent, so that the one outside calls people"
            )
        try:
            async with asyncio.timeout(PING_S):
                await self._dead_man.ping()
        except TimeoutError:
            return f"watchdog: the sign of life was not taken within {PING_S:g} s"
        except CodeBlueError as error:
            return f"watchdog: {error.message}"
        return ""
