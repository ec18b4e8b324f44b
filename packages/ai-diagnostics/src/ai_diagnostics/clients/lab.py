"""Laboratory results from the hospital's laboratory system (a small REST interface, X-API-Key)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ai_diagnostics.clients import UpstreamError, get_json
from ai_diagnostics.settings import Upstream

if TYPE_CHECKING:
    import httpx2

SYSTEM = "lab"


@dataclass(frozen=True)
class LabValue:
    """One result: LOINC code, value, unit."""

    code: str
    value: float
    unit: str


@dataclass(frozen=True)
class Lab:
    """A client of one laboratory system."""

    http: httpx2.AsyncClient
    upstream: Upstream
    timeout_s: float = 3.0

    async def results(self, patient_id: str) -> tuple[LabValue, ...]:
        """The latest results of a patient; none is an empty tuple. Raises UpstreamError."""
        url = f"{self.upstream.url}/results?patient={patient_id}"
        answer = await get_json(self.http, SYSTEM, url, headers=self._headers(), timeout_s=self.timeout_s)
        items = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise UpstreamError(SYSTEM, "invalid", "no results")
        found = []
        for item in items:
            match item:
                case {"code": str(code), "value": int() | float() as value, "unit": str(unit)}:
                    found.append(LabValue(code, float(value), unit))
                case _:
                    raise UpstreamError(SYSTEM, "invalid", "a result without code, value or unit")
        return tuple(found)

    async def probe(self, timeout_s: float) -> None:
        """Ask for the system's status. Raises UpstreamError."""
        await get_json(self.http, SYSTEM, f"{self.upstream.url}/status", headers=self._headers(), timeout_s=timeout_s)

    def _headers(self) -> dict[str, str]:
        key = self.upstream.key
        return {} if key is None else {"X-API-Key": key.reveal()}
