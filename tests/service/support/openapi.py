"""Answers against contract/openapi.yaml: route, status, headers, body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

PATH = Path(__file__).parents[3] / "contract" / "openapi.yaml"


class Contract:
    """The document, read once."""

    def __init__(self) -> None:
        self._document = YAML(typ="safe", pure=True).load(PATH.read_text(encoding="utf-8"))

    def _resolved(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self._document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _validate(self, schema: Any, value: Any) -> None:
        Draft202012Validator({**schema, "components": self._document["components"]}).validate(value)

    def check(self, answer: httpx2.Response, route: str) -> Any:
        """The body, when the answer is one that the contract allows for this route."""
        responses = self._document["paths"][route][answer.request.method.lower()]["responses"]
        assert str(answer.status_code) in responses, f"{route} may not answer {answer.status_code}: {answer.text}"
        response = self._resolved(responses[str(answer.status_code)])
        for name, header in response.get("headers", {}).items():
            assert name in answer.headers, f"{route} {answer.status_code} has no {name}"
            self._validate(self._resolved(header)["schema"], answer.headers[name])
        ((kind, content),) = response["content"].items()
        assert answer.headers["content-type"].startswith(kind)
        body = answer.json() if kind == "application/json" else answer.text
        self._validate(content["schema"], body)
        return body
