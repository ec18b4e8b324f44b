"""What a client may send: strict, with errors that name the place and never quote the value (it may be PHI)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SYNTHETIC = "synthetic-"

PatientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-]{1,64}$")]  # FHIR's own rule for an id
Phrase = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class LabIn(_Strict):
    """A laboratory value as a clinician gives it."""

    code: Annotated[str, Field(pattern=r"^[0-9]{1,7}-[0-9]$")]  # LOINC
    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,20}$")]


class NewDiagnostic(_Strict):
    """The body of POST /api/diagnostics. A synthetic one can be removed again; its patient id says so."""

    patient_id: PatientId
    symptoms: Annotated[list[Phrase], Field(min_length=1, max_length=50)]
    labs: Annotated[list[LabIn], Field(max_length=100)] = []
    medications: Annotated[list[Phrase], Field(max_length=50)] = []
    synthetic: bool = False

    @model_validator(mode="after")
    def _synthetic_by_name(self) -> Self:
        if self.synthetic != self.patient_id.startswith(SYNTHETIC):
            raise ValueError(f"synthetic must be true exactly when patient_id begins with {SYNTHETIC!r}")
        return self


class NewValue(_Strict):
    """The body of PUT /api/operator/control/{name}; the value has no default (D26)."""

    value: bool | int
    reason: Annotated[str, Field(min_length=1, max_length=500)]


def places(error: ValidationError) -> list[dict[str, str]]:
    """The errors as path and problem, without the input."""
    return [
        {"path": ".".join(map(str, item["loc"])) or "body", "problem": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
