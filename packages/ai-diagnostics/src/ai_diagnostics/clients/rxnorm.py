"""Drug names normalised with RxNorm's REST interface, kept for a day in Redis where there is one (R62a)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from ai_diagnostics.cache import CacheError, RedisCache
from ai_diagnostics.clients import UpstreamError, get_json
from ai_diagnostics.logs import log

if TYPE_CHECKING:
    import httpx2

SYSTEM = "rxnorm"


@dataclass(frozen=True)
class Drug:
    """A drug as it was given, and its RxNorm concept: `rxcui` and `name` are None when there is none."""

    given: str
    rxcui: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class RxNorm:
    """A client of one RxNorm server (`…/REST`)."""

    http: httpx2.AsyncClient
    url: str
    cache: RedisCache | None
    timeout_s: float = 3.0

    async def normalise(self, given: str) -> Drug:
        """Look a name up: best match (`search=2`), then the concept's own name. Raises UpstreamError."""
        cached = await self._cached(given)
        if cached is not None:
            return cached
        url = f"{self.url}/rxcui.json?name={quote(given, safe='')}&search=2"
        answer = await get_json(self.http, SYSTEM, url, timeout_s=self.timeout_s)
        group = answer.get("idGroup") if isinstance(answer, dict) else None
        if not isinstance(group, dict):
            raise UpstreamError(SYSTEM, "invalid", "no idGroup")
        ids = group.get("rxnormId")
        drug = Drug(given)
        if isinstance(ids, list) and ids:
            rxcui = str(ids[0])
            found = await get_json(
                self.http, SYSTEM, f"{self.url}/rxcui/{rxcui}/properties.json", timeout_s=self.timeout_s
            )
            properties = found.get("properties") if isinstance(found, dict) else None
            name = properties.get("name") if isinstance(properties, dict) else None
            drug = Drug(given, rxcui, name if isinstance(name, str) else None)
        await self._keep(drug)
        return drug

    async def probe(self, timeout_s: float) -> None:
        """Ask for the version of the data. Raises UpstreamError."""
        answer = await get_json(self.http, SYSTEM, f"{self.url}/version.json", timeout_s=timeout_s)
        if not isinstance(answer, dict) or "version" not in answer:
            raise UpstreamError(SYSTEM, "invalid", "no version")

    async def _cached(self, given: str) -> Drug | None:
        if self.cache is None:
            return None
        try:
            text = await asyncio.to_thread(self.cache.get, _key(given))
        except CacheError as error:
            log("cache_failed", problem=str(error))
            return None
        return None if text is None else Drug(**{**json.loads(text), "given": given})

    async def _keep(self, drug: Drug) -> None:
        if self.cache is None:
            return
        try:
            await asyncio.to_thread(self.cache.put, _key(drug.given), json.dumps(asdict(drug)))
        except CacheError as error:
            log("cache_failed", problem=str(error))


def _key(given: str) -> str:
    return f"rxcui:{given.casefold()}"
