"""The schema for editors and the reference page come from the model, and stay in step with it."""

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML
from tests.unit.profile.faults import FAULTS
from tests.unit.profile.valid import EXAMPLES, example, full

from codeblue.profile import schema
from codeblue.profile.load import ProfileError, load_text

DOC = Path(__file__).parents[3] / "docs/profile.md"

#: Faults that a schema can see: shape, spelling, kinds and bounds of single values.
SHAPES = (
    "no-platform", "no-version", "version-2", "version-text", "version-true", "service-upper-case", "service-long",
    "service-traversal", "unknown-key", "unknown-key-below", "section-is-text", "section-is-list", "section-is-null",
    "no-kind", "unknown-kind", "no-context", "null-context", "namespace-upper-case", "namespace-number", "port-zero",
    "port-switch", "version-env-lower-case", "local-with-context", "bare-number", "bare-float", "unknown-unit",
    "negative-duration", "via-unknown", "url-ftp", "url-password", "path-without-slash", "path-with-host",
    "command-unknown", "command-text", "command-empty", "command-number", "flag-text", "flag-over-100", "flag-percent",
    "bare-percent", "fraction", "checks-zero", "checks-float", "checks-true", "checks-text", "at-once-text",
    "mode-unknown", "policy-unknown", "database-literal", "database-nothing", "database-both", "webhook-literal",
    "secret-in-env-name", "contact-unknown", "top-level-list",
)  # fmt: skip


def validator() -> jsonschema.Draft202012Validator:
    loaded = json.loads(schema.shipped())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return jsonschema.Draft202012Validator(loaded)


def plain(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


def test_the_shipped_schema_is_up_to_date() -> None:
    """Else: tools/render_profile.py"""
    assert schema.shipped() == schema.generated()


@pytest.mark.parametrize("text", [*map(example, EXAMPLES), full()], ids=[*EXAMPLES, "full-with-people"])
def test_the_schema_accepts_what_the_loader_accepts(text: str) -> None:
    load_text(text)
    assert [error.message for error in validator().iter_errors(plain(text))] == []


@pytest.mark.parametrize("name", SHAPES)
def test_the_schema_refuses_what_the_loader_refuses(name: str, tmp_path: Path) -> None:
    [fault] = [fault for fault in FAULTS if fault.id == name]
    text = fault.write(tmp_path).read_text(encoding="utf-8")
    with pytest.raises(ProfileError):
        load_text(text)
    assert list(validator().iter_errors(plain(text)))


def test_every_key_and_every_default_is_described() -> None:
    for row in schema.rows():
        assert row.meaning, row.path


def test_defaults_of_the_schema_are_those_of_the_model() -> None:
    """A default is text with its unit in the file and a number in the model: stating it changes nothing."""
    silent = example("kubernetes.yaml")
    loaded = json.loads(schema.shipped())

    def stated(section: Mapping[str, object]) -> dict[str, object]:
        found: dict[str, object] = {}
        properties = section["properties"]
        assert isinstance(properties, dict)
        for name, node in properties.items():
            if "$ref" in node:
                found[name] = stated(loaded["$defs"][node["$ref"].rsplit("/", 1)[-1]])
            elif "default" in node:
                found[name] = node["default"]
        return found

    defaults = stated(loaded)
    defaults["state"] = {"database": None}
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in defaults.items())
    assert load_text(silent + lines).model_dump() == load_text(silent).model_dump()


def test_the_reference_page_is_up_to_date() -> None:
    """Else: tools/render_profile.py"""
    page = DOC.read_text(encoding="utf-8")
    _, _, rest = page.partition("<!-- reference: generated -->\n")
    table, _, _ = rest.partition("<!-- end of reference -->")
    assert table.strip() == schema.reference().strip()


def test_the_examples_of_the_reference_page_are_those_of_the_package() -> None:
    page = DOC.read_text(encoding="utf-8")
    for name in ("kubernetes.yaml", "local.yaml"):
        assert f"```yaml\n{example(name)}```" in page
