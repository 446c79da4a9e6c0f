"""Smoke runs: what of a task differs, and that nobody else sees them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG
from jinja2 import StrictUndefined, Template

from pipeline import parameters
from pipeline.runners import environment
from pipeline.settings import Settings
from pipeline.syncs import extract_and_load

DAGS = Path(__file__).resolve().parents[2] / "airflow" / "dags"
BIGQUERY = {"type": "bigquery", "project": "ours", "location": "EU", "prefix": "staging_"}
BIGQUERY |= {"maximum_bytes_billed": "1", "job_timeout": "1"}


@pytest.fixture
def on_bigquery(monkeypatch):
    """Settings of a place on BigQuery, in the environment of this test alone."""
    for name in ("MLOPS_APPLICATION", "MLOPS_MODEL__NAME", "MLOPS_SEARCH__TRIALS"):
        # Restored at the end, whatever the code sets.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    for name, value in BIGQUERY.items():
        monkeypatch.setenv(f"MLOPS_WAREHOUSE__{name.upper()}", value)
    monkeypatch.setenv("MLOPS_ARTIFACTS", "gs://ours/mlops")


def enter(context):
    parameters.enter(context, application="tagifai")


def context_of(conf, outlets=("an asset",)):
    return {"dag_run": SimpleNamespace(conf=conf), "task": SimpleNamespace(outlets=list(outlets)), "params": {}}


@pytest.mark.parametrize("conf", [None, {}, {"smoke": False}])
def test_other_runs_keep_their_settings_and_their_asset_events(on_bigquery, conf):
    before, context = Settings(), context_of(conf)
    enter(context)
    assert (Settings(), context["task"].outlets) == (before, ["an asset"])


def test_a_smoke_run_has_datasets_a_model_and_a_folder_of_its_own(on_bigquery):
    enter(context_of({"smoke": True}))
    settings = Settings()
    assert settings.warehouse.prefix == "staging_smoke_"
    assert (settings.model.name, settings.artifacts) == ("smoke_tagifai", "gs://ours/mlops/smoke")
    plain, _ = environment.variables()
    assert plain["MLOPS_WAREHOUSE__PREFIX"] == "staging_smoke_", "the commands in pods have the same"
    assert plain["MLOPS_MODEL__NAME"] == "smoke_tagifai"


def test_a_command_in_a_pod_has_each_setting_of_the_warehouse_for_dbt():
    warehouse = {"type": "bigquery", "project": "ours", "job_timeout": 600, "labels": {"a": "b"}, "keyfile": None}
    plain, _ = environment.variables({}, {"warehouse": warehouse})
    named = {name: value for name, value in plain.items() if name.startswith("MLOPS_WAREHOUSE__")}
    assert named == {
        "MLOPS_WAREHOUSE__TYPE": "bigquery",
        "MLOPS_WAREHOUSE__PROJECT": "ours",
        "MLOPS_WAREHOUSE__JOB_TIMEOUT": "600",
        "MLOPS_WAREHOUSE__LABELS": '{"a": "b"}',
    }


def test_entering_twice_in_one_process_is_entering_once(on_bigquery):
    for _ in range(2):
        enter(context_of({"smoke": True}))
    assert Settings().warehouse.prefix == "staging_smoke_"
    assert Settings().artifacts == "gs://ours/mlops/smoke"


def test_a_smoke_run_causes_no_asset_event(on_bigquery):
    context = context_of({"smoke": True})
    enter(context)
    assert context["task"].outlets == []


def test_a_smoke_run_on_another_warehouse_fails_at_once(monkeypatch):
    postgres = {"type": "postgres", "host": "h", "port": "1", "database": "d", "user": "u", "password": "p"}
    for name, value in postgres.items():
        monkeypatch.setenv(f"MLOPS_WAREHOUSE__{name.upper()}", value)
    monkeypatch.setenv("MLOPS_APPLICATION", "tagifai")
    with pytest.raises(AirflowFailException, match="needs datasets of its own"):
        enter(context_of({"smoke": True}))


@pytest.mark.parametrize("name", ["dataops", "mlops"])
def test_every_task_of_the_graphs_enters_the_smoke_run(name):
    from airflow.dag_processing.dagbag import DagBag

    for task in DagBag(str(DAGS / f"{name}.py"), bundle_path=DAGS).dags[name].tasks:
        arguments = getattr(task, "partial_kwargs", None)
        entered = arguments["pre_execute"] if arguments else task._pre_execute_hook
        assert (entered.func, entered.keywords) == (parameters.enter, {"application": "tagifai"}), task.task_id


@pytest.mark.parametrize(("conf", "found"), [(None, "1"), ({}, "1"), ({"smoke": True}, "2")])
def test_a_smoke_run_syncs_connections_of_its_own(conf, found):
    with DAG("any"):
        template = extract_and_load("projects").connection_id
    ids = {"projects": "1", "smoke projects": "2"}
    values = {"var": {"json": {"airbyte_connections": ids}}, "dag_run": SimpleNamespace(conf=conf)}
    assert Template(template, undefined=StrictUndefined).render(values) == found
