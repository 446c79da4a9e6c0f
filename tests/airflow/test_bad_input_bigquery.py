"""The bad files of docs/bad-input.md with BigQuery as the warehouse: the same gates, the same messages."""

import signal

import pytest
import yaml
from airbyte_testing import ROOT, Service, service_environment
from airflow.sdk.exceptions import AirflowFailException
from bad_input import CASES, PROJECTS, TAGS, good_files

from tests.airflow.conftest import airflow_connection
from tests.airflow.test_bad_input import RAW, run

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
def folder(tmp_path_factory):
    """The source folder."""
    return tmp_path_factory.mktemp("source")


@pytest.fixture(scope="module")
def service(postgres, project, folder, tmp_path_factory):
    """The Airbyte service that loads into BigQuery; the settings and the Airflow connection point to both."""
    home = tmp_path_factory.mktemp("airbyte")
    (destination,) = yaml.safe_load(OVERLAY.read_text())["destinations"]
    declared = yaml.safe_load((ROOT / "airbyte" / "connections.yaml").read_text()) | {"destinations": [destination]}
    (home / "connections.yaml").write_text(yaml.safe_dump(declared))
    given = service_environment(postgres.database(), home)
    given = {name: value for name, value in given.items() if not name.startswith("MLOPS_WAREHOUSE")}
    given |= {**project.environment, "MLOPS_SOURCE": str(folder)}
    service = Service({**given, "MLOPS_AIRBYTE__CONNECTIONS": str(home / "connections.yaml")}, home).start()
    variables = {"MLOPS_VAR": str(home / "var"), "NO_PROXY": "127.0.0.1", **project.environment}
    variables["AIRFLOW_CONN_AIRBYTE_DEFAULT"] = airflow_connection(service)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield service
    service.end(signal.SIGTERM)
    service.client.close()


@pytest.fixture(scope="module")
def loaded(service, folder):
    """The good files are loaded and pass."""
    for name, content in good_files().items():
        (folder / name).write_bytes(content)
    for file in (PROJECTS, TAGS):
        failed, error, _ = run(service, file)
        assert failed is None, error


@pytest.mark.parametrize(
    "case",
    [pytest.param(each, id=each.name, marks=() if each.name in QUICK else pytest.mark.slow) for each in CASES],
)
def test_a_bad_file_stops_at_the_same_task_with_the_same_message(case, service, project, folder, loaded):
    def rows(file):
        return project.sql(f"select {RAW[file]} from raw.{file.removesuffix('.csv')} order by 1")

    case.write(folder)
    for file, task in zip(case.files, case.tasks, strict=True):
        before = rows(file)
        failed, error, xcoms = run(service, file)
        assert failed == task, error
        assert type(error) is AirflowFailException
        assert [text for text in case.texts if text not in str(error)] == [], error
        assert xcoms["report"]["rows_out"] == 0
        if task.startswith("extract"):
            # Nothing was loaded.
            assert rows(file) == before
