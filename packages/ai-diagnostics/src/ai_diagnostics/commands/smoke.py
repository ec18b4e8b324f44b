"""`smoke`: one diagnostic request for a synthetic patient, stored, fetched again, cleaned up (R43, R60).

Without `--url` the workflow runs in this process, with the configured stores and systems: it proves the release and
its dependencies while nothing serves. With `--url` it goes through the running service.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from typing import cast

from ai_diagnostics import auth, probes
from ai_diagnostics.api import shown
from ai_diagnostics.border import SYNTHETIC, NewDiagnostic
from ai_diagnostics.breaker import Breaker
from ai_diagnostics.clients import UpstreamError, http_client
from ai_diagnostics.commands import Report, Subparsers, UsageError, verdict
from ai_diagnostics.documents import Json
from ai_diagnostics.live import Live
from ai_diagnostics.settings import Settings
from ai_diagnostics.store import StoreUnreachable, WriteRefused, open_control, open_data
from ai_diagnostics.store.guard import Guard
from ai_diagnostics.traffic import TrafficCount
from ai_diagnostics.workflow import Workflow, WorkflowFailed

_SCOPES = ["diagnostics:read", "diagnostics:write"]


def register(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser("smoke", parents=[common], help="a synthetic patient through the whole workflow")
    parser.add_argument("--url", help="through this running service instead of in this process")
    parser.add_argument("--patient", default=f"{SYNTHETIC}smoke", help="must begin with " + SYNTHETIC)
    parser.add_argument("--expect", choices=("completed", "not_processed"), help="default: what the flags say")
    parser.set_defaults(run=smoke)


def smoke(args: argparse.Namespace, settings: Settings) -> Report:
    """Run it; every document that it made is removed again, also after a failure."""
    if not args.patient.startswith(SYNTHETIC):
        raise UsageError(f"--patient must begin with {SYNTHETIC!r}")
    if args.url and not settings.jwt_keys:
        raise UsageError("--url needs a key to make a token with: set JWT_SECRET or JWT_KEYS (or …_FILE)")
    return asyncio.run(_smoke(args.patient, args.url, args.expect, settings))


async def _smoke(patient: str, url: str | None, expect: str | None, settings: Settings) -> Report:
    control, data, live = open_control(settings.storage), open_data(settings.storage), Live()
    live.apply(control.read())
    wanted = expect
    if wanted is None:
        on = live.on("ai_diagnostics_enabled") and live.in_rollout(patient)
        wanted = "completed" if on else "not_processed"
    body: dict[str, Json] = {
        "patient_id": patient,
        "symptoms": ["cough", "fever"],
        "labs": [{"code": "6690-2", "value": 13.1, "unit": "10*3/uL"}],
        "medications": ["warfarin", "aspirin"],
        "synthetic": True,
    }
    began = time.perf_counter()
    made: list[str] = []
    try:
        if url:
            answer = await _through(url, body, settings, made)
        else:
            answer = await _here(body, settings, Guard(data, control), live, made)
        problems = _judge(answer, body, wanted)
    except WorkflowFailed as failed:
        made.append(failed.request_id)
        answer, problems = {}, [f"the workflow failed: {failed.reason}"]
    except UpstreamError as error:
        if error.kind == "unreachable":
            raise StoreUnreachable(str(error)) from None
        answer, problems = {}, [str(error)]
    except WriteRefused as error:
        answer, problems = {}, [str(error)]
    removed = sum(data.remove(request_id) for request_id in set(made))
    if any(data.request(request_id) is not None for request_id in made):
        problems = [*problems, "the synthetic documents could not be removed"]
    result = answer.get("result")
    data_out = {
        "status": answer.get("status"),
        "expected": wanted,
        "reason": answer.get("reason"),
        "inputs": result.get("inputs") if isinstance(result, dict) else None,
        "provenance": result.get("provenance") if isinstance(result, dict) else None,
        "latency_ms": round((time.perf_counter() - began) * 1000, 1),
        "removed_documents": removed,
    }
    return Report(verdict(problems), data_out, problems)


async def _here(
    body: dict[str, Json], settings: Settings, guard: Guard, live: Live, made: list[str]
) -> dict[str, object]:
    """The workflow in this process, then read back from the store."""
    found = probes.systems(settings, None)
    workflow = Workflow(
        guard=guard,
        live=live,
        breaker=Breaker(settings.breaker_reset_s),
        model=settings.model,
        prompt_version=settings.prompt_version,
        faults=settings.faults,
        traffic=TrafficCount(),
        ai=found.ai,
        rxnorm=found.rxnorm,
        fhir=found.fhir,
        lab=found.lab,
    )
    made.append(str(uuid.uuid4()))
    try:
        row, _result = await workflow.run(NewDiagnostic.model_validate(body), "smoke test", made[0])
    finally:
        await found.close()
    stored, result = guard.data.request(row.id), guard.data.result_of(row.id)
    return {} if stored is None else shown(stored, result)


async def _through(url: str, body: dict[str, Json], settings: Settings, made: list[str]) -> dict[str, object]:
    """POST and GET through a running service."""
    token = auth.mint(settings.jwt_keys, "smoke test", _SCOPES, 300)
    headers = {"Authorization": f"Bearer {token}"}
    async with http_client(settings.ai_timeout_s + 15, tls=url.startswith("https:")) as http:
        import httpx2

        try:
            answer = await http.post(f"{url.rstrip('/')}/api/diagnostics", json=body, headers=headers)
            if answer.status_code != 201:
                error = answer.json().get("error", {})
                made += [error["id"]] if "id" in error else []
                raise UpstreamError("service", "status", f"{answer.status_code} {error.get('code')}")
            made.append(answer.json()["id"])
            fetched = await http.get(f"{url.rstrip('/')}/api/diagnostics/{made[0]}", headers=headers)
            if fetched.status_code != 200:
                raise UpstreamError("service", "status", str(fetched.status_code))
            return cast("dict[str, object]", fetched.json())
        except httpx2.HTTPError as error:
            raise UpstreamError("service", "unreachable", type(error).__name__) from None
        except (ValueError, KeyError, AttributeError):
            raise UpstreamError("service", "invalid", "the answer has another shape") from None


def _judge(answer: dict[str, object], body: dict[str, Json], wanted: str) -> list[str]:
    """What is wrong with the fetched document."""
    if not answer:
        return ["the request was not found again"]
    found = []
    if answer.get("status") != wanted:
        found.append(f"status {answer.get('status')} ({answer.get('reason')}), expected {wanted}")
    request, result = answer.get("request"), answer.get("result")
    if not isinstance(request, dict) or request.get("symptoms") != body["symptoms"]:
        found.append("the stored request differs from the one that was sent")
    if wanted == "completed" and not (isinstance(result, dict) and result.get("differential")):
        found.append("there is no differential diagnosis")
    return found
