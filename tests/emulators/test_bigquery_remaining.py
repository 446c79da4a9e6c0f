"""What BigQuery does and its corrected stand-in does not; local-bigquery does, see test_second_opinion.py."""

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud.bigquery import QueryJobConfig

# ruff: noqa: F401 - a fixture
from second_opinion import known_difference

from tests.emulators.test_bigquery_jobs import ENDLESS

ANALYSER = "passes; Google's analyser refuses it"
DIFFERENCES = {
    "test_a_query_does_not_wait_for_a_long_one": "one request at a time",
    "test_a_table_is_read_as_it_was": "no time travel: the present rows, without an error",
    "test_a_merge_inserts_whole_rows": "INSERT ROW is a syntax error",
    "test_a_partition_filter_that_a_table_requires_is_required": "the option is kept, and has no effect",
    "test_a_column_becomes_no_type_that_bigquery_does_not_allow": ANALYSER,
    "test_truth_is_no_number": ANALYSER,
}


def test_a_query_does_not_wait_for_a_long_one(client, sql):
    job = client.query(ENDLESS, job_config=QueryJobConfig(job_timeout_ms=2000))
    assert sql("select 1") == [(1,)]
    job.reload()
    state = job.state
    # One that comes too early has no effect.
    while not job.done(retry=None):
        job.cancel()
    assert state == "RUNNING"


def test_a_table_is_read_as_it_was(sql):
    """https://cloud.google.com/bigquery/docs/access-historical-data."""
    sql("create table data.t (id int64)")
    sql("insert into data.t values (1)")
    ((moment,),) = sql("select string(current_timestamp())")
    sql("update data.t set id = 2 where true")
    assert sql(f"select id from data.t for system_time as of timestamp '{moment}'") == [(1,)]
    assert sql("select id from data.t") == [(2,)]


def test_a_merge_inserts_whole_rows(sql):
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement."""
    sql("create table data.t (id int64, text string)")
    sql("create table data.s as select 1 as id, 'x' as text")
    sql("merge data.t t using data.s s on t.id = s.id when not matched then insert row")
    assert sql("select * from data.t") == [(1, "x")]


def test_a_partition_filter_that_a_table_requires_is_required(sql):
    """https://cloud.google.com/bigquery/docs/querying-partitioned-tables#require-partition-filter."""
    sql("create table data.t (day date, id int64) partition by day options (require_partition_filter = true)")
    sql("insert into data.t values (date '2026-11-28', 1)")
    assert sql("select id from data.t where day = date '2026-11-28'") == [(1,)]
    with pytest.raises(BadRequest, match="without a filter over column"):
        sql("select id from data.t")


def test_a_column_becomes_no_type_that_bigquery_does_not_allow(client, sql):
    """...data-definition-language#alter_column_set_data_type_statement has the list."""
    sql("create table data.t (id int64)")
    with pytest.raises(BadRequest):
        sql("alter table data.t alter column id set data type string")
    assert client.get_table("data.t").schema[0].field_type == "INTEGER"


def test_truth_is_no_number(sql):
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules."""
    with pytest.raises(BadRequest):
        sql("select true = 1")
