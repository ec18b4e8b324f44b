"""Fixtures for tests on a real Kubernetes API: one cluster for all of them, a namespace for each."""

import sys
from pathlib import Path

import pytest
from testbed.cluster import Cluster

sys.path.insert(0, str(Path(__file__).parents[2]))  # makes `tests.cluster.support` importable

from tests.cluster.support import Case
from tests.postgres import postgres

__all__ = ["postgres"]


def pytest_addoption(parser):
    parser.addoption("--instants", type=int, default=15, help="random instants of the crash test (make soak: 100)")
    parser.addoption("--whole-times", action="store_true", help="the document's times, not shorter ones (make soak)")


@pytest.fixture(scope="session")
def cluster():
    """A cluster that is up, with the images of this repository in it. It is left up, for the next run."""
    cluster = Cluster.from_env()
    cluster.load_images()
    return cluster


@pytest.fixture
def namespace(cluster):
    """A new namespace for one test."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture
def case(cluster, namespace, tmp_path):
    """The small server and a profile for it; nothing is deployed yet."""
    return Case(cluster, namespace, tmp_path / "case")
