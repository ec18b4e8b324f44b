"""pytest plugin, found through the entry point `pytest11`: markers and readable asserts of the contract suites.

It is loaded by every pytest in an environment that has Code Blue, so it imports nothing heavy and changes nothing of
other people's tests.
"""

import pytest

pytest.register_assert_rewrite("codeblue.testing.contracts")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers that the contract suites carry, so that `--strict-markers` accepts them everywhere."""
    config.addinivalue_line("markers", "req(id): proves a requirement of docs/requirements.md (R…, B…)")
    config.addinivalue_line("markers", "defect(id): proves that a defect of the source document is not ours (D…)")
    config.addinivalue_line("markers", "way(kind): needs a provider that can answer so (contracts/channel.py)")
