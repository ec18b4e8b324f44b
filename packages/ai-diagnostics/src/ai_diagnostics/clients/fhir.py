"""A patient's record from a FHIR R4 server: age, sex, current medications, observations (R62a). Reads only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from ai_diagnostics.clients import UpstreamError, get_json
from ai_diagnostics.settings import Upstream

if TYPE_CHECKING:
    import httpx2

    from ai_diagnostics.documents import Json

SYSTEM = "fhir"


@dataclass(frozen=True)
class ClinicalRecord:
    """What the model may know of a patient; `age_years` is None where no birth date is known."""

    age_years: int | None
    sex: str
    medications: tuple[str, ...]
    observations: tuple[str, ...]


@dataclass(frozen=True)
class Fhir:
    """A client of one FHIR server."""

    http: httpx2.AsyncClient
    upstream: Upstream
    timeout_s: float = 4.0

    async def record(self, patient_id: str) -> ClinicalRecord:
        """Read a patient, with medications and observations at once.

        Raises:
            NotFound: the server has no such patient. UpstreamError: anything else.
        """
        patient, medications, observations = await asyncio.gather(
            self._get(f"Patient/{patient_id}"),
            self._get(f"MedicationRequest?patient={patient_id}&status=active"),
            self._get(f"Observation?patient={patient_id}"),
        )
        if not isinstance(patient, dict) or patient.get("resourceType") != "Patient":
            raise UpstreamError(SYSTEM, "invalid", "no Patient resource")
        return ClinicalRecord(
            age_years=_age(patient.get("birthDate")),
            sex=str(patient.get("gender", "unknown")),
            medications=tuple(_text(item, "medicationCodeableConcept") for item in _entries(medications)),
            observations=tuple(_observation(item) for item in _entries(observations)),
        )

    async def probe(self, timeout_s: float) -> None:
        """Ask for the CapabilityStatement. Raises UpstreamError."""
        url = f"{self.upstream.url}/metadata"
        answer = await get_json(self.http, SYSTEM, url, headers=self._headers(), timeout_s=timeout_s)
        if not isinstance(answer, dict) or answer.get("resourceType") != "CapabilityStatement":
            raise UpstreamError(SYSTEM, "invalid", "no CapabilityStatement")

    async def _get(self, path: str) -> Json:
        url = f"{self.upstream.url}/{path}"
        return await get_json(self.http, SYSTEM, url, headers=self._headers(), timeout_s=self.timeout_s)

    def _headers(self) -> dict[str, str]:
        key = self.upstream.key
        headers = {"Accept": "application/fhir+json"}
        return headers if key is None else {**headers, "Authorization": f"Bearer {key.reveal()}"}


def _entries(bundle: Json) -> list[dict[str, Json]]:
    """The resources of a search Bundle; raises UpstreamError when it is none."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise UpstreamError(SYSTEM, "invalid", "no Bundle")
    entries = bundle.get("entry")
    resources = (
        [entry.get("resource") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    return [resource for resource in resources if isinstance(resource, dict)]


def _text(resource: dict[str, Json], field: str) -> str:
    concept = resource.get(field)
    text = concept.get("text") if isinstance(concept, dict) else None
    if not isinstance(text, str):
        raise UpstreamError(SYSTEM, "invalid", f"no {field}.text")
    return text


def _observation(resource: dict[str, Json]) -> str:
    quantity = resource.get("valueQuantity")
    value = f"{quantity.get('value')} {quantity.get('unit')}" if isinstance(quantity, dict) else "no value"
    return f"{_text(resource, 'code')}: {value}"


def _age(born: Json) -> int | None:
    if not isinstance(born, str):
        return None
    try:
        day = date.fromisoformat(born)
    except ValueError:  # FHIR allows YYYY and YYYY-MM; an age from those would be a guess
        return None
    today = datetime.now(UTC).date()
    return today.year - day.year - ((today.month, today.day) < (day.month, day.day))
