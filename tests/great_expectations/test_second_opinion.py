"""The checkpoints on another stand-in for BigQuery."""

import pytest
from second_opinion import bigquery_server, known_difference

# ruff: noqa: F401, F403 - the same tests, and fixtures
from tests.great_expectations.test_bigquery import *

pytestmark = pytest.mark.slow

DIFFERENCES = {
    f"test_bad_rows_fail_their_expectation_and_the_message_shows_them[{case}]": (
        "the test's own `update … set` of a JSON column is refused as a comparison"
    )
    for case in ("projects-15", "projects-16", "tags-27")
} | {
    "test_a_query_that_would_read_too_much_is_refused_and_not_retried_as_bad_data": "limits of bytes have no effect",
}
