"""The anchor of the machine's own clock (R3): the same in every process of a boot, and apart from what can be set."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from codeblue.adapters import clock
from codeblue.adapters.clock import SystemClock
from codeblue.testing.clock import VirtualClock

READ = "from codeblue.adapters.clock import SystemClock as C; a = C().anchor(); print(a.boot, a.at_s)"


@pytest.mark.req("R3")
def test_two_processes_of_a_boot_can_subtract_their_anchors() -> None:
    first = SystemClock().anchor()
    answer = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True, timeout=60)
    boot, at_s = answer.stdout.split()
    last = SystemClock().anchor()
    assert boot == first.boot == last.boot
    assert first.at_s <= float(at_s) <= last.at_s
    assert first.at_s == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=120)


def test_without_a_boot_that_can_be_told_only_one_s_own_readings_compare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "_PROC", tmp_path)
    one, other = SystemClock(), SystemClock()
    assert one.anchor().boot == one.anchor().boot != other.anchor().boot


def test_the_virtual_clock_s_anchor_is_moved_by_time_alone() -> None:
    virtual = VirtualClock()
    before = virtual.anchor()
    virtual.advance(5)
    assert (virtual.anchor().boot, virtual.anchor().at_s - before.at_s) == (before.boot, 5)
    virtual.reboot()
    assert virtual.anchor().boot != before.boot
