"""JSON Schema of the profile for editors, and the reference table of docs/profile.md: both come from the model.

`python -m codeblue.profile.schema` prints the schema, with `--reference` the table.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from codeblue.profile.model import Profile

#: Package data; a test keeps it equal to `generated()`.
FILE: Final = "codeblue.schema.json"

#: Models that many keys have, shown once each.
_REPEATED: Final = {"Contact": "<contact>", "SecretRef": "<secret>"}


def generated() -> str:
    """The schema as the model has it now, as JSON text (draft 2020-12)."""
    schema = Profile.model_json_schema(mode="validation")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Code Blue profile",
        "description": "The profile of a service that Code Blue protects (codeblue.yaml).",
    }
    return (
        json.dumps(_tidy(head | {k: v for k, v in schema.items() if k not in head}), indent=2, ensure_ascii=False)
        + "\n"
    )


def shipped() -> str:
    """The schema that comes with the package."""
    return resources.files("codeblue.profile").joinpath(FILE).read_text(encoding="utf-8")


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Without generated titles, and without defaults of whole sections: those repeat the defaults of their keys.

    Args:
        names: `node` maps names of keys to schemas, so that a key called "title" is no title.
    """
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if not names and key == "title" and value != "Code Blue profile":
            continue
        if not names and key == "default" and (isinstance(value, dict) or (value is None and "anyOf" not in node)):
            continue
        kept[key] = _tidy(value, names=key in ("properties", "$defs"))
    return kept


@dataclass(frozen=True, slots=True)
class Row:
    """One key: its dotted path, its default as the file would hold it ("required", "" for sections), its meaning."""

    path: str
    default: str
    meaning: str


def rows() -> Iterator[Row]:
    """Every key of a profile; those of a contact and of a secret reference once: `<contact>.name`, `<secret>.env`."""
    schema = json.loads(generated())
    models = schema["$defs"]
    yield from _rows(schema, models, "")
    for name, title in _REPEATED.items():
        yield from _rows(models[name], models, f"{title}.")


def _rows(section: Mapping[str, Any], models: Mapping[str, Any], prefix: str) -> Iterator[Row]:
    required = section.get("required", ())
    for name, node in section["properties"].items():
        path = f"{prefix}{name}"
        below = {key: models[key] for key in _refs(node)}
        meaning = node.get("description") or " ".join(model["description"] for model in below.values())
        yield Row(path, "required" if name in required else _shown(node), meaning)
        for key, model in below.items():
            if key not in _REPEATED:
                kind = model["properties"].get("kind", {}).get("const")
                yield from _rows(model, models, f"{path}." if kind is None else f"{path}({kind}).")


def _refs(node: Mapping[str, Any]) -> Iterator[str]:
    for part in (node, *node.get("anyOf", ()), *node.get("oneOf", ())):
        if "$ref" in part:
            yield part["$ref"].rsplit("/", 1)[-1]


def _shown(node: Mapping[str, Any]) -> str:
    if "default" not in node:
        return ""
    default = node["default"]
    return default if isinstance(default, str) else json.dumps(default)


def reference() -> str:
    """The table of docs/profile.md: key, default, meaning."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for row in rows():
        default = row.default if row.default in ("", "required") else f"`{row.default}`"
        lines.append(f"| `{row.path}` | {default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference() if "--reference" in sys.argv[1:] else generated())
