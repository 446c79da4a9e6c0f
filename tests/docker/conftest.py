"""A Docker engine, its base images, and containers that end with the test."""

import shutil
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from docker_testing import Postgres, need, remove, run

from devtools.containers import ContainerInstance
from stack.settings import ROOT

SHARED = ROOT.parent / "shared" / "data"
SOURCE = SHARED if SHARED.is_dir() else ROOT / "data" / "sample"


class OneStack(LoadFileScheduling):
    """Whole files go to a worker, and those that use the same stack to the same one."""

    def _split_scope(self, nodeid):
        return super()._split_scope(nodeid).replace("test_browser.py", "test_stack.py")


def pytest_xdist_make_scheduler(config, log):
    return OneStack(config, log)


@pytest.fixture(scope="session")
def engine():
    """A Docker engine that answers."""
    need(shutil.which("docker"), "no docker here: install docker.io")
    need(run("docker", "info", check=False).returncode == 0, "no Docker engine answers")
    yield
    remove("container")
    remove("volume")


@pytest.fixture(scope="session")
def base_images(engine):
    """The two base images are there."""
    for image in ("python:3.11-slim-bookworm", "postgres:17"):
        need(run("docker", "image", "inspect", image, check=False).returncode == 0, f"no {image}: make images")


@pytest.fixture(scope="session")
def stand_ins(base_images):
    """The two base images are stand-ins, of which more is known than of the official ones."""
    for image in ("python:3.11-slim-bookworm", "postgres:17"):
        label = run("docker", "inspect", "--format", '{{index .Config.Labels "stand-in"}}', image).stdout.strip()
        if not label:
            pytest.skip(f"{image} is no stand-in")


@pytest.fixture
def new_postgres(base_images):
    """Makes containers of PostgreSQL, which end with the test."""
    yield Postgres
    remove("container")


@pytest.fixture(scope="session")
def our_images(base_images):
    """The images of docker-compose.yml are there."""
    for image in (f"mlops-{name}" for name in ("init", "airflow", "airflow-scheduler", "airbyte", "mlflow", "docs")):
        need(run("docker", "image", "inspect", image, check=False).returncode == 0, f"no {image}: make images")


@pytest.fixture
def project(base_images, tmp_path):
    """A container stack of its own, of which nothing runs yet and nothing stays."""
    from compose_testing import Project

    for image in ("mlops-init", "postgres:17"):
        need(run("docker", "image", "inspect", image, check=False).returncode == 0, f"no {image}: make images")
    made = Project(tmp_path)
    yield made
    made.remove()


@pytest.fixture
def tree(tmp_path):
    """A folder with a copy of docker/, to run docker/images in."""
    shutil.copytree(Path(__file__).resolve().parents[2] / "docker", tmp_path / "tree" / "docker")
    return tmp_path / "tree"


@pytest.fixture(scope="session")
def stack(our_images, tmp_path_factory):
    """A container stack that is up, from a copy of the repository; deleted after the tests."""
    stack = ContainerInstance(tmp_path_factory.mktemp("clone"), source=SOURCE)
    try:
        stack.compose("up", "--wait")
        yield stack
    finally:
        stack.delete()


@pytest.fixture(scope="session")
def first_run(stack):
    """The states of the first run of dataops, triggered by REST, and of the run of mlops that it started."""
    with stack.airflow() as airflow:
        return stack.ended(airflow, stack.trigger(airflow))
