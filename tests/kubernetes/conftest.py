"""Every test here uses the one cluster, and some break it: they run one after the other."""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


# Before the hook of tests/conftest.py, which groups tests by file.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def tasks_image(cluster):
    """The image of the tasks in the cluster's reach, by digest."""
    return cluster.tasks_image()
