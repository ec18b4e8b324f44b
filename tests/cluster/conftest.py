"""Fixtures for tests on a real Kubernetes API: one cluster for all of them, a namespace for each."""

import pytest
from testbed.cluster import Cluster


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
