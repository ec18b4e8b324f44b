"""A real `codeblue serve` that answers over HTTP, on the local platform."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.local_machine import Machine, machine
from tests.unit.web.daemon import Served


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("web") / "machine") as running:
        running.start("1.0")
        yield running


@pytest.fixture
def served(local: Machine, tmp_path: Path) -> Iterator[Served]:
    """One that is not started yet."""
    daemon = Served(tmp_path, local.directory)
    yield daemon
    daemon.close()
