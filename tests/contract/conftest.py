"""Makes `tests.…` importable, which pytest's import mode importlib does not do by itself; fixtures of real servers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.postgres import postgres

__all__ = ["postgres"]
