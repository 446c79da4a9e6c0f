"""The dbt project on another stand-in for BigQuery."""

import pytest
from second_opinion import bigquery_server, known_difference

# ruff: noqa: F401, F403 - the same tests, and fixtures
from tests.dbt_transforms.test_bigquery import *

pytestmark = pytest.mark.slow

DIFFERENCES = {
    "test_every_dataset_has_the_prefix_the_labels_and_the_location": "every location is US",
    "test_published_tables_have_the_partitions_clusters_and_labels_of_the_candidates[ada_marts]": (
        "copies lose partitioning, clustering and labels"
    ),
}
