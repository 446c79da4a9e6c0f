"""A Docker engine, its base images, and containers that are deleted after the test."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from compose_testing import Project
from docker_testing import Postgres, need, remove, run

from devtools.containers import ContainerInstance
from stack.settings import ROOT

SHARED = ROOT.parent / "shared" / "data"
SOURCE = SHARED if SHARED.is_dir() else ROOT / "data" / "sample"
BASES = ("python:3.11-slim-bookworm", "postgres:17")
OURS = tuple(f"mlops-{name}" for name in ("init", "airflow", "airflow-scheduler", "airbyte", "mlflow", "docs"))


def need_images(names):
    """Skip the test, or fail in CI, unless Docker has these images."""
    for name in names:
        need(run("docker", "image", "inspect", name, check=False).returncode == 0, f"no image {name}: run make images")


@pytest.fixture(scope="session")
def engine():
    """A Docker engine that responds; a `make images` that is running has ended."""
    if (lock := ROOT / "var" / "build" / "lock").exists():
        run("flock", lock, "true")
    need(shutil.which("docker"), "docker not found: install docker.io")
    need(run("docker", "info", check=False).returncode == 0, "the Docker engine does not respond")
    yield
    remove("container")
    remove("volume")


@pytest.fixture(scope="session")
def base_images(engine):
    """The two base images are present."""
    need_images(BASES)


@pytest.fixture(scope="session")
def stand_ins(base_images):
    """The two base images are stand-ins, which do more than the official ones."""
    for image in BASES:
        label = run("docker", "inspect", "--format", '{{index .Config.Labels "stand-in"}}', image).stdout.strip()
        if not label:
            pytest.skip(f"{image} is not a stand-in")


@pytest.fixture(scope="session")
def our_images(base_images):
    """The images of docker-compose.yml are present."""
    need_images(OURS)


@pytest.fixture
def new_postgres(base_images):
    """Creates containers of PostgreSQL, which are deleted after the test."""
    yield Postgres
    remove("container")


@pytest.fixture
def project(our_images, tmp_path):
    """A container stack that is not started yet, and is deleted after the test."""
    created = Project(tmp_path)
    yield created
    created.remove()


@pytest.fixture(scope="module")
def shared_project(our_images, tmp_path_factory):
    """One container stack for the tests of a module that start nothing which stays."""
    created = Project(tmp_path_factory.mktemp("project"))
    yield created
    created.remove()


@pytest.fixture
def tree(tmp_path):
    """A folder with a copy of docker/, to run docker/images in."""
    shutil.copytree(ROOT / "docker", tmp_path / "tree" / "docker")
    return tmp_path / "tree"


@pytest.fixture(scope="session")
def stack(our_images, tmp_path_factory):
    """A running container stack from a copy of the repository; deleted after the tests."""
    stack = ContainerInstance(tmp_path_factory.mktemp("clone"), source=SOURCE)
    try:
        stack.compose("up", "--wait")
        yield stack
    finally:
        stack.delete()


@pytest.fixture(scope="session")
def first_run(stack):
    """The first `make run PLACE=compose`, as a finished process."""
    return stack.make("run", "PLACE=compose")
