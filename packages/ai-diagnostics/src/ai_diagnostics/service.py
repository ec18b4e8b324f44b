"""Everything one worker process holds, put together after the fork."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from ai_diagnostics import __version__, metrics, probes, pulse
from ai_diagnostics.auth import Authority
from ai_diagnostics.breaker import Breaker
from ai_diagnostics.cache import RedisCache
from ai_diagnostics.control import FLAGS, MODES
from ai_diagnostics.live import Live
from ai_diagnostics.probes import Systems
from ai_diagnostics.pulse import Pulse
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import ControlStore, DataStore, open_control, open_data
from ai_diagnostics.store.guard import Guard
from ai_diagnostics.traffic import TrafficCount
from ai_diagnostics.workflow import Workflow

_LOOP_BEAT_S = 0.5


@dataclass
class Service:
    """One worker's parts. `loop_seen` is when the event loop last ran (monotonic): a blocked loop shows in reports."""

    settings: Settings
    number: int
    live: Live
    traffic: TrafficCount
    authority: Authority
    data: DataStore
    control: ControlStore
    cache: RedisCache | None
    breaker: Breaker
    pulse: Pulse
    started_at: str
    systems: Systems
    workflow: Workflow
    loop_seen: float
    in_flight: int = 0

    def breaker_state(self) -> str:
        """closed, open or half_open."""
        return self.breaker.state(enabled=self.live.on("breaker"), threshold=self.live.number("breaker_threshold"))

    def report(self) -> dict[str, object]:
        """What this process applies and has done, for the report of all processes (R21, R61)."""
        values = self.live.view.values
        return {
            "pod": self.settings.pod,
            "pod_uid": self.settings.pod_uid,
            "pid": os.getpid(),
            "worker": self.number,
            "workers": self.settings.workers,
            "start_time": self.started_at,
            "version": self.settings.version,
            "code_version": __version__,
            "seen_at": time.time(),
            "control_version": self.live.view.version,
            "control_checked_at": self.live.checked_at,
            "control_reachable": self.live.reachable,
            "flags": {name: vars(values[name]) for name in FLAGS},
            "modes": {name: vars(values[name]) for name in MODES},
            "breaker": {"state": self.breaker_state(), "failures": self.breaker.failures},
            "guarded_calls": {name: vars(entry) for name, entry in list(self.live.guarded.items())},
            "in_flight": self.in_flight,
            "loop_lag_s": round(max(0.0, time.monotonic() - self.loop_seen - _LOOP_BEAT_S), 3),
        }

    async def beat(self) -> None:
        """Note twice a second that the event loop runs; cancelled at the end."""
        while True:
            self.loop_seen = time.monotonic()
            await asyncio.sleep(_LOOP_BEAT_S)


def open_service(settings: Settings, number: int) -> Service:
    """Open the stores and clients of one worker, inside its event loop; nothing that is down keeps it from starting."""
    live, traffic = Live(stuck=settings.faults.stuck_worker == number), TrafficCount()
    data = open_data(settings.storage, timeout_s=2.0)
    control = open_control(settings.storage, timeout_s=2.0)
    cache = None if settings.redis_url is None else RedisCache(settings.redis_url)
    breaker, found = Breaker(settings.breaker_reset_s), probes.systems(settings, cache)
    workflow = Workflow(
        guard=Guard(data, control),
        live=live,
        breaker=breaker,
        model=settings.model,
        prompt_version=settings.prompt_version,
        faults=settings.faults,
        traffic=traffic,
        ai=found.ai,
        rxnorm=found.rxnorm,
        fhir=found.fhir,
        lab=found.lab,
    )
    service: Service

    def report() -> dict[str, object]:
        return service.report()

    def breaker_open() -> bool:
        return service.breaker_state() == "open"

    service = Service(
        settings=settings,
        number=number,
        live=live,
        traffic=traffic,
        authority=Authority(settings.jwt_keys),
        data=data,
        control=control,
        cache=cache,
        breaker=breaker,
        pulse=Pulse(settings, live, traffic, report, pulse.gauges(settings, breaker_open)),
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        systems=found,
        workflow=workflow,
        loop_seen=time.monotonic(),
    )
    metrics.announce(settings.model)
    metrics.BUILD.labels(settings.version, __version__).set(1)
    return service
