"""The pulse of a worker: twice a second it reads flags and modes, and says what it applies (R61, D27).

A thread of its own, so that a slow store never holds a request up. It also ends the worker when the parent is gone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

from ai_diagnostics import metrics
from ai_diagnostics.live import Live
from ai_diagnostics.logs import log, where
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import ControlStore, StoreError, open_control
from ai_diagnostics.traffic import TrafficCount

PERIOD_S = 0.5
REPORT_S = 1.0
STOP_S = 1.0
LEAK_TICKS = 20  # the fault `memory:MB` needs about ten seconds


class Pulse:
    """Start it in a worker, stop it when the worker stops.

    Args:
        report: makes this process's report, a JSON object.
        observe: sets the gauges.
    """

    def __init__(
        self,
        settings: Settings,
        live: Live,
        traffic: TrafficCount,
        report: Callable[[], Mapping[str, object]],
        observe: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.live = live
        self.traffic = traffic
        self.report = report
        self.observe = observe
        self._parent = os.getppid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._store: ControlStore | None = None
        self._reported = 0.0
        self._leak: list[bytes] = []

    def start(self) -> None:
        """Read once, so that the first request already sees flags and modes, then go on in the background."""
        self.tick()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, store the last counts, take our report away; a store that is down holds no stop up."""
        self._stop.set()
        self._thread.join(timeout=STOP_S)
        if self._store is None or not self.live.reachable or self._thread.is_alive():
            return
        try:
            self._flush(self._store)
            self._store.forget(self.settings.pod, os.getpid())
        except StoreError as error:
            log("control_store_failed", problem=type(error).__name__, during="stop")

    def tick(self) -> None:
        """One beat. A store that fails is reported and tried again at the next beat; the view stays as it was."""
        try:
            if self._store is None:
                self._store = open_control(self.settings.storage, initial=self.settings.initial, timeout_s=2.0)
            changed = self.live.apply(self._store.read())
            if changed:
                log("control_applied", control_version=self.live.view.version)
            if changed or time.monotonic() - self._reported >= REPORT_S:
                self._store.report(self.settings.pod, os.getpid(), self.report())
                self._flush(self._store)
                self._reported = time.monotonic()
        except StoreError as error:
            if self.live.reachable or self.live.checked_at is None:
                log("control_store_failed", problem=type(error).__name__, during="pulse")
            self.live.reachable = False
        self.observe()

    def _flush(self, store: ControlStore) -> None:
        rows = self.traffic.take()
        try:
            store.add_traffic(self.settings.pod, os.getpid(), rows)
        except StoreError:
            self.traffic.put_back(rows)
            raise

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            if os.getppid() != self._parent:
                log("orphaned", parent=self._parent)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self._leak_some()
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  # whatever it is: without a pulse no change would be applied
                log("pulse_failed", **where(error))
                os.kill(os.getpid(), signal.SIGTERM)  # the parent starts a new worker
                return

    def _leak_some(self) -> None:
        """The release fault `memory:MB`: this worker's share of the leak, in touched pages."""
        share = self.settings.faults.memory_mib * 2**20 // self.settings.workers
        if share and len(self._leak) < LEAK_TICKS:
            self._leak.append(b"\xa5" * (share // LEAK_TICKS))


def gauges(settings: Settings, breaker_open: Callable[[], bool]) -> Callable[[], None]:
    """What `Pulse` calls to set this process's gauges."""
    limit = metrics.memory_limit_bytes(settings.memory_limit_bytes)

    def observe() -> None:
        used = metrics.working_set_bytes()
        metrics.MEMORY.set(used)
        metrics.MEMORY_SUM.set(used)
        if limit is not None:
            metrics.MEMORY_LIMIT.labels(limit[0]).set(limit[1])
            if limit[0] == "cgroup" and (kills := metrics.oom_kills()) is not None:
                metrics.OOM_KILLS.set(kills)
        metrics.BREAKER.set(int(breaker_open()))

    return observe
