"""Load jobs: https://cloud.google.com/bigquery/docs/loading-data."""

import datetime
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud.bigquery import LoadJobConfig, SchemaField, TimePartitioning

TRUNCATE, APPEND, EMPTY = "WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY"
DAY = datetime.date


@pytest.fixture
def load(client):
    """Loads columns as a Parquet file, or a text of another format; the job, which has ended well."""

    def run(columns, table="data.t", **settings):
        if isinstance(columns, str):
            file = io.BytesIO(columns.encode())
        else:
            file = io.BytesIO()
            pq.write_table(pa.table(columns), file)
            settings["source_format"] = "PARQUET"
        config = LoadJobConfig(**settings)
        job = client.load_table_from_file(file, table, rewind=True, job_config=config, num_retries=0)
        return job.result(retry=None)

    return run


def test_parquet_is_read_by_the_names_of_columns(load, sql):
    """https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_schemas."""
    load({"first": ["1"], "second": ["2"]})
    load({"second": ["b"], "first": ["a"]})
    load({"second": ["only"]})
    assert sql("select first, second from data.t order by first") == [(None, "only"), ("1", "2"), ("a", "b")]


def test_a_table_is_made_with_schema_partitioning_clustering_and_labels(load, client):
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload."""
    load(
        {"id": [1], "day": [DAY(2026, 1, 2)], "price": [1.5]},
        schema=[SchemaField("id", "INT64", "REQUIRED"), SchemaField("day", "DATE"), SchemaField("price", "FLOAT64")],
        time_partitioning=TimePartitioning(type_="MONTH", field="day"),
        clustering_fields=["id"],
        destination_table_description="described",
    )
    table = client.get_table("data.t")
    assert [(field.name, field.field_type, field.mode) for field in table.schema] == [
        ("id", "INTEGER", "REQUIRED"),
        ("day", "DATE", "NULLABLE"),
        ("price", "FLOAT", "NULLABLE"),
    ]
    assert (table.time_partitioning.field, table.time_partitioning.type_) == ("day", "MONTH")
    assert (table.clustering_fields, table.description, table.num_rows) == (["id"], "described", 1)


@pytest.mark.parametrize("how", [TRUNCATE, APPEND])
def test_a_load_that_fails_leaves_the_table_as_it_was(load, sql, client, how):
    """https://cloud.google.com/bigquery/docs/batch-loading-data: load jobs are atomic."""
    load({"id": [1, 2]}, schema=[SchemaField("id", "INT64", "REQUIRED")])
    before = client.get_table("data.t").to_api_repr()["schema"]
    required = {"write_disposition": how, "schema": [SchemaField("id", "INT64", "REQUIRED")]}
    with pytest.raises(BadRequest):
        load("1\nno number\n", source_format="CSV", **required)
    with pytest.raises(BadRequest):
        load({"id": pa.array([3, None], pa.int64())}, **required)
    assert sql("select id from data.t order by id") == [(1,), (2,)]
    assert client.get_table("data.t").to_api_repr()["schema"] == before


def test_truncating_replaces_rows_and_schema(load, client, sql):
    load({"id": [1], "old": ["x"]})
    load({"id": ["text"]}, write_disposition=TRUNCATE)
    assert sql("select * from data.t") == [("text",)]
    assert [field.name for field in client.get_table("data.t").schema] == ["id"]


def test_truncating_keeps_the_partitioning(load, client):
    partitioning = TimePartitioning(field="day")
    load({"day": [DAY(2026, 1, 2)]}, time_partitioning=partitioning)
    load({"day": [DAY(2026, 1, 3)]}, write_disposition=TRUNCATE)
    assert client.get_table("data.t").time_partitioning.field == "day"


def test_a_table_that_must_be_empty_is_not_overwritten(load, sql):
    load({"id": [1]})
    with pytest.raises(Conflict):
        load({"id": [2]}, write_disposition=EMPTY)
    assert sql("select id from data.t") == [(1,)]


def test_columns_are_added_only_if_the_job_allows_it(load, sql):
    """https://cloud.google.com/bigquery/docs/managing-table-schemas#add_column_in_a_load_append_job."""
    load({"id": [1]})
    with pytest.raises(BadRequest, match="Cannot add fields"):
        load({"id": [2], "more": ["x"]}, write_disposition=APPEND)
    load({"id": [2], "more": ["x"]}, write_disposition=APPEND, schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert sql("select id, more from data.t order by id") == [(1, None), (2, "x")]


def test_one_partition_is_replaced_and_takes_no_rows_of_others(load, sql):
    """https://cloud.google.com/bigquery/docs/managing-partitioned-table-data#write-to-partition."""
    days = [DAY(2026, 11, 27), DAY(2026, 11, 28)]
    load({"id": [1, 2], "day": days}, time_partitioning=TimePartitioning(field="day"))
    load({"id": [3], "day": days[1:]}, "data.t$20261128", write_disposition=TRUNCATE)
    with pytest.raises(BadRequest, match="different partitions"):
        load({"id": [4], "day": days[:1]}, "data.t$20261128", write_disposition=TRUNCATE)
    assert sql("select id from data.t order by id") == [(1,), (3,)]


def test_a_parquet_column_of_another_type_is_refused(load, sql):
    """https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions."""
    load({"id": [1]})
    with pytest.raises(BadRequest, match="does not match"):
        load({"id": ["1"]}, write_disposition=APPEND)


def test_csv_options_count(load, sql):
    """https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv#csv-options."""
    schema = [SchemaField("id", "INT64"), SchemaField("text", "STRING")]
    load(
        "1;'a;b'\n2;NONE\n",
        source_format="CSV",
        schema=schema,
        field_delimiter=";",
        quote_character="'",
        null_marker="NONE",
    )
    load("id,text\n3,x\n", source_format="CSV", skip_leading_rows=1, write_disposition=APPEND)
    assert sql("select * from data.t order by id") == [(1, "a;b"), (2, None), (3, "x")]


def test_json_lines_have_no_unknown_fields(load, sql):
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/Job (ignoreUnknownValues)."""
    schema = [SchemaField("id", "INT64"), SchemaField("doc", "JSON"), SchemaField("tags", "STRING", "REPEATED")]
    lines = {"source_format": "NEWLINE_DELIMITED_JSON", "schema": schema}
    load('{"id": 1, "doc": {"a": [1]}, "tags": ["x", "y"]}\n', **lines)
    with pytest.raises(BadRequest, match="No such field: more"):
        load('{"id": 2, "more": 1}\n', **lines)
    load('{"id": 3, "more": 1}\n', ignore_unknown_values=True, **lines)
    assert sql("select id, tags from data.t order by id") == [(1, ["x", "y"]), (3, [])]
    assert sql("select json_value(doc, '$.a[0]') from data.t where id = 1") == [("1",)]


def test_a_missing_dataset_and_a_table_that_may_not_be_made_are_not_found(load):
    with pytest.raises(NotFound):
        load({"id": [1]}, "missing.t")
    with pytest.raises(NotFound):
        load({"id": [1]}, create_disposition="CREATE_NEVER")
