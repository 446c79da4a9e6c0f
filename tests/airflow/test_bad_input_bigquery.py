"""The bad files of docs/bad-input.md with BigQuery as the warehouse: the same gates, the same messages."""

import pytest
from airbyte_testing import ROOT, service_environment
from bad_input import CASES

from tests.airflow.test_bad_input import RAW, check_bad_file, load_good_files, started

OVERLAY = ROOT / "airbyte" / "connections.bigquery.yaml"
# What only a query of the warehouse finds; the others are slow, since a checkpoint asks a dozen questions.
QUICK = ("duplicate ids", "an invalid date", "blank titles")


@pytest.fixture(scope="module")
def project(make_project):
    """The project of all cases; its datasets have no prefix, so messages name the same tables."""
    project = make_project()
    project.settings["prefix"] = ""
    return project


@pytest.fixture(scope="module")
def service(postgres, project, folder, tmp_path_factory):
    """The Airbyte service that loads into BigQuery."""
    home = tmp_path_factory.mktemp("airbyte")
    given = service_environment(postgres.database(), home)
    given = {name: value for name, value in given.items() if not name.startswith("MLOPS_WAREHOUSE")}
    given |= project.environment
    with started(given, home, folder, project.environment, overlays=[OVERLAY]) as service:
        yield service


@pytest.fixture(scope="module")
def loaded(service, folder):
    """The good files are loaded and pass."""
    load_good_files(service, folder)


@pytest.mark.parametrize(
    "case",
    [pytest.param(each, id=each.name, marks=() if each.name in QUICK else pytest.mark.slow) for each in CASES],
)
def test_a_bad_file_stops_at_the_same_task_with_the_same_message(case, service, project, folder, loaded):
    def rows(file):
        return project.sql(f"select {RAW[file]} from raw.{file.removesuffix('.csv')} order by 1")

    check_bad_file(case, service, folder, rows)
