"""`python -m ai_diagnostics …` is the same program as the console script `ai-diagnostics`."""

from ai_diagnostics.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
