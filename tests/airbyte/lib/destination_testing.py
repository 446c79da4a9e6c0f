"""Attempts of syncs into a destination, without a connector: the same for PostgreSQL and BigQuery."""

import http.server
import json
import threading
import uuid

import pyarrow as pa
import pytest
from airbyte_protocol.models import DestinationSyncMode
from airbyte_testing import destination_of
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import CredentialsWithRegionalAccessBoundary

from airbyte_local.columns import Column, Kind
from airbyte_local.destinations.config_models import BigQueryConfiguration, PostgresConfiguration
from airbyte_local.destinations.contract import Rows, State, Table
from airbyte_local.destinations.factory import open_destination

CONNECTION = uuid.UUID(int=1)
TEXTS = (Column("id", Kind.INTEGER), Column("text", Kind.TEXT))
DATED = (*TEXTS, Column("moment", Kind.DATE))
OVERWRITE, APPEND, DEDUP = (
    DestinationSyncMode.overwrite,
    DestinationSyncMode.append,
    DestinationSyncMode.append_dedup,
)


def rows_of(table, *rows, emitted_at=1000, changes=None):
    """Rows of JSON values as a destination is given them."""
    values = zip(*rows, strict=True) if rows else [[] for _ in table.columns]
    columns = [column.convert(list(given)).array for column, given in zip(table.columns, values, strict=True)]
    return Rows(columns, pa.array([emitted_at] * len(rows), pa.int64()), changes or {})


def table_of(mode=APPEND, columns=TEXTS, name="numbers", **more):
    """A table in the destination's own schema."""
    return Table("raw", name, columns, mode=mode, **{"at_end": mode is OVERWRITE, **more})


def state(value, stream="numbers"):
    """A state whose content is this value."""
    return State("", stream, json.dumps({"at": value}).encode())


class Attempts:
    """A subclass has the fixtures `configuration` and `select`, which gives the rows of a query."""

    @pytest.fixture
    def attempt(self, configuration):
        """Begins an attempt of a sync; all end with the test."""
        opened = []

        def begin(*tables, connection=CONNECTION, sync_id=1):
            destination = open_destination(configuration, sync_id=sync_id)
            opened.append(destination)
            destination.found = destination.states(connection)
            destination.tables = destination.open(tables)
            return destination

        yield begin
        for destination in opened:
            destination.close()

    @pytest.fixture
    def load(self, attempt):
        """Runs a whole attempt with rows for one table; the states that it found."""

        def run(table, *rows, states=(), **more):
            destination = attempt(table)
            if rows:
                self.write(destination, *destination.tables, *rows, **more)
            destination.commit(CONNECTION, states, final=True)
            destination.close()
            return destination.found

        return run

    def write(self, destination, table, *rows, **more):
        destination.write(table, rows_of(table, *rows, **more))


class OnPostgres(Attempts):
    """In the test's database."""

    @pytest.fixture
    def configuration(self, database):
        return PostgresConfiguration.model_validate(destination_of(database))

    @pytest.fixture
    def select(self, query):
        return query


class OnBigQuery(Attempts):
    """On an emulator, which knows no concurrent transactions."""

    @pytest.fixture(scope="class")
    @classmethod
    def service_account(cls):
        """The key of a service account whose tokens a server on 127.0.0.1 gives."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                content = json.dumps({"access_token": "any", "token_type": "Bearer", "expires_in": 3600}).encode()
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
            thread = threading.Thread(target=running.serve_forever, args=(0.02,))
            thread.start()
            yield {
                "type": "service_account",
                "client_email": "sync@project.example",
                "private_key": key.decode(),
                "token_uri": f"http://127.0.0.1:{running.server_port}/token",
            }
            running.shutdown()
            thread.join()

    @pytest.fixture
    def configuration(self, bigquery_emulator, service_account, monkeypatch):
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_emulator)
        # Google would be asked where the account may be used from.
        asks = "_is_regional_access_boundary_lookup_required"
        monkeypatch.setattr(CredentialsWithRegionalAccessBoundary, asks, lambda _: False)
        return BigQueryConfiguration(
            destinationType="bigquery",
            # A project is this emulator's database.
            project_id=f"project-{uuid.uuid4().hex[:12]}",
            dataset_id="raw",
            dataset_location="EU",
            credentials_json=json.dumps(service_account),
        )

    @pytest.fixture
    def client(self, configuration):
        """Another client of the same project."""
        with open_destination(configuration, sync_id=0)._project.client as client:
            yield client

    @pytest.fixture
    def select(self, client):
        return lambda sql: [row.values() for row in client.query(sql, job_retry=None).result(job_retry=None)]
