"""The tests of BigQuery's stand-in on another one; only the former shows the facts of `DIFFERENCES`."""

import pytest
from second_opinion import bigquery_server, known_difference, nothing_remains

# ruff: noqa: F401, F403 - the same tests, and fixtures
from tests.emulators.test_bigquery_copies import *
from tests.emulators.test_bigquery_jobs import *
from tests.emulators.test_bigquery_loads import *
from tests.emulators.test_bigquery_read_api import *
from tests.emulators.test_bigquery_remaining import *
from tests.emulators.test_bigquery_statements import *
from tests.emulators.test_bigquery_texts import *
from tests.emulators.test_bigquery_transactions import *

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_remains")]

COPIES = "copies lose modes of columns, partitioning, clustering and labels"
BYTES = "no bytes: they are 0, and limits have no effect"
REQUIRED = "loads lose the modes of columns, so a null passes in a required one"
LOCATION = "every location is US"
DDL = "DDL passes inside of a transaction"
DIFFERENCES = {
    "test_a_copy_has_schema_layout_and_labels": COPIES,
    "test_a_statement_copies": COPIES,
    "test_several_sources_make_one_table": "sources with other columns pass",
    "test_a_dry_run_says_columns_and_bytes_and_finds_errors": BYTES,
    "test_bytes_billed_are_ten_megabytes_at_least_and_limited": BYTES,
    "test_a_job_runs_where_its_request_says": LOCATION,
    "test_a_new_dataset_has_the_location_and_the_labels_of_its_options": LOCATION,
    "test_a_table_is_made_with_schema_partitioning_clustering_and_labels": REQUIRED,
    "test_a_load_that_fails_leaves_the_table_as_it_was": REQUIRED,
    "test_one_partition_is_replaced_and_takes_no_rows_of_others": "makes a table with the name `t$20261128`",
    "test_a_parquet_column_of_another_type_is_refused": "text passes into a column of integers",
    "test_json_lines_have_no_unknown_fields": "unknown fields pass",
    "test_a_session_reads_the_table_as_it_was_at_its_start": "a session of the Storage Read API is no snapshot",
    "test_two_source_rows_for_one_row_are_refused"
    "[update data.t t set text = s.text from data.s s where t.id = s.id]": "passes for UPDATE; MERGE is refused",
    r"test_escapes_are_the_characters_that_they_name['\\\\u00a0'-\\u00a0]": "takes the second backslash for an escape",
    "test_what_no_transaction_allows_is_refused"
    "[begin transaction; create table data.u as select 1 as id; commit transaction;]": DDL,
    "test_what_no_transaction_allows_is_refused[begin transaction; drop table data.t; commit transaction;]": DDL,
}


@pytest.fixture(autouse=True)
def endless(request):
    """Skips tests that wait for the end of a query's time."""
    if request.node.originalname in (
        "test_a_job_ends_when_its_time_is_up",
        "test_health_and_tokens_answer_while_a_query_runs",
    ):
        pytest.skip("no time-outs of jobs there: the query would not end")
