"""`--statements FILE`: the queries that the stand-in for BigQuery received, for an analysis."""

import contextlib
import json
import subprocess

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.conftest import ENVIRONMENTS, ROOT


@pytest.fixture(scope="module")
def received(tmp_path_factory):
    """What the file has, without the field `project`, by SQL."""
    file = tmp_path_factory.mktemp("received") / "statements.jsonl"
    command = [ENVIRONMENTS / "emulators" / "bin" / "python", "-m", "emulators.bigquery", "--until-stdin-closes"]
    process = subprocess.Popen(
        [*command, "--statements", file], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    options = {"api_endpoint": json.loads(process.stdout.readline())["url"]}
    with bigquery.Client("a-project", AnonymousCredentials(), client_options=options) as client:
        client.create_dataset("data")
        client.create_table(bigquery.Table("a-project.data.other", [bigquery.SchemaField("b", "STRING")]))
        parameters = [bigquery.ScalarQueryParameter("least", "INT64", 1)]
        for sql, settings in {
            "create table data.numbers (a int64 not null)": {},
            "select a from numbers where a > @least": {
                "default_dataset": "a-project.data",
                "query_parameters": parameters,
            },
            "select missing from data.numbers": {},
            "select b from data.other": {"dry_run": True},
        }.items():
            with contextlib.suppress(GoogleAPICallError):
                client.query(sql, job_config=bigquery.QueryJobConfig(**settings), retry=None, job_retry=None).result()
    process.stdin.close()
    process.wait(timeout=60)
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert {entry.pop("project") for entry in entries} == {"a-project"}
    return {entry.pop("sql"): entry for entry in entries}


def test_a_query_is_written_with_its_default_dataset_types_of_parameters_and_tables(received):
    found = received["select a from numbers where a > @least"]
    assert found == {
        "dataset": "data",
        "parameters": [{"name": "least", "parameterType": {"type": "INT64"}}],
        "tables": {"data.numbers": [{"name": "a", "type": "INTEGER", "mode": "REQUIRED"}]},
        "error": None,
    }


def test_tables_are_as_they_were_before_the_query(received):
    assert received["create table data.numbers (a int64 not null)"]["tables"] == {}


def test_a_query_that_failed_has_its_error(received):
    assert "missing" in received["select missing from data.numbers"]["error"]


def test_dry_runs_are_written_too(received):
    found = received["select b from data.other"]
    assert (list(found["tables"]), found["error"]) == (["data.other"], None)
