"""The service's own work: from symptoms to a stored, validated differential diagnosis (R62a).

store the request → flags → drugs (RxNorm) + record (FHIR) + labs, at once → model → guardrails → store the result.
A source that is off or down makes the result poorer and is named in `inputs`; a model that fails, or whose answer is
refused, fails the request: no answer is better than a wrong one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeVar, cast

from ai_diagnostics import metrics
from ai_diagnostics.border import NewDiagnostic
from ai_diagnostics.breaker import Breaker, BreakerOpen
from ai_diagnostics.clients import NotFound, UpstreamError
from ai_diagnostics.clients.fhir import ClinicalRecord, Fhir
from ai_diagnostics.clients.lab import Lab, LabValue
from ai_diagnostics.clients.openrouter import Completion, OpenRouter
from ai_diagnostics.clients.rxnorm import Drug, RxNorm
from ai_diagnostics.control import now
from ai_diagnostics.documents import Body, Json, RequestRow, ResultRow, Status, digest
from ai_diagnostics.faults import Faults, Share
from ai_diagnostics.live import Live
from ai_diagnostics.logs import log
from ai_diagnostics.prompt import GUARDRAIL_VERSION, PROMPTS, GuardrailError, accept, answer_schema
from ai_diagnostics.store.guard import Guard
from ai_diagnostics.traffic import TrafficCount

Source = Literal["used", "disabled", "unavailable"]
T = TypeVar("T")


class WorkflowFailed(Exception):
    """The request is stored as failed.

    Attributes:
        reason: a code: `ai_unavailable`, `ai_refused`, `breaker_open` (the model was not asked), `unknown_patient`.
        retry_after_s: when asking again makes sense, or None.
    """

    def __init__(self, request_id: str, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.request_id, self.reason, self.retry_after_s = request_id, reason, retry_after_s


@dataclass(frozen=True)
class Case:
    """Everything the model is told, and which sources it came from."""

    drugs: tuple[Drug, ...]
    record: ClinicalRecord | None
    labs: tuple[LabValue, ...]
    inputs: dict[str, Source]

    @property
    def drug_names(self) -> list[str]:
        """The drugs by their normalised names, those of the record too."""
        own = [drug.name or drug.given for drug in self.drugs]
        return list(dict.fromkeys([*own, *(self.record.medications if self.record else ())]))

    def question(self, symptoms: list[str]) -> Json:
        """The case as the model sees it: no patient id, no name, no dates."""
        record = self.record
        return {
            "age_years": record.age_years if record else None,
            "sex": record.sex if record else "unknown",
            "symptoms": list[Json](symptoms),
            "drugs": list[Json](self.drug_names),
            "labs": [{"code": lab.code, "value": lab.value, "unit": lab.unit} for lab in self.labs],
            "observations": list[Json](record.observations) if record else [],
        }


@dataclass
class Workflow:
    """Runs requests in one process; the clients are None where a system is not configured."""

    guard: Guard
    live: Live
    breaker: Breaker
    model: str
    prompt_version: str
    faults: Faults
    traffic: TrafficCount
    ai: OpenRouter | None
    rxnorm: RxNorm | None
    fhir: Fhir | None
    lab: Lab | None
    _ai_fault: Share = field(init=False)

    def __post_init__(self) -> None:
        """Set the fault's share up."""
        self._ai_fault = Share(self.faults.ai_rate)

    async def run(
        self, new: NewDiagnostic, by: str, request_id: str | None = None
    ) -> tuple[RequestRow, ResultRow | None]:
        """Work one request off, under a new id or a given one.

        Returns:
            the stored request, and its result; without a result when a flag says that the model is not asked.

        Raises:
            WorkflowFailed: stored as failed.
            WriteRefused, StoreError: not stored, or not finished.
        """
        row = _request(new, by, request_id or str(uuid.uuid4()))
        await asyncio.to_thread(self.guard.add_request, row)
        if self.faults.lies:
            raise await self._failed(row, "release_fault")
        skipped = self._skipped(new.patient_id)
        if skipped is not None:
            return await self._finish(row, "not_processed", skipped, None), None
        try:
            case = await self._gather(new)
        except NotFound:
            raise await self._failed(row, "unknown_patient") from None
        try:
            completion, answer = await self._ask(new, case)
        except UpstreamError:
            raise await self._failed(row, "ai_unavailable") from None
        except GuardrailError as refused:
            log("answer_refused", reason=refused.reason)
            raise await self._failed(row, "ai_refused") from None
        except BreakerOpen as closed:
            raise await self._failed(row, "breaker_open", closed.retry_after_s) from None
        except BaseException:
            await self._finish(row, "failed", "interrupted", None)
            raise
        result = self._result(row, case, completion, answer)
        return await self._finish(row, "completed", None, result), result

    def _skipped(self, patient_id: str) -> str | None:
        """Why the model is not asked, or None."""
        if not self.live.on("ai_diagnostics_enabled"):
            return "ai_diagnostics_enabled is off"
        if not self.live.in_rollout(patient_id):
            return "outside ai_diagnostics_rollout"
        return None if self.ai is not None else "no model is configured"

    async def _gather(self, new: NewDiagnostic) -> Case:
        """Ask all sources at once. Raises NotFound when the record's server does not know the patient."""
        inputs: dict[str, Source] = {}

        async def source(name: str, flag: str | None, call: Callable[[], Awaitable[T]] | None, none: T) -> T:
            if call is None or (flag is not None and not self.live.on(flag)):
                inputs[name] = "disabled"
                return none
            if flag is not None:
                self._guarded(flag)
            try:
                found = await call()
            except NotFound:
                raise
            except UpstreamError as error:
                log("source_failed", system=error.system, kind=error.kind)
                inputs[name] = "unavailable"
                return none
            inputs[name] = "used"
            return found

        rxnorm, fhir, lab = self.rxnorm, self.fhir, self.lab
        names, patient = tuple(new.medications), new.patient_id

        async def drugs() -> tuple[Drug, ...]:
            assert rxnorm is not None  # noqa: S101  # only called when it is there; narrows the type
            return tuple(await asyncio.gather(*(rxnorm.normalise(name) for name in names)))

        as_given, no_record, no_labs = tuple(map(Drug, names)), None, tuple[LabValue, ...]()
        found_drugs, record, labs = await asyncio.gather(
            source("rxnorm", None, drugs if rxnorm else None, as_given),
            source("fhir", "fhir_integration_enabled", partial(fhir.record, patient) if fhir else None, no_record),
            source("lab", "lab_integration_enabled", partial(lab.results, patient) if lab else None, no_labs),
        )
        own = tuple(LabValue(item.code, item.value, item.unit) for item in new.labs)
        return Case(found_drugs, record, own + labs, inputs)

    async def _ask(self, new: NewDiagnostic, case: Case) -> tuple[Completion, Body]:
        """One guarded call of the model. Raises UpstreamError, GuardrailError, BreakerOpen."""
        assert self.ai is not None  # noqa: S101  # `_skipped` has looked
        try:
            self.breaker.enter(enabled=self.live.on("breaker"), threshold=self.live.number("breaker_threshold"))
        except BreakerOpen:
            # For whoever needed the model this is a failure too: uncounted, an outage would end when the breaker opens
            metrics.AI_REQUESTS.labels(self.model).inc()
            metrics.AI_FAILURES.labels("breaker_open").inc()
            raise
        self._guarded("ai_diagnostics_enabled")
        metrics.AI_REQUESTS.labels(self.model).inc()
        try:
            if self._ai_fault.hit():
                raise UpstreamError("openrouter", "unreachable", "release fault")
            completion = await self.ai.complete(
                self.model, PROMPTS[self.prompt_version], case.question(new.symptoms), answer_schema()
            )
            answer = accept(completion.text, set(case.drug_names))
        except (UpstreamError, GuardrailError) as error:
            reason = error.kind if isinstance(error, UpstreamError) else f"guardrail_{error.reason}"
            metrics.AI_FAILURES.labels(reason).inc()
            self.traffic.ai(failed=True)
            self.breaker.failure()
            log("ai_failed", reason=reason)
            raise
        except BaseException:
            self.breaker.cancelled()
            raise
        self.traffic.ai(failed=False)
        self.breaker.success()
        return completion, answer

    def _guarded(self, flag: str) -> None:
        self.live.count(flag)
        metrics.GUARDED.labels(flag).inc()

    def _result(self, row: RequestRow, case: Case, completion: Completion, answer: Body) -> ResultRow:
        body: Body = {**answer, "inputs": cast("Json", case.inputs)}
        body["drugs"] = [{"given": drug.given, "rxcui": drug.rxcui, "name": drug.name} for drug in case.drugs]
        provenance: Body = {
            "model_asked": self.model,
            "model_answered": completion.model,
            "prompt_version": self.prompt_version,
            "guardrail_version": GUARDRAIL_VERSION,
        }
        return ResultRow(str(uuid.uuid4()), row.id, now(), body, digest(body), provenance)

    async def _failed(self, row: RequestRow, reason: str, retry_after_s: float | None = None) -> WorkflowFailed:
        await self._finish(row, "failed", reason, None)
        return WorkflowFailed(row.id, reason, retry_after_s)

    async def _finish(
        self, row: RequestRow, status: Status, reason: str | None, result: ResultRow | None
    ) -> RequestRow:
        await asyncio.to_thread(self.guard.finish, row.id, status, reason, result)
        return replace(row, status=status, reason=reason)


def _request(new: NewDiagnostic, by: str, request_id: str) -> RequestRow:
    body: Body = {
        "patient_id": new.patient_id,
        "symptoms": list[Json](new.symptoms),
        "labs": [lab.model_dump(mode="json") for lab in new.labs],
        "medications": list[Json](new.medications),
        "requested_by": by,
    }
    return RequestRow(request_id, now(), new.synthetic, "received", None, body, digest(body))
