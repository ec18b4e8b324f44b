"""Makes `tests.unit…` importable, which pytest's import mode importlib does not do by itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
