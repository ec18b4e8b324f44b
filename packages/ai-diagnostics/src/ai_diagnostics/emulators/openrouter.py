"""OpenRouter as its clients see it: chat completions, models, key; errors as {"error": {"code", "message"}}."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_diagnostics.emulators.switch import Board

MODELS = ("openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude-sonnet-4", "meta-llama/llama-3.3-70b-instruct")
_RULES = (
    ({"cough", "fever"}, "Pneumonia, unspecified organism", "J18.9", 0.55),
    ({"fever"}, "Influenza with other respiratory manifestations", "J10.1", 0.2),
    ({"chest pain"}, "Acute myocardial infarction, unspecified", "I21.9", 0.6),
    ({"headache"}, "Migraine, unspecified", "G43.9", 0.4),
)
_INTERACTIONS = (({"warfarin", "aspirin"}, "Higher risk of bleeding"),)


def routes(board: Board) -> list[Route]:
    """The routes below /api/v1."""
    server = _OpenRouter(board)
    guarded = board.guarded
    return [
        Route("/chat/completions", guarded("openrouter", server.complete), methods=["POST"]),
        Route("/models", guarded("openrouter", server.models)),
        Route("/key", guarded("openrouter", server.key)),
    ]


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "code": status}}, status)


class _OpenRouter:
    def __init__(self, board: Board) -> None:
        self.board = board

    def _refused(self, request: Request) -> Response | None:
        """401 without a key, and with one that is not ours or was revoked."""
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not key:
            return _error(401, "No auth credentials found")
        if not key.startswith("sk-or-") or key in self.board.switches["openrouter"].revoked:
            return _error(401, "User not found.")
        return None

    async def key(self, request: Request) -> Response:
        """GET /key: the state of the key that asks."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        amounts = ("usage", "byok_usage")
        data: dict[str, object] = {
            "label": "sk-or-v1-emu...lat",
            "limit": None,
            "limit_remaining": None,
            "limit_reset": None,
            "include_byok_in_limit": False,
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "creator_user_id": None,
            "organization_id": None,
            "workspace_id": None,
            "allowed_data_regions": [],
            "budgets": [],
            "effective_budget": None,
            "free_model_daily_requests": {"limit": 50, "remaining": 50, "used": 0},
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
            **{f"{amount}{span}": 0.0 for amount in amounts for span in ("", "_daily", "_weekly", "_monthly")},
        }
        return JSONResponse({"data": data})

    async def models(self, _request: Request) -> Response:
        """GET /models: public, as the original's."""
        found = [_model(name) for name in MODELS]
        return JSONResponse({"data": found, "links": {"next": None}, "total_count": len(found)})

    async def complete(self, request: Request) -> Response:
        """POST /chat/completions: a deterministic answer to the service's own question, else a short text."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            body = await request.json()
        except ValueError:
            return _error(400, "Invalid JSON body")
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
            return _error(400, 'Input required: specify "prompt" or "messages"')
        model = body.get("model")
        if model not in MODELS:
            return _error(400, f"{model} is not a valid model ID")
        if body.get("stream"):
            return _error(400, "The emulator does not stream")
        if self.board.applies("openrouter", "error_in_200"):
            return JSONResponse({"error": {"message": "Provider returned error", "code": 502}})
        text = self._text(body)
        return JSONResponse(
            {
                "id": f"gen-{int(time.time())}-{uuid.uuid4().hex[:20]}",
                "provider": "Emulator",
                "model": self.board.switches["openrouter"].answers_as or model,
                "object": "chat.completion",
                "created": int(time.time()),
                "choices": [
                    {
                        "logprobs": None,
                        "finish_reason": "stop",
                        "native_finish_reason": "stop",
                        "index": 0,
                        "message": {"role": "assistant", "content": text, "refusal": None, "reasoning": None},
                    }
                ],
                "system_fingerprint": None,
                "usage": {
                    "prompt_tokens": len(json.dumps(body["messages"])) // 4,
                    "completion_tokens": len(text) // 4,
                    "total_tokens": (len(json.dumps(body["messages"])) + len(text)) // 4,
                },
            }
        )

    def _text(self, body: dict[str, Any]) -> str:
        wanted = body.get("response_format")
        schema = wanted.get("json_schema") if isinstance(wanted, dict) else None
        if not isinstance(schema, dict) or schema.get("name") != "differential":
            return "The emulator has nothing to say to this."
        if self.board.applies("openrouter", "wrong"):
            wrong = [{"condition": "Scurvy", "icd10": "E54", "probability": 0.9}] * 2
            return json.dumps({"differential": wrong, "warnings": [], "summary": ""})
        try:
            case = json.loads(body["messages"][-1]["content"])
        except (ValueError, KeyError, TypeError):
            case = {}
        return json.dumps(differential(case))


def differential(case: dict[str, Any]) -> dict[str, object]:
    """A diagnosis by fixed rules: the same case always gets the same answer."""
    symptoms = {str(item).casefold() for item in case.get("symptoms", [])}
    drugs = {str(item).casefold(): str(item) for item in case.get("drugs", [])}
    found = [
        {"condition": name, "icd10": code, "probability": probability}
        for signs, name, code, probability in _RULES
        if signs <= symptoms
    ]
    warnings = [
        {"drugs": [drugs[name] for name in sorted(pair)], "text": text}
        for pair, text in _INTERACTIONS
        if pair <= drugs.keys()
    ]
    unknown = [{"condition": "Illness, unspecified", "icd10": "R69", "probability": 0.1}]
    return {"differential": found or unknown, "warnings": warnings, "summary": "By the emulator's fixed rules."}


def _model(name: str) -> dict[str, object]:
    return {
        "id": name,
        "canonical_slug": name,
        "hugging_face_id": None,
        "name": name,
        "created": 1721260800,
        "description": "emulated",
        "context_length": 128000,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "GPT",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0.00000015", "completion": "0.0000006", "request": "0", "image": "0"},
        "top_provider": {"context_length": 128000, "max_completion_tokens": 16384, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": ["max_tokens", "temperature", "response_format", "structured_outputs"],
        "supported_voices": None,
        "default_parameters": None,
        "links": {"details": f"/api/v1/models/{name}/endpoints"},
    }
