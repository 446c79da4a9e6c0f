"""Jobs: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job."""

import threading
import urllib.request

import pytest
from google.api_core.exceptions import BadRequest, Conflict, GoogleAPICallError, NotFound
from google.cloud.bigquery import DatasetReference, QueryJobConfig

# Takes longer than any test waits, and can be interrupted.
ENDLESS = "select sum(a * b) from unnest(generate_array(1, 3000000)) a, unnest(generate_array(1, 3000000)) b"


@pytest.fixture
def query(client):
    """Begins a query job."""
    return lambda text, job_id=None, **settings: client.query(
        text, job_config=QueryJobConfig(**settings), job_id=job_id, retry=None, job_retry=None
    )


def test_a_job_id_runs_once(query, sql, client):
    """A client may repeat a request: https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid."""
    sql("create table data.t (id int64)")
    query("insert into data.t values (1)", job_id="once").result()
    with pytest.raises(Conflict):
        client._call_api(
            None,
            method="POST",
            path=f"/projects/{client.project}/jobs",
            data={
                "jobReference": {"jobId": "once"},
                "configuration": {"query": {"query": "insert into data.t values (2)", "useLegacySql": False}},
            },
        )
    assert sql("select id from data.t") == [(1,)]


@pytest.mark.parametrize(
    "text",
    [
        "drop table data.t",
        "insert into data.t values (2)",
        "create table data.u as select 1 as id",
        "insert into data.t values (2); insert into data.t values (3);",
        "alter table data.t rename to u",
        "create table data.u copy data.t",
        "create schema other",
        "truncate table data.t",
    ],
)
def test_a_dry_run_runs_nothing(query, sql, client, text):
    """https://cloud.google.com/bigquery/docs/running-queries#dry-run."""
    sql("create table data.t as select 1 as id")
    query(text, dry_run=True)
    assert sql("select id from data.t") == [(1,)]
    assert [table.table_id for table in client.list_tables("data")] == ["t"]
    assert [dataset.dataset_id for dataset in client.list_datasets()] == ["data"]


def test_a_dry_run_says_columns_and_bytes_and_finds_errors(query, sql):
    """Sizes: https://cloud.google.com/bigquery/docs/data-types-sizes."""
    sql("create table data.t as select 1 as id, 'abc' as text union all select 2, null")
    assert query("select id from data.t", dry_run=True).total_bytes_processed == 16
    everything = query("select * from data.t -- all", dry_run=True)
    assert everything.total_bytes_processed == 16 + 5
    assert [(field.name, field.field_type) for field in everything.schema] == [("id", "INTEGER"), ("text", "STRING")]
    for wrong in ("select missing from data.t", "insert into data.t (missing) values (1)"):
        with pytest.raises(BadRequest):
            query(wrong, dry_run=True)
    with pytest.raises(NotFound):
        query("select 1 from data.missing", dry_run=True)


def test_bytes_billed_are_ten_megabytes_at_least_and_limited(query, sql):
    """https://cloud.google.com/bigquery/docs/best-practices-costs#restrict-bytes-billed."""
    sql("create table data.t as select 1 as id")
    job = query("select id from data.t", maximum_bytes_billed=10 << 20)
    assert [row.id for row in job.result()] == [1]
    assert (job.total_bytes_processed, job.total_bytes_billed) == (8, 10 << 20)
    job = query("insert into data.t select id from data.t", maximum_bytes_billed=(10 << 20) - 1)
    with pytest.raises(GoogleAPICallError, match="Query exceeded limit for bytes billed"):
        job.result(retry=None)
    assert sql("select id from data.t") == [(1,)]


def test_settings_of_a_job_are_kept(query, client):
    query("select 1", job_id="kept", labels={"run": "r1"}, maximum_bytes_billed=1, job_timeout_ms=60000).result()
    job = client.get_job("kept")
    assert (job.labels, job.maximum_bytes_billed, int(job.configuration.job_timeout_ms)) == ({"run": "r1"}, 1, 60000)


def test_a_job_ends_when_its_time_is_up(query, sql):
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/Job (jobTimeoutMs)."""
    sql("create table data.t as select 1 as id")
    job = query(f"insert into data.t {ENDLESS}", job_timeout_ms=300)
    with pytest.raises(GoogleAPICallError, match="timed out"):
        job.result(retry=None)
    assert sql("select id from data.t") == [(1,)]


def test_health_and_tokens_answer_while_a_query_runs(query, bigquery_server):
    running = threading.Thread(target=lambda: query(ENDLESS, job_timeout_ms=3000))
    running.start()
    answers = []
    while running.is_alive():
        with urllib.request.urlopen(f"{bigquery_server['url']}/healthz", timeout=30) as answer:
            answers.append((answer.status, running.is_alive()))
    running.join()
    assert (200, True) in answers


def test_a_query_writes_its_destination(query, sql, client):
    """https://cloud.google.com/bigquery/docs/writing-results."""
    table = f"{client.project}.data.t"
    query("select 1 as id, json '{}' as doc", destination=table, clustering_fields=["id"]).result()
    assert [field.field_type for field in client.get_table(table).schema] == ["INTEGER", "JSON"]
    assert client.get_table(table).clustering_fields == ["id"]
    with pytest.raises(Conflict):
        query("select 2 as id", destination=table).result(retry=None)
    query("select 2 as id", destination=table, write_disposition="WRITE_APPEND").result()
    assert sql("select id from data.t order by id") == [(1,), (2,)]
    with pytest.raises(BadRequest, match="Cannot add fields"):
        query("select 3 as more", destination=table, write_disposition="WRITE_APPEND").result(retry=None)
    job = query("select 'x' as text", destination=table, write_disposition="WRITE_TRUNCATE")
    assert (next(iter(job.result())).text, job.destination.table_id) == ("x", "t")
    assert sql("select * from data.t") == [("x",)]


def test_a_direct_query_has_a_default_dataset_and_raises_its_error(client, sql):
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query."""
    sql("create table data.t as select 1 as id")
    config = QueryJobConfig(default_dataset=DatasetReference(client.project, "data"))
    options = {"job_config": config, "retry": None, "job_retry": None}
    assert [row.id for row in client.query_and_wait("select id from t", **options)] == [1]
    with pytest.raises(BadRequest):
        client.query_and_wait("select missing from t", **options)
    with pytest.raises(NotFound):
        client.query_and_wait("select 1 from missing", **options)


def test_a_job_runs_where_its_request_says(client):
    assert client.query("select 1", location="EU", job_id="there").location == "EU"
    assert client.get_job("there", location="EU").location == "EU"
