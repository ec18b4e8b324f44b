"""The watchdog: signs of life while the loop lives, silence when it does not."""

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.process import until
from tests.unit.cli.program import run
from tests.unit.web.daemon import Served
from tests.unit.web.desk import StillLoop, alert, message
from tests.unit.web.outside import Outside

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.dead_man import HttpDeadMan
from codeblue.model.errors import Temporary, Unreachable
from codeblue.model.secret import Secret
from codeblue.testing.clock import VirtualClock
from codeblue.watch.pulse import Heart
from codeblue.watch.watchdog import Watchdog

pytestmark = pytest.mark.slow


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.close()


class Counting:
    """A dead man in memory."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.at = clock, list[float]()
        self.broken = ""
        self.hangs = False

    async def ping(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.broken:
            raise Unreachable(self.broken)
        self.at.append(self.clock.monotonic())

    async def close(self) -> None:
        pass


async def watched(clock: VirtualClock, dead_man: Counting, heart: Heart, said: list[str], seconds: float) -> None:
    """Run a watchdog for so long."""
    stop = asyncio.Event()
    dog = Watchdog(dead_man, heart, clock, every_s=60, silent_after_s=120, say=said.append)
    running = asyncio.create_task(dog.run(stop))
    await clock.sleep(seconds)
    stop.set()
    await running


async def test_it_pings_at_its_times_and_falls_silent_when_the_loop_does() -> None:
    clock = VirtualClock()
    dead_man, heart, said = Counting(clock), Heart(clock), list[str]()

    async def loop() -> None:
        for _ in range(30):
            heart.beat("ok", took_s=0.1, acting=True)
            await clock.sleep(10)

    beating = asyncio.create_task(loop())
    await watched(clock, dead_man, heart, said, 900)
    await beating
    assert dead_man.at == [0, 60, 120, 180, 240, 300, 360]  # the last beat was at 290, silent after 410
    assert said == [
        "watchdog: the loop has said nothing for more than 120 s; no sign of life is sent, so that the one outside "
        "calls people"
    ]


async def test_it_says_once_that_a_sign_of_life_is_not_taken_and_once_that_it_is_again() -> None:
    clock = VirtualClock()
    dead_man, heart, said = Counting(clock), Heart(clock), list[str]()
    dead_man.broken = "the sign of life did not arrive: it answered 500"

    async def loop() -> None:
        for n in range(40):
            heart.beat("ok", took_s=0.1, acting=True)
            if n == 20:
                dead_man.broken = ""
            await clock.sleep(10)

    beating = asyncio.create_task(loop())
    await watched(clock, dead_man, heart, said, 390)
    await beating
    assert said == [
        "watchdog: the sign of life did not arrive: it answered 500",
        "watchdog: signs of life are sent and taken again",
    ]


async def test_the_adapter_takes_only_a_success_for_an_answer_and_tells_no_address(outside: Outside) -> None:
    dead_man = HttpDeadMan(Secret(outside.url))
    await dead_man.ping()
    assert len(outside.at) == 1
    for status in (302, 404, 429, 500):
        outside.answers = status
        with pytest.raises(Temporary) as refused:
            await dead_man.ping()
        assert str(status) in refused.value.message
        assert "5ecret" not in f"{refused.value.message}{refused.value.remedy}{refused.value.__cause__}"
    assert len(outside.at) == 5, "a redirection is not followed"
    await dead_man.close()
    await dead_man.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/5ecret", "no url 5ecret", "http://[5ecret", "ftp://5ecret/x"])
async def test_an_address_that_leads_nowhere_is_a_temporary_error(url: str) -> None:
    dead_man = HttpDeadMan(Secret(url))
    with pytest.raises(Temporary) as refused:
        await dead_man.ping()
    assert "5ecret" not in refused.value.message
    await dead_man.close()


async def test_an_outside_that_hangs_is_given_up_on(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    outside.holds.clear()
    monkeypatch.setattr("codeblue.adapters.dead_man.PING_S", 0.2)
    dead_man = HttpDeadMan(Secret(outside.url))
    with pytest.raises(Temporary, match="no answer within"):
        await dead_man.ping()
    await dead_man.close()


async def test_an_adapter_that_hangs_in_spite_of_its_promise_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codeblue.watch.watchdog.PING_S", 0.05)
    clock = VirtualClock()
    dead_man = Counting(clock)
    dead_man.hangs = True
    dog = Watchdog(dead_man, StillLoop(), clock, every_s=60, silent_after_s=120, say=lambda _: None)
    assert "not taken within" in await dog.cycle()


async def test_a_cycle_that_never_ends_silences_it(outside: Outside) -> None:
    """A real event loop and a real server: the cycle waits for ever, the event loop goes on."""
    clock = SystemClock()
    heart, stop = Heart(clock), asyncio.Event()
    dead_man = HttpDeadMan(Secret(outside.url))
    dog = Watchdog(dead_man, heart, clock, every_s=0.05, silent_after_s=0.4, say=lambda _: None)
    running = asyncio.create_task(dog.run(stop))
    while len(outside.at) < 3:
        heart.beat("ok", took_s=0, acting=True)
        await clock.sleep(0.05)
    # from here on the loop says nothing
    while outside.silence_s() < 0.5:
        await clock.sleep(0.05)
    assert heart.pulse().age_s > 0.4
    heart.beat("ok", took_s=0, acting=True)
    seen = len(outside.at)
    while len(outside.at) == seen:
        await clock.sleep(0.05)
    stop.set()
    await running
    await dead_man.close()


def test_a_daemon_whose_loop_hangs_falls_silent_and_says_so(served: Served, outside: Outside) -> None:
    """Its loop hangs for ever after one alert; its event loop and its HTTP go on."""
    served.write("lease: {duration: 5s}\nwatchdog: {url: {env: DEAD_MAN}, every: 1s, silent_after: 10s}\n")
    served.start(DEAD_MAN=outside.url, CODEBLUE_FREEZE_AT="alerts.recorded", CODEBLUE_HANG_AT="watch.cycle")
    until("signs of life", lambda: len(outside.at) >= 2)
    with ThreadPoolExecutor() as threads:
        sending = threads.submit(served.alert, message([alert(1)]))
        until("its freezing", served.is_stopped)
        served.signal(signal.SIGCONT)
        assert sending.result().status == 200
    until("the silence", lambda: served.get("/healthz").status == 503)
    assert "it hangs" in served.get("/healthz").json["message"]
    until("nothing more", lambda: outside.silence_s() > 3)
    until("the sentence", lambda: any("no sign of life is sent" in line for line in served.lines))
    assert "5ecret" not in "".join(served.lines) + (served.home / "stderr").read_text()
    served.signal(signal.SIGKILL)  # it never ends in order


def test_a_daemon_that_stands_still_falls_silent(served: Served, outside: Outside) -> None:
    served.write("lease: {duration: 5s}\nwatchdog: {url: {env: DEAD_MAN}, every: 1s, silent_after: 10s}\n")
    served.start(DEAD_MAN=outside.url)
    until("signs of life", lambda: len(outside.at) >= 2)
    served.signal(signal.SIGSTOP)
    until("the silence", lambda: outside.silence_s() > 3)
    served.signal(signal.SIGCONT)
    until("signs of life again", lambda: outside.silence_s() < 1)


def test_a_reference_that_leads_nowhere_is_said_before_anything_begins(served: Served) -> None:
    served.write("watchdog: {url: {env: NO_SUCH_VARIABLE}}\n")
    answer = run("serve", cwd=served.home, env={"ALERTS_TOKEN": "a", "STATUS_TOKEN": "b"})
    assert answer.code == 2
    assert "watchdog.url: the environment variable NO_SUCH_VARIABLE is not set" in answer.err
