"""Airflow's home for the tests, set before anything imports airflow, and an Airbyte service for each test file."""

import atexit
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "False"

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "airbyte" / "lib"))

from airbyte_testing import CLIENT, Service, connection_of, declare, service_environment

atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


def airflow_connection(service):
    """Airflow's connection to a service, as its environment variable has it."""
    return json.dumps(
        {
            "conn_type": "airbyte",
            "host": f"{service.base}/",
            "schema": f"{service.base}/applications/token",
            "login": CLIENT["client_id"],
            "password": CLIENT["client_secret"],
        }
    )


@pytest.fixture(scope="module")
def database(postgres):
    """The database of this file's service, empty at first."""
    return postgres.database()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The source folder of a file of tests."""
    return tmp_path_factory.mktemp("source")


@pytest.fixture
def pipe(tmp_path):
    """A named pipe that a scripted connector's `hold` waits for."""
    os.mkfifo(tmp_path / "hold")
    return tmp_path / "hold"


@pytest.fixture(scope="module")
def scripted(database, tmp_path_factory):
    """The service of this file; its source is a scripted connector."""
    folder = tmp_path_factory.mktemp("airbyte")
    declared = declare(folder / "connections.yaml", database, [connection_of("numbers")])
    service = Service({**service_environment(database, folder), **declared}, folder).start()
    yield service
    service.end(signal.SIGTERM)  # SIGKILL would leave its connectors running
    service.client.close()


@pytest.fixture
def start(scripted, database, monkeypatch):
    """Function that gives the scripted source its configuration and Airflow its connection to the service."""
    monkeypatch.setenv("AIRFLOW_CONN_AIRBYTE_DEFAULT", airflow_connection(scripted))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = Path(scripted.environment["MLOPS_AIRBYTE__CONNECTIONS"])

    def run(**config):
        declare(path, database, [connection_of("numbers")], **config)
        scripted.apply(path)
        return scripted

    yield run
    # A job that is left would refuse the next test's sync.
    for job in scripted.client.get("/jobs").json()["data"]:
        if job["status"] in ("pending", "running", "incomplete"):
            scripted.client.delete(f"/jobs/{job['jobId']}")
            scripted.ended(job["jobId"])
