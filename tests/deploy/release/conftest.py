"""A copy of the program, stand-ins for Google's services, Airflow and Airbyte, and the real gcloud between them."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

from world import OVERLAY, PLACE, ROOT, World, make_bundle

FOLDERS = ("deploy", "stack", "airbyte", "airflow", "config", "data", "tagifai", "dbt_transforms", "great_expectations")
FOLDERS += ("requirements",)
# In place of the scripts that need Docker.
SCRIPTS = {
    "images": 'echo "built" >&2',
    "push": f'echo "$@" >pushed; [ ! -e broken ] || exit 1; echo "$2@sha256:{"1" * 64}"',
}


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
    tree = tmp_path_factory.mktemp("program")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "config" / "places" / "staging.yaml").write_text(yaml.safe_dump(PLACE))
    (tree / "airbyte" / "connections.staging.yaml").write_text(yaml.safe_dump(OVERLAY))
    (tree / "docker").mkdir()
    for name, script in SCRIPTS.items():
        (tree / "docker" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tree / "docker" / name).chmod(0o755)
    # The bundle has what git has.
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    return tree


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
