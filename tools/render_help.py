"""Render the help that `codeblue --help` prints without loading anything. usage: render_help.py [--check]

Run it after a verb was added or its line changed; a test compares.
"""

import io
import sys
from pathlib import Path

from rich.console import Console

from codeblue.cli.main import HELP_FILE, build_app

FILE = Path(__file__).parent.parent / "packages/codeblue/src/codeblue/cli" / HELP_FILE


def rendered() -> str:
    """The help of the whole program, 80 columns wide, without colours."""
    console = Console(file=io.StringIO(), width=80, color_system=None, force_terminal=False, legacy_windows=False)
    build_app().help_print([], console=console)
    assert isinstance(console.file, io.StringIO)  # noqa: S101  # for mypy
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def main() -> int:
    """Write the file, or compare it; exit 1 when it is not what would be written."""
    text = rendered()
    if "--check" in sys.argv[1:]:
        return 0 if FILE.exists() and FILE.read_text("utf-8") == text else 1
    FILE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
