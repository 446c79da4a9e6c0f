"""The bundle laid out as Composer has it: both graphs run there on Composer's oldest Airflow, with the emulators."""

import hashlib
import json
import subprocess

import pytest

from deploy import graphs, placement
from deploy.bundle import build
from stack import airbyte, places
from stack.environments import google_environment, own_environment, task_environment
from stack.settings import ENVIRONMENTS, ROOT
from tests.e2e.conftest import SEARCH, Instance

AIRFLOW = ENVIRONMENTS / graphs.AIRFLOWS["3.1.7"] / "bin"
# `dag.test()` runs the tasks in this process one after the other.
CODE = """
import sys
from airflow.models.dagbag import DagBag
sys.path.append(sys.argv[1])
dags = DagBag(sys.argv[1]).dags
for name in ("dataops", "mlops"):
    print("ended", name, dags[name].test().state, flush=True)
"""


def content(folder):
    """The hash of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_both_graphs_run_from_the_mounted_folders_and_write_nothing_there(tmp_path):
    instance = Instance(tmp_path, place="bigquery-emulator", search=SEARCH)
    settings = instance.settings()
    own = {
        "warehouse": settings.config["warehouse"],
        "artifacts": settings.artifacts,
        "search": settings.config["search"],
    }
    # There is no cluster in this test: commands run in the virtual environments instead of pods.
    runner = {"type": "venv", "root": str(ENVIRONMENTS), "project": str(ROOT)}
    config = places.overlay(
        placement.configs("composer")[0], {**own, "mlflow": settings.url("mlflow")}, places.path("composer")
    )
    bundle = build("composer", config)
    home = tmp_path / "home" / "airflow"
    bundle.lay_out(home / "gcs")
    with instance.services("postgres", "airbyte", "mlflow"):
        given = own_environment(settings) | google_environment(settings) | task_environment(settings)
        environment = {
            **{name: value for name, value in given.items() if not name.startswith(("MLOPS_CONFIG", "MLOPS_RUNNER"))},
            **graphs.environment(bundle, home),
            "MLOPS_VAR": str(tmp_path / "written"),
            # The commands are not in the mounted folders.
            "MLOPS_CONFIG": str(home / "gcs" / "data" / "config" / "base.yaml"),
            **{f"MLOPS_RUNNER__{name.upper()}": value for name, value in runner.items()},
            "AIRFLOW_CONN_AIRBYTE_DEFAULT": airbyte.connection(settings),
            "AIRFLOW_VAR_AIRBYTE_CONNECTIONS": json.dumps(airbyte.apply(settings)),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        before = content(home / "gcs")
        subprocess.run(
            [AIRFLOW / "airflow", "db", "migrate"], env=environment, cwd=home, check=True, capture_output=True
        )
        command = [AIRFLOW / "python", "-P", "-c", CODE, home / "gcs" / "dags"]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
        assert [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ended")] == [
            ["dataops", "success"],
            ["mlops", "success"],
        ], (done.stdout + done.stderr)[-5000:]
    assert content(home / "gcs") == before
