"""A place on Composer, and its bundle."""

import json
import subprocess

import pytest
import yaml

from deploy import placement
from deploy.bundle import build
from deploy.packages import Preinstalled
from stack import airbyte, places
from stack.settings import ENVIRONMENTS

DIGEST = f"sha256:{'0' * 64}"
PLACE = {
    "preset": "composer",
    "artifacts": "gs://our-bucket/staging",
    "mlflow": "https://mlflow.example",
    "runner": {"image": f"europe-docker.pkg.dev/ours/mlops/mlops-tasks@{DIGEST}", "kubernetes": {"secret": "mlops"}},
    "warehouse": {"project": "ours", "prefix": "staging_"},
    "deploy": {"project": "ours", "location": "europe-west1", "environment": "staging"},
}


def merged(base, over):
    """Settings with others laid over them, known or not."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: merged(base.get(key), value) for key, value in over.items()}


OVERLAY = {
    "airbyte": {"url": "${AIRBYTE_URL}", "clientId": "ours", "clientSecret": "${AIRBYTE_CLIENT_SECRET}"},
    "destinations": [
        {
            "name": "warehouse",
            "configuration": {"destinationType": "bigquery", "dataset_id": "${MLOPS_WAREHOUSE__PREFIX}raw"},
        }
    ],
}


@pytest.fixture
def overlay(tmp_path, monkeypatch):
    """The overlay of Airbyte's declaration for the place `staging`, beside a copy of the declaration."""
    folder = tmp_path / "declared" / "airbyte"
    folder.mkdir(parents=True)
    (folder / "connections.yaml").write_bytes((airbyte.ROOT / "airbyte" / "connections.yaml").read_bytes())
    monkeypatch.setattr(airbyte, "ROOT", folder.parent)
    for name in ("AIRBYTE_URL", "AIRBYTE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    file = folder / "connections.staging.yaml"
    file.write_text(yaml.safe_dump(OVERLAY))
    return file


@pytest.fixture
def write_place(tmp_path, monkeypatch, overlay):
    """Function that writes the place `staging` with changes of its config, beside the repository's places."""
    folder = tmp_path / "places"
    folder.mkdir()
    for path in places.FOLDER.glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(places, "FOLDER", folder)

    def write(**changes):
        (folder / "staging.yaml").write_text(yaml.safe_dump(merged(PLACE, changes)))
        return placement.configs("staging", PLACE["runner"]["image"])[0]

    return write


@pytest.fixture
def bundle(write_place):
    """The bundle of the place `staging`."""
    return build("staging", write_place())


@pytest.fixture
def installed():
    """Function that gives the packages of one of our environments, as if they were those of one of Composer."""
    # What our list adds to an image.
    ours = {
        *("airflow-provider-great-expectations", "great-expectations"),
        *("apache-airflow-providers-airbyte", "airbyte-api"),
    }

    def read(name):
        command = [ENVIRONMENTS / "uv" / "bin" / "uv", "pip", "list", "--format=json", "--python"]
        done = subprocess.run([*command, ENVIRONMENTS / name / "bin" / "python"], capture_output=True, check=True)
        versions = {each["name"]: each["version"] for each in json.loads(done.stdout) if each["name"] not in ours}
        for part in ("apache-airflow", "apache-airflow-core"):
            versions[part] += "+composer"
        return Preinstalled(name, versions)

    return read
