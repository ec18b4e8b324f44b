"""The mark of a test that runs on every kind of store."""

import pytest

on_every_store = pytest.mark.parametrize("store_env", ["sqlite", "mongodb"], indirect=True)
