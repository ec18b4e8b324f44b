"""What the distributions ask for is what they use: everything else is weight and attack surface."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
#: Imported under another name than the distribution's, or run as a program.
MODULES = {
    "ruamel.yaml": "ruamel",
    "prometheus-client": "prometheus_client",
    "opentelemetry-api": "opentelemetry",
}
PROGRAMS = {"supervisor": "supervisor.supervisord"}


@pytest.mark.parametrize("package", ["codeblue", "ai-diagnostics"])
def test_every_dependency_is_used(package: str) -> None:
    project = tomllib.loads((PACKAGES / package / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[\[<>=,; ]", text, maxsplit=1)[0] for text in project["dependencies"]}
    texts = [p.read_text("utf-8") for p in (PACKAGES / package / "src").rglob("*.py")]
    imported = {name.partition(".")[0] for text in texts for name in imports(ast.parse(text))}
    unused = {d for d in wanted if d not in PROGRAMS and MODULES.get(d, d) not in imported}
    assert unused == set()
    assert all(any(PROGRAMS[d] in text for text in texts) for d in wanted & PROGRAMS.keys())


def imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
