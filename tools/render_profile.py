"""Writes what is derived from the profile's model: the shipped JSON Schema, and the table in docs/profile.md."""

from pathlib import Path

from codeblue.profile import schema

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "profile.md"


def main() -> None:
    """Write both."""
    target = ROOT / "packages/codeblue/src/codeblue/profile/codeblue.schema.json"
    target.write_text(schema.generated(), "utf-8")
    page = PAGE.read_text("utf-8")
    begin, end = "<!-- reference: generated -->", "<!-- end of reference -->"
    before, rest = page.split(begin, 1)
    _, after = rest.split(end, 1)
    PAGE.write_text(f"{before}{begin}\n{schema.reference().strip()}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
