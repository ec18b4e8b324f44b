"""The model, through OpenRouter's chat completions (R62a). Only what the model needs leaves: no name, no patient id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ai_diagnostics.clients import UpstreamError, get_json, send_json
from ai_diagnostics.settings import Upstream

if TYPE_CHECKING:
    import httpx2

    from ai_diagnostics.documents import Json

SYSTEM = "openrouter"


@dataclass(frozen=True)
class Completion:
    """What came back: the text, and the model that *answered*, which is not always the one that was asked (B15)."""

    model: str
    text: str


@dataclass(frozen=True)
class OpenRouter:
    """A client of one account."""

    http: httpx2.AsyncClient
    upstream: Upstream
    timeout_s: float

    async def complete(self, model: str, prompt: str, case: Json, schema: dict[str, Json]) -> Completion:
        """Ask one question and get a text that should keep the JSON schema; the caller validates it.

        Raises:
            UpstreamError: no answer, an error, or an answer without a choice that ended by itself.
        """
        body: Json = {
            "model": model,
            "messages": [
                {"role": "system", "content": prompt},
                {"role": "user", "content": json.dumps(case, sort_keys=True)},
            ],
            "temperature": 0,
            "max_tokens": 2000,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "differential", "strict": True, "schema": schema},
            },
        }
        url = f"{self.upstream.url}/chat/completions"
        # Any: whatever is not of this form raises below, and is told as an invalid answer
        answer: Any = await send_json(
            self.http, SYSTEM, "POST", url, body=body, headers=self._headers(), timeout_s=self.timeout_s
        )
        if isinstance(answer, dict) and "error" in answer:  # OpenRouter reports some failures with status 200
            raise UpstreamError(SYSTEM, "status", "an error inside a 200")
        try:
            choice = answer["choices"][0]
            text, ended, model_used = choice["message"]["content"], choice["finish_reason"], answer["model"]
        except (KeyError, IndexError, TypeError):
            raise UpstreamError(SYSTEM, "invalid", "no choices[0].message.content") from None
        if ended != "stop" or not isinstance(text, str) or not isinstance(model_used, str):
            raise UpstreamError(SYSTEM, "invalid", "the answer did not end by itself")
        return Completion(model_used, text)

    async def probe(self, timeout_s: float) -> None:
        """Ask for the key's own state: proves the way, the service and the credential (D35). Raises UpstreamError."""
        await get_json(self.http, SYSTEM, f"{self.upstream.url}/key", headers=self._headers(), timeout_s=timeout_s)

    def _headers(self) -> dict[str, str]:
        key = self.upstream.key
        return {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
