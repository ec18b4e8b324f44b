"""What messages and pages name exists: verbs, pages, headings."""

import re
from pathlib import Path

import pytest
from cyclopts import App

from codeblue.cli.main import VERBS, build_app

ROOT = Path(__file__).parents[2]
#: The specification speaks of the whole product, not of this version.
SPECIFICATION = {ROOT / "docs/requirements.md", ROOT / "docs/defects.md", ROOT / "docs/semantics.md"}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("packages/*/*.md")])
SOURCES = sorted(p for f in ("packages", "tools", "benchmarks", "testbed", "deploy") for p in (ROOT / f).rglob("*.*"))
TEXTS = {p: p.read_text("utf-8") for p in {*PAGES, *SOURCES} if p.suffix in (".py", ".md", ".yaml", ".txt")}


def where(file: Path, text: str) -> str:
    return f"{file.relative_to(ROOT)}: {text}"


def groups() -> dict[str, set[str]]:
    """Verbs, and the commands below those that are groups."""
    app = build_app()
    return {verb: set(app[verb]) if isinstance(app[verb], App) and "app" in VERBS[verb][0] else set() for verb in VERBS}


def test_every_command_that_is_recommended_exists() -> None:
    known, wrong, seen = groups(), [], 0
    for file, text in TEXTS.items():
        if file in SPECIFICATION:
            continue
        for verb, below in re.findall(r"`(?:kubectl )?codeblue ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text):
            seen += 1
            if verb not in known or (known[verb] and below and below not in known[verb]):
                wrong.append(where(file, f"codeblue {verb} {below}"))
    assert seen > 30
    assert wrong == []


LINK = r"\]\((?!http)([^)#\s]+)(?:#[^)]*)?\)"
NAMED = r"(?:`|\b(?=docs/))([\w./-]*[\w-]+\.md)\b"


@pytest.mark.parametrize(
    ("pattern", "suffixes"), [(LINK, {".md"}), (NAMED, {".md", ".py", ".yaml"})], ids=["links", "names"]
)
def test_every_page_that_is_named_exists(pattern: str, suffixes: set[str]) -> None:
    found = [(f, name) for f, text in TEXTS.items() if f.suffix in suffixes for name in re.findall(pattern, text)]
    assert len(found) > 12
    missing = [
        where(file, name)
        for file, name in found
        if not any((base / name).exists() for base in (file.parent, ROOT, ROOT / "docs", ROOT / "contract"))
    ]
    assert missing == []


def test_every_heading_that_is_named_exists() -> None:
    """As in: docs/architecture.md, "Steps"."""
    found = [(f, *pair) for f, text in TEXTS.items() for pair in re.findall(r'([\w/-]+\.md),? "([^"]+)"', text)]
    assert len(found) > 1
    missing = [
        where(file, f"{page}, {heading}")
        for file, page, heading in found
        if not re.search(rf"^#+ {re.escape(heading)}$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []
