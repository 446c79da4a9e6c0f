"""Every case of docs/bad-input.md, through the tasks that load and check the data.

One Airbyte service and one warehouse serve all cases; tests/e2e/test_bad_input.py runs four cases on a whole stack.
"""

import json
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from airbyte_testing import ROOT, Service, service_environment
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow_testing import TaskInstance, execute
from bad_input import (
    CASES,
    DOCS,
    LET_THROUGH,
    LOAD_PROJECTS,
    PROJECTS,
    TAGS,
    UNKNOWN,
    UNTAGGED,
    URL_CASES,
    good_files,
    serving,
)

from airbyte_declaration.applications import described
from pipeline.syncs import SyncOperator
from pipeline.validation import validate
from tests.airflow.conftest import airflow_connection
from tests.conftest import application_config, warehouse_env

DECLARATION = ROOT / "airbyte" / "connections.yaml"
RAW = {PROJECTS: "id, created_on, title, description", TAGS: "id, tag"}


@pytest.fixture(scope="module")
def service(database, folder, tmp_path_factory):
    """The Airbyte service of all cases."""
    home = tmp_path_factory.mktemp("airbyte")
    with started(service_environment(database, home), home, folder, warehouse_env(database)) as service:
        yield service


@pytest.fixture
def rows(postgres, database):
    """Function that returns the rows of a file's raw table."""
    return lambda file: postgres.psql(database, f"select {RAW[file]} from raw.{file.removesuffix('.csv')} order by 1")


@pytest.fixture(scope="module")
def loaded(service, folder):
    """The good files are loaded and pass: the XComs of the tasks."""
    return load_good_files(service, folder)


@contextmanager
def started(environment, home, folder, warehouse, overlays=()):
    """An Airbyte service on the files in `folder`; the settings and Airflow's connection point to it.

    `warehouse` has the variables of the warehouse that the checkpoints read.
    """
    own = {"MLOPS_AIRBYTE__CONNECTIONS": str(DECLARATION), "MLOPS_SOURCE": str(folder)}
    service = Service({**environment, **own}, home)
    service.overlays, service.applications = overlays, described([application_config(source="${MLOPS_SOURCE}")])
    service.start()
    variables = {"MLOPS_VAR": str(home / "var"), "NO_PROXY": "127.0.0.1", **warehouse}
    variables["AIRFLOW_CONN_AIRBYTE_DEFAULT"] = airflow_connection(service)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield service
    service.end(signal.SIGTERM)
    service.client.close()


def load_good_files(service, folder):
    """Load the good files, which pass; returns the XComs of the tasks by file."""
    for name, content in good_files().items():
        (folder / name).write_bytes(content)
    xcoms = {}
    for file in (PROJECTS, TAGS):
        failed, error, xcoms[file] = run(service, file)
        assert failed is None, error
    return xcoms


def run(service, file):
    """Run the tasks of a file until one fails: its id (None: none failed), its exception and its XComs."""
    name = file.removesuffix(".csv")
    connection_id = service.connection_id(name)
    load = SyncOperator(task_id=f"extract_and_load_{name}", connection_id=connection_id, wait_seconds=0.05)
    for task in (load, validate(name)):
        instance = TaskInstance()
        try:
            execute(task, instance)
        except AirflowException as error:
            return task.task_id, error, instance.pushed
    return None, None, instance.pushed


def test_the_table_in_the_docs_has_exactly_these_cases():
    rows = re.findall(r"^\| (.+?) \|", DOCS.read_text(), re.MULTILINE)
    tested = [*(case.name for case in [*CASES, *URL_CASES]), *LET_THROUGH]
    assert sorted(row for row in rows if row not in ("input", "---")) == sorted(tested)


def test_a_run_that_names_another_source_loads_from_there_alone(loaded, service, folder, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_SOURCE", str(folder))
    before = rows(TAGS)
    (tmp_path / TAGS).write_text("id,tag\n7,mlops\n8,mlops\n")

    def load(**params):
        task = SyncOperator(task_id="load", connection_id=service.connection_id("tags"), wait_seconds=0.05)
        return task.execute({"ti": TaskInstance(), "params": params})

    names = {each["name"] for each in service.client.get("/connections").json()["data"]}
    for _ in range(2):
        load(source=f"{tmp_path}/")
        assert rows(TAGS) == [["7", "mlops"], ["8", "mlops"]]
    added = {each["name"] for each in service.client.get("/connections").json()["data"]} - names
    assert [name.startswith("tags from ") for name in added] == [True]
    load(source=None)
    assert rows(TAGS) == before


def test_a_run_cannot_name_another_source_where_no_file_is_below_the_declared_one(loaded, service, monkeypatch):
    monkeypatch.setenv("MLOPS_SOURCE", "/elsewhere")
    task = SyncOperator(task_id="load", connection_id=service.connection_id("tags"), wait_seconds=0.05)
    with pytest.raises(AirflowFailException, match="has no files below /elsewhere"):
        task.execute({"ti": TaskInstance(), "params": {"source": "/other"}})


def test_input_that_is_let_through_is_loaded_and_passes(loaded, postgres, database):
    ids = postgres.psql(database, "select id from raw.projects")
    # The byte-order mark is not part of a column's name, and the blank line is not a row.
    assert len(ids) == 321
    assert postgres.psql(database, f"select title from raw.projects where id = {UNTAGGED}") == [["Without a tag"]]
    assert postgres.psql(database, f"select tag from raw.tags where id = {UNKNOWN}") == [["mlops"]]
    assert loaded[PROJECTS]["report"]["rows_out"] == 321


def check_bad_file(case, service, folder, rows):
    """Assert that the tasks of a case stop where it says, with its message; `rows` gives the rows of a raw table."""
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
            assert xcoms["report"]["note"] == str(error).partition("\n")[0]
        else:
            assert xcoms["report"]["checks"]["failed"]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_bad_file_stops_at_its_task_without_a_retry(case, service, folder, loaded, rows):
    check_bad_file(case, service, folder, rows)


@pytest.fixture(scope="module")
def server(service):
    """A server that is the source."""
    folder = service.environment["MLOPS_SOURCE"]
    with serving() as server:
        service.environment["MLOPS_SOURCE"] = server.url
        service.apply(DECLARATION)
        yield server
    service.environment["MLOPS_SOURCE"] = folder
    service.apply(DECLARATION)


@pytest.mark.parametrize("case", URL_CASES, ids=[case.name for case in URL_CASES])
def test_a_bad_url_stops_at_its_task_and_is_retried_if_that_can_help(case, service, loaded, server, rows):
    server.behaviour, before = case.behaviour, rows(PROJECTS)
    failed, error, xcoms = run(service, PROJECTS)
    assert failed == LOAD_PROJECTS
    assert type(error) is (AirflowException if case.is_retried else AirflowFailException)
    assert f"http://{server.address}{case.text}" in str(error)
    assert rows(PROJECTS) == before
    # The password is neither in the message nor in what the task or the service wrote.
    log = Path(xcoms["report"]["links"]["Airbyte's log"]).read_text()
    for text in (str(error), json.dumps(xcoms), service.log.read_text(), log):
        assert "s3cret" not in text
