"""Google's clients on the stand-ins."""

import uuid

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.conftest import bigquery as bigquery_stand_in


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory):
    """The BigQuery of this test session; its queries are no part of the product, and some have to be refused."""
    with bigquery_stand_in(tmp_path_factory.mktemp("bigquery")) as server:
        yield server


@pytest.fixture
def client(bigquery_server):
    """A client of a project of its own, with the dataset `data`."""
    options = {"api_endpoint": bigquery_server["url"]}
    project = f"project-{uuid.uuid4().hex[:12]}"
    with bigquery.Client(project, AnonymousCredentials(), client_options=options) as client:
        client.create_dataset("data")
        yield client


@pytest.fixture
def sql(client):
    """Runs a statement or script as a job; its rows as tuples."""

    def run(text, **settings):
        job = client.query(text, job_config=bigquery.QueryJobConfig(**settings), retry=None, job_retry=None)
        return [row.values() for row in job.result(retry=None, job_retry=None)]

    return run
