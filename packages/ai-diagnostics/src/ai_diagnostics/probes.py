"""One probe per dependency, each with its own limit, all at once (R26, R41, R59). Used by the health endpoints and,
with the service down, by the operator commands."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from ai_diagnostics.cache import CacheError, RedisCache
from ai_diagnostics.clients import UpstreamError, http_client
from ai_diagnostics.clients.fhir import Fhir
from ai_diagnostics.clients.lab import Lab
from ai_diagnostics.clients.openrouter import OpenRouter
from ai_diagnostics.clients.rxnorm import RxNorm
from ai_diagnostics.schema import LATEST, OLDEST_SUPPORTED, supported
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import DataStore, StoreError, StoreUnreachable

Status = Literal["ok", "read_only", "disabled", "failed"]
LIMIT_S = 4.0  # of one probe; an endpoint answers within 5 s (R59)


@dataclass(frozen=True)
class Check:
    """The result of one probe; `detail` is a short text without secrets or patient data."""

    status: Status
    latency_ms: float = 0.0
    detail: str = ""
    unreachable: bool = False

    def as_json(self) -> dict[str, object]:
        """As the endpoints give it."""
        return {key: value for key, value in asdict(self).items() if value not in ("", False) or key == "status"}


Probe = Callable[[], Awaitable[Check]]


def overall(checks: Mapping[str, Check]) -> Status:
    """Failed when one failed; read_only when one says so; else ok. What is disabled does not count."""
    seen = {check.status for check in checks.values()}
    return "failed" if "failed" in seen else "read_only" if "read_only" in seen else "ok"


async def run(probes: Mapping[str, Probe]) -> dict[str, Check]:
    """Run all probes at once, each bounded by `LIMIT_S`; a hanging one delays no other."""

    async def one(probe: Probe) -> Check:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(LIMIT_S):
                check = await probe()
        except TimeoutError:
            check = Check("failed", detail=f"no answer within {LIMIT_S:g} s", unreachable=True)
        except StoreUnreachable as error:
            check = Check("failed", detail=str(error), unreachable=True)
        except (StoreError, CacheError) as error:
            check = Check("failed", detail=str(error))
        except UpstreamError as error:
            check = Check("failed", detail=f"{error.kind}: {error.detail}", unreachable=error.kind == "unreachable")
        took_ms = 0.0 if check.status == "disabled" else round((time.perf_counter() - began) * 1000, 3)
        return Check(check.status, took_ms, check.detail, check.unreachable)

    results = await asyncio.gather(*(one(probe) for probe in probes.values()))
    return dict(zip(probes, results, strict=True))


def database(store: DataStore, read_only: Callable[[], bool], key: str) -> dict[str, Probe]:
    """Ping, write probe, schema version; in read-only mode no write is tried and the mode is reported.

    Args:
        read_only: looks the mode up; called in a thread, may raise StoreError.
        key: names the write probe, so that several processes do not disturb each other.
    """

    async def ping() -> Check:
        await asyncio.to_thread(store.ping)
        return Check("ok", detail=store.kind)

    async def write() -> Check:
        if await asyncio.to_thread(read_only):
            return Check("read_only", detail="read-only mode is on; no write was tried")
        await asyncio.to_thread(store.write_probe, key)
        return Check("ok")

    async def schema() -> Check:
        version = await asyncio.to_thread(store.schema_version)
        detail = f"version {version}; this release works on {OLDEST_SUPPORTED} to {LATEST}"
        return Check("ok" if supported(version) else "failed", detail=detail)

    return {"ping": ping, "write": write, "schema": schema}


def redis(cache: RedisCache | None) -> dict[str, Probe]:
    """PING and set/get."""

    async def probe() -> Check:
        if cache is None:
            return Check("disabled", detail="REDIS_URL is not set")
        await asyncio.to_thread(cache.probe)
        return Check("ok")

    return {"redis": probe}


@dataclass(frozen=True)
class Systems:
    """The clients of one event loop; None where a system is not configured."""

    ai: OpenRouter | None
    rxnorm: RxNorm | None
    fhir: Fhir | None
    lab: Lab | None
    close: Callable[[], Awaitable[None]]


def systems(settings: Settings, cache: RedisCache | None) -> Systems:
    """Make the clients; call it inside the event loop that uses them. Without any URL no HTTP client is loaded."""

    async def nothing() -> None:
        return

    configured = (settings.openrouter, settings.rxnorm, settings.fhir, settings.lab)
    urls = [item.url for item in configured if item.url]
    if not urls:
        return Systems(None, None, None, None, nothing)
    http = http_client(settings.ai_timeout_s, tls=any(url.startswith("https:") for url in urls))
    return Systems(
        ai=OpenRouter(http, settings.openrouter, settings.ai_timeout_s) if settings.openrouter.url else None,
        rxnorm=RxNorm(http, settings.rxnorm.url, cache) if settings.rxnorm.url else None,
        fhir=Fhir(http, settings.fhir) if settings.fhir.url else None,
        lab=Lab(http, settings.lab) if settings.lab.url else None,
        close=http.aclose,
    )


def external(found: Systems, flag: Callable[[str], bool]) -> dict[str, Probe]:
    """OpenRouter, RxNorm, FHIR, lab, each apart; one that a flag switches off is `disabled` (R26, R59).

    Args:
        flag: whether a feature flag is on.
    """

    def probe(system: OpenRouter | RxNorm | Fhir | Lab | None, name: str | None) -> Probe:
        async def call() -> Check:
            if name is not None and not flag(name):
                return Check("disabled", detail=f"{name} is off")
            if system is None:
                return Check("disabled", detail="not configured")
            await system.probe(LIMIT_S - 0.5)
            return Check("ok")

        return call

    return {
        "openrouter": probe(found.ai, "ai_diagnostics_enabled"),
        "rxnorm": probe(found.rxnorm, None),
        "fhir": probe(found.fhir, "fhir_integration_enabled"),
        "lab": probe(found.lab, "lab_integration_enabled"),
    }


def probe_key(pod: str) -> str:
    """The name of this process's write probe."""
    return f"probe/{pod}/{os.getpid()}"
