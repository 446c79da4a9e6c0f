"""The destination's tables, load jobs and transactions on another stand-in for BigQuery."""

import pytest
from second_opinion import bigquery_server, known_difference, nothing_remains

# ruff: noqa: F401 - the same tests, and fixtures
from tests.airbyte.test_deletes import TestBigQuery as TestDeletes
from tests.airbyte.test_destination import TestBigQuery as TestDestination
from tests.airbyte.test_table_types import TestBigQuery as TestTypes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_remains")]

NULL = "`set column = null` of MERGE is a syntax error there; of UPDATE it is none"
DIFFERENCES = {
    "test_a_new_column_is_added_and_a_removed_one_stays_null": NULL,
    "test_a_column_of_the_user_stays_as_it_is_and_one_that_the_stream_drops_becomes_null": NULL,
    "test_a_connection_that_is_made_again_knows_the_columns_of_the_one_before": NULL,
    "test_a_table_of_airbyte_is_taken_over": "a NUMERIC column cannot become BIGNUMERIC, which has 38 digits there",
}
