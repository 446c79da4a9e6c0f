"""The whole promotion on a real project of Google Cloud: `make test-gcp`. It costs money and takes about an hour.

MLOPS_GCP_PROJECT is the id of the project, MLOPS_GCP_PLACE a place of config/places in it, to which something has been
deployed before (docs/production.md). At the end, that is deployed again.
"""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from stack.settings import ROOT

PROJECT = os.environ.get("MLOPS_GCP_PROJECT")
PLACE = os.environ.get("MLOPS_GCP_PLACE", "staging")

pytestmark = [
    pytest.mark.gcp,
    pytest.mark.skipif(not PROJECT, reason="MLOPS_GCP_PROJECT names no project of Google Cloud"),
    # Seconds; an update of the environment takes up to half an hour.
    pytest.mark.timeout(3 * 3600),
]


class Checkout:
    """A clone of this repository, from which a test may deploy changes."""

    def __init__(self, folder, lines):
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        for file in (f"config/places/{PLACE}.yaml", f"airbyte/connections.{PLACE}.yaml"):
            shutil.copy(ROOT / file, folder / file)
        # A bundle has what git knows.
        subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
        # As old as they are there, or else the environments that are linked would be set up again.
        shutil.copytree(ROOT / "requirements", folder / "requirements", dirs_exist_ok=True)
        (folder / "var").mkdir()
        (folder / "var" / "env").symlink_to(ROOT / "var" / "env")
        self.folder = folder
        self._lines = lines

    def make(self, *words):
        """Run make with what deploys read from Secret Manager; gives its output."""
        script = 'set -a; eval "$MLOPS_GCP_LINES"; set +a; unset MLOPS_GCP_LINES; exec make "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "make", *words, f"PLACE={PLACE}"],
            cwd=self.folder,
            env=os.environ | {"MLOPS_GCP_LINES": self._lines},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not done.returncode, done.stdout
        return done.stdout

    def deployed(self):
        """Id of the manifest that is deployed."""
        found = re.search(r"^deployed +([0-9a-f]{12})\b", status := self.make("deploy-status"), re.MULTILINE)
        assert found, status
        return found[1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A clone whose place is in MLOPS_GCP_PROJECT; what was deployed before is deployed again at the end."""
    file = ROOT / "config" / "places" / f"{PLACE}.yaml"
    assert PLACE != "production", "these tests deploy what nobody has approved: name another place in MLOPS_GCP_PLACE"
    assert file.exists(), f"{file} is missing: write it as docs/production.md says"
    named = yaml.safe_load(file.read_text())["deploy"]["project"]
    assert named == PROJECT, f"{file} is of the project {named}, not of MLOPS_GCP_PROJECT={PROJECT}"
    secret = ["gcloud", "secrets", "versions", "access", "latest", f"--secret=mlops-{PLACE}-deploy"]
    done = subprocess.run([*secret, f"--project={PROJECT}"], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    clone = Checkout(tmp_path_factory.mktemp("promotion") / "mlops", done.stdout)
    before = clone.deployed()
    yield clone
    if clone.deployed() != before:
        clone.make("deploy-rollback", f"TO={before}")
    assert clone.deployed() == before


@pytest.fixture(scope="module")
def first(checkout):
    """Id of the manifest of this checkout, deployed."""
    checkout.make("composer-check", "PREINSTALLED=config/composer-packages.txt")
    checkout.make("deploy")
    return checkout.deployed()


@pytest.fixture(scope="module")
def second(checkout, first):
    """Id of the manifest of a checkout with a changed DAG file, deployed over the first."""
    with (checkout.folder / "airflow" / "dags" / "dataops.py").open("a") as file:
        file.write("# a change that the test of the promotion deploys\n")
    checkout.make("deploy")
    return checkout.deployed()


def operations():
    """Names of the operations on environments of Composer."""
    region = yaml.safe_load((ROOT / "config" / "places" / f"{PLACE}.yaml").read_text())["deploy"]["location"]
    command = ["gcloud", "composer", "operations", "list", f"--locations={region}", f"--project={PROJECT}"]
    return set(subprocess.run([*command, "--format=value(name)"], capture_output=True, check=True).stdout.split())


def test_the_checkout_is_deployed_and_its_smoke_run_is_green(checkout, first):
    assert re.search(rf"^this checkout +nothing differs \({first}\)", checkout.make("deploy-status"), re.MULTILINE)


def test_nothing_is_updated_by_a_second_deploy_of_the_same(checkout, first):
    before = operations()
    checkout.make("deploy")
    assert operations() == before
    assert checkout.deployed() == first


def test_a_changed_dag_is_another_manifest(first, second):
    assert second != first


def test_a_rollback_puts_the_one_before_back(checkout, first, second):
    checkout.make("deploy-rollback")
    assert checkout.deployed() == first
