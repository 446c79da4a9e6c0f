"""Facts about the dbt project that need no warehouse."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROJECT = ROOT / "dbt_transforms"
WITHOUT_NETWORK = """
import socket, sys

def refuse(*_):
    raise AssertionError("a connection was opened")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from dbt.cli.main import cli
cli(sys.argv[1:])
"""
BIGQUERY = {"TYPE": "bigquery", "PROJECT": "a-project", "LOCATION": "EU", "PREFIX": "ada_"}
BIGQUERY |= {"MAXIMUM_BYTES_BILLED": "1000000000", "JOB_TIMEOUT": "600"}
POSTGRES = {"TYPE": "postgres", "HOST": "127.0.0.1", "PORT": "1", "DATABASE": "w", "USER": "u", "PASSWORD": "p"}
# The profile of the project needs default credentials of Google, which a test does not have.
PROFILE = """
warehouse:
  target: bigquery
  outputs:
    bigquery: {type: bigquery, method: oauth-secrets, token: x, project: a-project, location: EU, dataset: candidate}
"""


def dbt(folder, settings, *command):
    """Run dbt where no connection can be opened; returns the folder of its artifacts."""
    variables = {f"MLOPS_WAREHOUSE__{name}": value for name, value in settings.items()}
    options = ["--project-dir", PROJECT, "--target-path", folder / "target", "--log-path", folder / "logs"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *command, *options],
        env={"PATH": os.environ["PATH"], **variables},
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "target"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """The project as the profile's target for BigQuery reads it."""
    target = dbt(tmp_path_factory.mktemp("parse"), BIGQUERY, "parse")
    return json.loads((target / "manifest.json").read_text())


@pytest.fixture(scope="module")
def models(manifest):
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def test_the_target_is_the_type_of_the_warehouse_and_usage_statistics_are_off(manifest):
    assert manifest["metadata"]["adapter_type"] == "bigquery"
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False
    assert not (PROJECT / ".user.yml").exists()


def test_datasets_have_the_names_of_schemas_after_the_prefix(models):
    names = {model["alias"]: (model["database"], model["schema"]) for model in models}
    assert names == {
        "stg_projects": ("a-project", "ada_staging"),
        "stg_tags": ("a-project", "ada_staging"),
        "labeled_projects": ("a-project", "ada_candidate"),
        "projects_to_predict": ("a-project", "ada_candidate"),
    }


def test_every_model_describes_its_grain_and_the_columns_that_it_checks_in_a_file_beside_its_sql(models):
    for model in models:
        sql = PROJECT / model["original_file_path"]
        assert model["patch_path"].endswith(str(sql.relative_to(PROJECT).with_suffix(".yml")))
        assert model["description"].startswith("One row per ")
        assert model["columns"]
        assert all(column["description"] for column in model["columns"].values())


def test_both_warehouses_get_the_same_sql_apart_from_quotes_and_a_type(tmp_path):
    (tmp_path / "profiles.yml").write_text(PROFILE)
    compile_models = ["compile", "--no-populate-cache", "--no-introspect", "--select", "resource_type:model"]
    bigquery = dbt(tmp_path / "bigquery", BIGQUERY, *compile_models, "--profiles-dir", tmp_path)
    postgres = dbt(tmp_path / "postgres", POSTGRES, *compile_models)
    compiled = [path.relative_to(postgres) for path in postgres.glob("compiled/transforms/models/*/*.sql")]
    assert {path.stem for path in compiled} == {"stg_texts", "stg_labels", "labeled", "to_predict"}
    for path in compiled:
        theirs = (bigquery / path).read_text().replace("`a-project`.", "").replace("`", "").replace("ada_", "")
        ours = (postgres / path).read_text().replace('"w".', "").replace('"', "").replace(" E'", " '")
        ours = ours.replace(" as timestamp)", " as datetime)")
        assert ours == theirs
