"""A copy of the program, stand-ins for Google's services, Airflow and Airbyte, and the real gcloud between them."""

import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

from world import World, make_bundle, make_program


@pytest.fixture(scope="session")
def gcloud_config(tmp_path_factory):
    """A folder for gcloud's own files; without gcloud the test is skipped, or fails in CI, which installs it."""
    if not shutil.which("gcloud"):
        unable = pytest.fail if "CI" in os.environ else pytest.skip
        unable("gcloud is missing here: install the Google Cloud CLI 528.0.0")
    return tmp_path_factory.mktemp("gcloud")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """A copy of the repository with a place `staging`, as a user has it."""
    return make_program(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="session")
def services(program, gcloud_config, storage_server, tmp_path_factory):
    """The World of this session."""
    made = World(program, gcloud_config, storage_server, tmp_path_factory.mktemp("home"))
    yield made
    made.server.close()


@pytest.fixture
def world(services):
    """An empty World; at its end, nothing may have gone elsewhere."""
    services.restore(None)
    yield services
    assert not services.server.outside, "clients asked for something outside of this machine"


@pytest.fixture(scope="session")
def first_deploy(services, tmp_path_factory):
    """The requests and the output of a first deploy, and what the services hold after it."""
    services.restore(None)
    done = services.run("deploy", "--bundle", make_bundle(tmp_path_factory.mktemp("first")))
    assert done.status == 0, done.text
    return services.changes(), done, services.save()


@pytest.fixture
def deployed(first_deploy, world):
    """A World in which the default bundle is deployed."""
    world.restore(first_deploy[2])
    return world


@pytest.fixture
def bundle(tmp_path):
    """Function that makes a bundle by hand, as `make_bundle`."""
    numbers = itertools.count()
    return lambda **changes: make_bundle(tmp_path / f"bundle-{next(numbers)}", **changes)
