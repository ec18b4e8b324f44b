"""The contract of `ports.channel.Channel`.

A subclass gives the fixtures that raise `NotImplementedError` here, and says which ways of answering its provider has
(`ways`). What was received is counted at the provider (the emulator, the directory), never in the channel.
"""
# ruff: noqa: S101 - a contract suite is made of asserts

import itertools
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum

import pytest

from codeblue.model.errors import Refused, Temporary
from codeblue.model.incident import Level, Role, Severity
from codeblue.model.page import Fate, Page
from codeblue.ports.channel import Channel


class Way(StrEnum):
    """How a provider answers.

    ACCEPT: its own yes. REFUSE: an answer that no retry changes (400, `ok:false`, an unknown address). BUSY: 429 or
    503. DOWN: no connection. CUT: it took the message, and the connection ended before its answer. HANG: it took the
    connection, and never answers.
    """

    ACCEPT = "accept"
    REFUSE = "refuse"
    BUSY = "busy"
    DOWN = "down"
    CUT = "cut"
    HANG = "hang"


Answer = Callable[[Way], None]
Received = Callable[[], Sequence[str]]

_numbers = itertools.count(1)
INCIDENT = "inc-20260105t031500z-0a1b2c"


def page(role: Role = Role.ON_CALL, *, channel: str = "suite", **changes: object) -> Page:
    """A page that no test used before."""
    number = next(_numbers)
    made = Page(
        key=f"codeblue:{INCIDENT}:L1:{number}:{role.value}:{channel}",
        incident=INCIDENT,
        level="L1",
        cycle=number,
        role=role,
        severity=Severity.SEV2,
        summary=f"SEV2 ai-diagnostics-api: health, 4 failures in a row > 3, page {number}",
        details=(("service", "ai-diagnostics-api"), ("trigger", "health")),
        next_step=f"codeblue incident ack {INCIDENT}",
        head="17:" + "ab" * 32,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class ChannelContract:
    """Subclass it as `class TestX(ChannelContract)` and give the fixtures `channel`, `answer` and `received`."""

    #: The ways of answering that the provider has; tests of the others do not apply, and say so.
    ways: frozenset[Way] = frozenset(Way)

    @pytest.fixture
    def channel(self) -> Channel:
        """The adapter under test, with an address for `reachable` and none for `unreachable`."""
        raise NotImplementedError

    @pytest.fixture
    def again(self, channel: Channel) -> Channel:
        """The same channel as the process after a crash opens it, where the test can tell them apart."""
        return channel

    @pytest.fixture
    def answer(self) -> Answer:
        """How the provider answers from now on; it accepts at the start."""
        raise NotImplementedError

    @pytest.fixture
    def received(self) -> Received:
        """What a person has from the provider, a text each, in order: what a keyed provider merges counts once."""
        raise NotImplementedError

    @pytest.fixture
    def reachable(self) -> Role:
        """A role that the channel reaches."""
        return Role.ON_CALL

    @pytest.fixture
    def unreachable(self) -> Role | None:
        """A role that it has no address for; None for a channel that is the same for all roles."""
        return Role.CMO

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        """Keys, tokens, addresses with a key in them: none of them may be shown."""
        return ()

    @pytest.fixture
    def limit_s(self) -> float:
        """The longest time of one send, real seconds; the port's promise is 10."""
        return 10.0

    @pytest.fixture(autouse=True)
    def _applies(self, request: pytest.FixtureRequest) -> None:
        needs = request.node.get_closest_marker("way")
        if needs is not None and needs.args[0] not in self.ways:
            pytest.skip(f"the provider has no way to {needs.args[0]}")

    def test_its_name_is_a_word_of_the_profile(self, channel: Channel) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,30}", channel.name)

    def test_it_says_whom_it_reaches(self, channel: Channel, reachable: Role, unreachable: Role | None) -> None:
        assert channel.reaches(page(reachable))
        if unreachable is not None:
            assert not channel.reaches(page(unreachable))

    @pytest.mark.req("R2")
    async def test_a_page_is_accepted_and_is_there_once(
        self, channel: Channel, received: Received, reachable: Role
    ) -> None:
        sent = page(reachable)
        delivery = await channel.send(sent)
        assert delivery.fate is Fate.ACCEPTED, delivery.why
        assert len(received()) == 1
        assert f"page {sent.cycle}" in received()[0]

    async def test_the_person_is_told_what_to_do_next_and_of_which_incident(
        self, channel: Channel, received: Received, reachable: Role
    ) -> None:
        await channel.send(page(reachable))
        assert f"codeblue incident ack {INCIDENT}" in received()[0]

    async def test_two_pages_are_two(self, channel: Channel, received: Received, reachable: Role) -> None:
        for _ in range(2):
            assert (await channel.send(page(reachable))).fate is Fate.ACCEPTED
        assert len(received()) == 2

    @pytest.mark.req("B3")
    async def test_a_keyed_provider_takes_the_same_page_twice_and_pages_once(
        self, channel: Channel, again: Channel, received: Received, reachable: Role
    ) -> None:
        if not channel.keyed:
            pytest.skip("the provider takes no key: a second attempt after a crash is not made")
        sent = page(reachable)
        first = await channel.send(sent)
        second = await again.send(sent)
        assert first.fate is second.fate is Fate.ACCEPTED
        assert first.reference == second.reference != ""
        assert len(received()) == 1

    async def test_nobody_is_reached_without_an_address(
        self, channel: Channel, received: Received, unreachable: Role | None
    ) -> None:
        if unreachable is None:
            pytest.skip("the channel is the same for all roles")
        delivery = await channel.send(page(unreachable))
        assert delivery.fate is Fate.REFUSED
        assert delivery.why
        assert len(received()) == 0

    @pytest.mark.way(Way.REFUSE)
    async def test_a_refusal_is_final_and_said(
        self, channel: Channel, answer: Answer, received: Received, reachable: Role
    ) -> None:
        answer(Way.REFUSE)
        delivery = await channel.send(page(reachable))
        assert delivery.fate is Fate.REFUSED
        assert delivery.why
        assert "\n" not in delivery.why
        assert len(received()) == 0

    @pytest.mark.way(Way.BUSY)
    async def test_a_busy_provider_is_asked_again_later(
        self, channel: Channel, answer: Answer, received: Received, reachable: Role
    ) -> None:
        sent = page(reachable)
        answer(Way.BUSY)
        with pytest.raises(Temporary) as caught:
            await channel.send(sent)
        assert caught.value.delay_s > 0
        assert len(received()) == 0
        answer(Way.ACCEPT)
        assert (await channel.send(sent)).fate is Fate.ACCEPTED
        assert len(received()) == 1

    @pytest.mark.way(Way.DOWN)
    async def test_no_connection_is_certainly_not_accepted(
        self, channel: Channel, answer: Answer, received: Received, reachable: Role
    ) -> None:
        sent = page(reachable)
        answer(Way.DOWN)
        with pytest.raises(Temporary):
            await channel.send(sent)
        answer(Way.ACCEPT)
        assert len(received()) == 0
        assert (await channel.send(sent)).fate is Fate.ACCEPTED
        assert len(received()) == 1

    @pytest.mark.way(Way.CUT)
    @pytest.mark.req("B3")
    async def test_an_answer_that_is_cut_off_is_unknown(
        self, channel: Channel, answer: Answer, received: Received, reachable: Role
    ) -> None:
        sent = page(reachable)
        answer(Way.CUT)
        assert (await channel.send(sent)).fate is Fate.UNKNOWN
        answer(Way.ACCEPT)
        if channel.keyed:
            assert (await channel.send(sent)).fate is Fate.ACCEPTED
            assert len(received()) == 1

    @pytest.mark.way(Way.HANG)
    async def test_a_provider_that_never_answers_is_given_up_on(
        self, channel: Channel, answer: Answer, reachable: Role, limit_s: float
    ) -> None:
        answer(Way.HANG)
        begun = time.monotonic()
        assert (await channel.send(page(reachable))).fate is Fate.UNKNOWN
        assert time.monotonic() - begun < limit_s + 2

    @pytest.mark.req("R1")
    @pytest.mark.parametrize("way", [Way.REFUSE, Way.BUSY, Way.DOWN, Way.CUT])
    async def test_no_message_shows_a_secret(
        self, channel: Channel, answer: Answer, reachable: Role, secrets: Sequence[str], way: Way
    ) -> None:
        if way not in self.ways:
            pytest.skip(f"the provider has no way to {way}")
        answer(way)
        try:
            delivery = await channel.send(page(reachable))
            shown = repr(delivery)
        except Temporary as error:
            shown = f"{error.message} {error.remedy} {error!r} {error.__cause__!r} {error.__context__!r}"
        for secret in secrets:
            assert secret not in shown
            assert secret not in repr(channel)

    @pytest.mark.req("B9")
    @pytest.mark.parametrize(
        "text", ["<script>alert(1)</script>", "{{7*7}}", "$(id)", "`id`", "*bold* <!channel> @here"]
    )
    async def test_hostile_words_stay_words(
        self, channel: Channel, received: Received, reachable: Role, text: str
    ) -> None:
        assert (await channel.send(page(reachable, summary=f"SEV2 {text} page"))).fate is Fate.ACCEPTED
        assert len(received()) == 1
        assert "SEV2 49 page" not in received()[0]
        assert "uid=" not in received()[0]

    async def test_a_long_summary_is_no_reason_for_silence(
        self, channel: Channel, received: Received, reachable: Role
    ) -> None:
        assert (await channel.send(page(reachable, summary="x" * 200))).fate is Fate.ACCEPTED
        assert len(received()) == 1

    @pytest.mark.parametrize("acknowledged", [Level.L1, Level.L4, None])
    async def test_an_incident_can_be_settled_at_any_time(
        self, channel: Channel, received: Received, reachable: Role, acknowledged: Level | None
    ) -> None:
        await channel.settle("inc-20260105t031500z-ffffff", acknowledged=acknowledged)
        await channel.send(page(reachable))
        for _ in range(2):
            await channel.settle(INCIDENT, acknowledged=acknowledged)
        assert len(received()) == 1

    @pytest.mark.way(Way.DOWN)
    async def test_settling_says_when_it_could_not(self, channel: Channel, answer: Answer, reachable: Role) -> None:
        await channel.send(page(reachable))
        answer(Way.DOWN)
        with suppress(Temporary, Refused):  # nothing else; a provider without such a thing raises nothing
            await channel.settle(INCIDENT, acknowledged=Level.L1)

    async def test_closing_twice_is_fine(self, channel: Channel) -> None:
        await channel.close()
        await channel.close()
