"""When the metrics system is away, the pods themselves are asked (B5)."""

import pytest

from codeblue.adapters.signals.fallback import FallbackSignals
from codeblue.model.signal import Reading
from codeblue.ports.platform import Place
from codeblue.testing.clock import VirtualClock
from codeblue.testing.memory_signals import MemorySignals

PODS = (Place("pod/a", "memory://a"),)


def reading(pod: str, at_s: float) -> Reading:
    return Reading(pod, at_s, requests=7.0)


@pytest.mark.req("B5")
async def test_the_second_is_asked_only_while_the_first_has_nothing_and_that_stays_known() -> None:
    clock = VirtualClock()
    first, second = MemorySignals(clock, reading), MemorySignals(clock, reading)
    signals = FallbackSignals(first, second)
    assert [r.requests for r in (await signals.sample(PODS)).readings] == [7.0]
    assert second.looks == 0
    first.blind, first.unknown = True, {"prometheus": "connection refused"}
    found = await signals.sample(PODS)
    assert [r.requests for r in found.readings] == [7.0]
    assert found.unknown == {"prometheus": "connection refused"}
    second.blind, second.unknown = True, {"pod/a": "status 503"}
    assert (await signals.sample(PODS)).unknown == {"pod/a": "status 503", "prometheus": "connection refused"}
    first.blind = False
    first.unknown = {}
    assert second.looks == 2
    await signals.sample(PODS)
    assert second.looks == 2
