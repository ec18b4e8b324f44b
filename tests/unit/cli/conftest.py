"""A home for the command line: a profile, its record, and the real program."""

from pathlib import Path

import pytest
from tests.postgres import postgres
from tests.unit.cli.program import Home

__all__ = ["postgres"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
