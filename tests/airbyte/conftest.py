"""Services, syncs and databases for these tests."""

import logging
import os
import signal
import sys
import uuid
from functools import partial
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parent / "lib"
sys.path[:0] = [str(LIB), str(LIB.parents[2] / "airbyte")]

import psycopg  # noqa: E402
from airbyte_testing import (  # noqa: E402
    PYTHONPATH,
    Service,
    connection_of,
    declare,
    destination_of,
    service_environment,
    stream,
)
from stored_connection import stored  # noqa: E402

from airbyte_local.connectors.process import Connector  # noqa: E402
from airbyte_local.destinations.config_models import parse  # noqa: E402
from airbyte_local.destinations.factory import open_destination  # noqa: E402
from airbyte_local.sync.engine import Sync  # noqa: E402
from airbyte_local.sync.outcome import Totals  # noqa: E402


@pytest.fixture(scope="session")
def reused_database(postgres):
    """The database of all tests of this process."""
    return postgres.database()


@pytest.fixture
def database(reused_database):
    """An empty database; emptying one takes less time than creating one."""
    with connect(reused_database) as connection:
        own = "datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
        connection.execute(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {own}")
        connection.execute("drop owned by current_user cascade")
    return reused_database


def connect(database):
    """A connection in autocommit mode."""
    address = {key: database[key] for key in ("host", "port", "user", "password")}
    return psycopg.connect(**address, dbname=database["database"], autocommit=True)


@pytest.fixture
def query(database):
    """Runs SQL in the test's database; returns its rows, if any."""

    def run(sql):
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []

    with connect(database) as connection:
        yield run


@pytest.fixture
def new_service(database, tmp_path):
    """Creates services on the test's database; they are stopped after the test."""
    services = []

    def make(**environment):
        services.append(Service({**service_environment(database, tmp_path), **environment}, tmp_path))
        return services[-1]

    yield make
    for service in services:
        service.end(signal.SIGTERM)  # a killed one would leave its connectors behind
        service.client.close()


@pytest.fixture
def scripted_service(new_service, database, tmp_path):
    """Starts a service whose source is the scripted connector with the given configuration."""

    def start(*names, environment=None, **config):
        connections = [connection_of(name) for name in names or ("numbers",)]
        declared = declare(tmp_path / "connections.yaml", database, connections, **config)
        return new_service(**declared, **(environment or {})).start()

    return start


@pytest.fixture
def sync(database, tmp_path, monkeypatch):
    """Runs one sync in this process, `to` a destination; returns its totals and its log.

    The connector is the scripted one, or, with `files`, our own with these streams.
    """
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PYTHONPATH))

    def run(*lines, names=("numbers",), connection=None, sync_id=1, job=None, to=None, files=None, **config):
        module = "source_files" if files else "source_scripted"
        config = {"streams": files} if files else {"streams": [*map(stream, names)], "lines": lines, **config}
        said = []
        log = logging.Logger("test")
        handler = logging.Handler()
        handler.emit = lambda entry: said.append(f"{entry.levelname} {entry.getMessage()}")
        log.addHandler(handler)
        connector = Connector(
            [sys.executable, "-m", module],
            config,
            is_ours=True,
            run=str(uuid.uuid4()),
            folder=tmp_path,
            log=log,
        )
        declared = stored(connection or connection_of(*names))
        totals = Totals()
        destination = partial(open_destination, to or parse(destination_of(database)), sync_id=sync_id)
        run_id = job or str(uuid.uuid4())
        Sync(declared, connector, destination, totals, log, sync_id=sync_id, run_id=run_id).run()
        return totals, "\n".join(said)

    return run


@pytest.fixture
def named_pipe(tmp_path):
    """A pipe that a scripted connector's `hold` waits on; writing to it lets the connector continue."""
    path = tmp_path / "hold"
    os.mkfifo(path)
    return path
