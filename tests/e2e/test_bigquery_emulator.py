"""The whole stack on the emulators of BigQuery and Cloud Storage, compared with the run on PostgreSQL."""

import csv
import os
import subprocess
import sys
from urllib.parse import quote

import httpx
import pytest
import sql_analysis
from bad_input import CASES, VALIDATE_PROJECTS, good_files

from stack import warehouses
from stack.errors import StackError
from stack.settings import ROOT
from tests.e2e.conftest import SEARCH, Instance
from tests.e2e.smoke_run import SmokeRun

pytestmark = pytest.mark.xdist_group("instance")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The source of both runs: the files of the run on PostgreSQL."""
    folder = tmp_path_factory.mktemp("good")
    for name, content in good_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def statements(tmp_path_factory):
    """File of the queries that the emulator receives."""
    return tmp_path_factory.mktemp("received") / "statements.jsonl"


@pytest.fixture(scope="module")
def emulated(tmp_path_factory, statements):
    """An instance of the place bigquery-emulator."""
    instance = Instance(tmp_path_factory.mktemp("emulated"), place="bigquery-emulator", search=SEARCH | {"trials": 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_STATEMENTS", str(statements))
        yield instance
        instance.make("down")


@pytest.fixture(scope="module")
def run(emulated, good):
    """Its finished `make run`."""
    return emulated.make("run", SOURCE=good)


@pytest.fixture(scope="module")
def compared(instance, first_run, emulated, run):
    """The finished `make diff-places` of the run on PostgreSQL and the emulated one."""
    sides = ["--a", "embedded", "--a-var", instance.var, "--b", "bigquery-emulator", "--b-var", emulated.var]
    command = [sys.executable, "-m", "stack", "diff-places", *sides]
    environment = os.environ | {"PYTHONPATH": "airflow/dags:airbyte"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_both_graphs_succeed_and_leave_no_process(run, emulated):
    assert run.returncode == 0, run.stdout
    facts = emulated.summary()
    assert (facts["place"], facts["state"]) == ("bigquery-emulator", "success")
    assert all(one["evaluated"] == one["successful"] > 0 for one in facts["expectations"].values())
    assert emulated.processes() == []


def test_dag_files_packages_and_every_table_are_those_of_the_run_on_postgresql(compared):
    assert compared.returncode == 0, compared.stdout + compared.stderr
    lines = compared.stdout.splitlines()
    assert "✓ the same DAG files and packages" in lines
    columns = {
        "projects": "id, created_on, title, description",
        "tags": "id, tag",
        "labeled_projects": "id, created_on, title, description, tag",
        "projects_to_predict": "id, title, description, is_labeled",
        "predictions": "id, tag, probability",
    }
    for table, compared_columns in columns.items():
        (line,) = [line for line in lines if line.startswith(f"✓ {table}: ")]
        assert line.endswith(f"rows, equal in {compared_columns}")
        assert not line.startswith(f"✓ {table}: 0 rows")


def test_the_summary_shows_the_bytes_billed(run, emulated):
    billed = emulated.summary()["bytes_billed"]
    assert billed > 0
    assert f"bytes billed  {billed:,}" in run.stdout


def test_snapshots_models_predictions_and_validations_are_in_the_bucket(run, emulated):
    with emulated.services("postgres"):
        bucket = f"{emulated.settings().url('storage')}/storage/v1/b/emulated/o"
        found = httpx.get(bucket, params={"prefix": "artifacts/"}, timeout=60).raise_for_status().json()["items"]
    folders = {each["name"].split("/")[1] for each in found}
    assert {"snapshots", "models", "predictions", "great_expectations"} <= folders
    assert not (emulated.var / "artifacts" / "snapshots").exists()


def test_datasets_and_tables_have_our_label(run, emulated):
    with emulated.services("postgres"):
        project = f"{emulated.settings().url('bigquery')}/bigquery/v2/projects/emulated/datasets"
        names = [each["datasetReference"]["datasetId"] for each in httpx.get(project).json()["datasets"]]
        labels = {name: httpx.get(f"{project}/{quote(name)}").json().get("labels", {}) for name in names}
    assert {"raw", "staging", "candidate", "marts"} <= set(names)
    assert {name for name, each in labels.items() if each.get("app") != "mlops"} == set()


@pytest.fixture(scope="module")
def smoke(run, emulated, tmp_path_factory):
    """The instance on which a smoke run has succeeded; `before` is what others read before it."""
    done = emulated.make("up")
    assert done.returncode == 0, done.stdout
    smoke = SmokeRun(emulated.settings(), tmp_path_factory.mktemp("smoke"))
    smoke.before = smoke.others_read()
    smoke.apply_declaration()
    smoke.wait_for_import(lambda path: (ROOT / "airflow" / path).read_text(), limit=60)
    smoke.start()
    return smoke


def test_a_smoke_run_of_both_graphs_succeeds_in_datasets_a_model_and_a_folder_of_its_own(smoke):
    with (ROOT / "data" / "sample" / "projects.csv").open(newline="") as file:
        rows = len(list(csv.DictReader(file)))
    warehouse = warehouses.warehouse(smoke.settings)
    counts = {table: warehouse.count(f"smoke_{table}") for table in smoke.settings.tables["published"].values()}
    assert counts["marts.predictions"] == rows
    assert all(counts.values()), counts
    assert "champion" in smoke.aliases("smoke_tagifai")
    bucket = f"{smoke.settings.url('storage')}/storage/v1/b/emulated/o"
    found = httpx.get(bucket, params={"prefix": "artifacts/smoke/"}, timeout=60).raise_for_status().json()["items"]
    assert {"snapshots", "models", "predictions"} <= {each["name"].split("/")[2] for each in found}


def test_a_smoke_run_changes_nothing_that_others_read_and_starts_no_other_run(smoke):
    tables, aliases, runs = smoke.before
    assert smoke.others_read() == (tables, aliases, runs + 1)


def test_a_deploy_waits_while_airflow_has_other_dag_files(smoke):
    with pytest.raises(StackError, match="Airflow has not read dataops, mlops within 0 s"):
        smoke.wait_for_import(lambda path: "# other files", limit=0)


@pytest.mark.slow
def test_bad_rows_stop_at_the_same_gate_with_the_same_message_and_consumers_read_what_they_read(
    run, emulated, tmp_path
):
    def published():
        with emulated.services("postgres"):
            found = warehouses.warehouse(emulated.settings())
            return {name: found.digest(table) for name, table in emulated.settings().tables["published"].items()}

    before = published()
    (case,) = [case for case in CASES if case.name == "null titles"]
    case.write(tmp_path)
    done = emulated.make("run", SOURCE=tmp_path)
    facts = emulated.summary()
    assert done.returncode != 0
    assert facts["error"].startswith(f"dataops.{VALIDATE_PROJECTS}: "), facts["error"]
    assert [text for text in case.texts if text not in facts["error"] and "file://" not in text] == []
    assert published() == before


@pytest.mark.slow
def test_a_second_run_on_the_same_data_builds_again_and_reuses_study_and_champion(run, emulated, good):
    done = emulated.make("run", SOURCE=good)
    assert done.returncode == 0, done.stdout
    facts = emulated.summary()
    assert facts["study"]["reused"] is True
    assert facts["gate"]["decision"] == "kept"
    assert facts["tables"]["predictions"] == facts["tables"]["projects"]


def test_googles_analyser_accepts_every_query(run, statements):
    received = statements.read_text()
    # dbt's models and tests, the checkpoints, the Airbyte destination, ours.
    assert [each for each in ("dbt-build", "GROUP BY", "begin transaction", "merge into") if each not in received] == []
    assert [str(each) for each in sql_analysis.refused(statements)] == []
