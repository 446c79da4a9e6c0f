"""Airflow for tests: a home of its own, set before anything imports airflow; and an Airbyte service for it."""

import json
import os
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


@pytest.fixture
def database(postgres):
    """A new, empty database."""
    return postgres.database()


@pytest.fixture
def pipe(tmp_path):
    """A pipe that a scripted connector's `hold` waits on."""
    os.mkfifo(tmp_path / "hold")
    return tmp_path / "hold"


@pytest.fixture
def start(database, tmp_path, monkeypatch):
    """Starts a service with a scripted source, and gives Airflow its connection to it."""
    services = []

    def run(**config):
        declared = declare(tmp_path / "connections.yaml", database, [connection_of("numbers")], **config)
        service = Service({**service_environment(database, tmp_path), **declared}, tmp_path).start()
        services.append(service)
        connection = {
            "conn_type": "airbyte",
            "host": f"{service.base}/",
            "schema": f"{service.base}/applications/token",
            "login": CLIENT["client_id"],
            "password": CLIENT["client_secret"],
        }
        monkeypatch.setenv("AIRFLOW_CONN_AIRBYTE_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return service

    yield run
    for service in services:
        service.end(signal.SIGTERM)  # a killed one would leave its connectors behind
        service.client.close()
