"""The AI part of a release: prompts by version, the answer's schema, the guardrails (B15). No I/O here.

A revision of the service is code *and* model id, prompt version and guardrail version; all three are stored with
every result, and each can be rolled back alone: `OPENROUTER_MODEL`, `PROMPT_VERSION`.
"""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ai_diagnostics.documents import Body, Json

GUARDRAIL_VERSION = "g1"
PROMPTS = {
    "p1": (
        "You support a clinician. From the case in JSON, list the likely diagnoses with ICD-10 codes and "
        "probabilities that sum to at most 1, and warn of drug interactions among `drugs`. Answer in the given schema."
    ),
    "p2": (
        "You support a clinician; you do not decide. From the case in JSON, list the likely diagnoses, the dangerous "
        "ones that must be excluded first, each with its ICD-10 code and probability (sum at most 1). Warn of "
        "interactions only among `drugs`. Where the data is insufficient, say so in `summary`. Answer in the schema."
    ),
}


class GuardrailError(Exception):
    """The model's answer may not be used; `reason` is a code: schema, probability or drug."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the model's answer was refused: {reason}")
        self.reason = reason


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Candidate(_Strict):
    """One diagnosis that may explain the case."""

    condition: Annotated[str, Field(min_length=1, max_length=200)]
    icd10: Annotated[str, Field(pattern=r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$")]
    probability: Annotated[float, Field(ge=0, le=1)]


class Interaction(_Strict):
    """An interaction among the patient's drugs."""

    drugs: Annotated[list[str], Field(min_length=1, max_length=10)]
    text: Annotated[str, Field(min_length=1, max_length=500)]


class Differential(_Strict):
    """The answer that is asked of the model."""

    differential: Annotated[list[Candidate], Field(min_length=1, max_length=20)]
    warnings: Annotated[list[Interaction], Field(max_length=50)]
    summary: Annotated[str, Field(max_length=2000)]


def answer_schema() -> dict[str, Json]:
    """The JSON schema that goes with the question."""
    return cast("dict[str, Json]", Differential.model_json_schema())


def accept(text: str, drugs: set[str]) -> Body:
    """Check an answer against the schema and the guardrails, and return it as a body to store.

    Args:
        drugs: the names of the patient's drugs; a warning about any other drug is an invention.

    Raises:
        GuardrailError: the answer must not reach a clinician. The message does not quote it.
    """
    try:
        answer = Differential.model_validate_json(text)
    except ValidationError:
        raise GuardrailError("schema") from None
    if sum(item.probability for item in answer.differential) > 1.001:
        raise GuardrailError("probability")
    known = {drug.casefold() for drug in drugs}
    if any(drug.casefold() not in known for warning in answer.warnings for drug in warning.drugs):
        raise GuardrailError("drug")
    return answer.model_dump(mode="json")
