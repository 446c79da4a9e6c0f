"""The other UIs in Airflow's navigation, and the links of tasks to what they produced."""

import json
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time.xcom import XCom

from pipeline.commands import dbt, tagifai, tagifai_mapped
from pipeline.runners.operator import CommandOperator
from pipeline.syncs import extract_and_load
from pipeline.validation import validate

PLUGINS = Path(__file__).resolve().parents[2] / "airflow" / "plugins"
UIS = {"MLFLOW": "http://localhost:5000/", "AIRBYTE": "https://airbyte.test", "DOCS": "http://localhost:8082"}
PAGE = "validations/projects/__none__/20261121T210000.000000Z/warehouse-projects.html"
VALIDATION = {
    "success": False,
    "validation_results": [{"result_url": f"http://localhost:8082/data-docs/{PAGE}"}],
}
MADE = {"experiment": "1", "run": "0a1b", "model": "a model", "version": "3"}


@pytest.fixture
def uis(monkeypatch):
    """The addresses of all other UIs are set."""
    for name, url in UIS.items():
        monkeypatch.setenv(f"MLOPS_LINKS__{name}", url)


@pytest.fixture
def views(monkeypatch):
    """Function that loads the plugin as Airflow does and returns its views by name."""
    from airflow import plugins_manager, settings

    def read():
        monkeypatch.setattr(settings, "PLUGINS_FOLDER", str(PLUGINS))
        monkeypatch.setattr(sys, "path", [*sys.path])
        plugins_manager._get_plugins.cache_clear()
        plugins, errors = plugins_manager._get_plugins()
        plugins_manager._get_plugins.cache_clear()
        assert errors == {}
        return {view["name"]: view for plugin in plugins for view in plugin.external_views}

    return read


@pytest.fixture
def link(monkeypatch):
    """Function that returns a task's link by its name, after the task has returned `result`."""

    def ask(operator, name, result=None):
        def get_value(*, ti_key, key):
            assert (ti_key, key) == ("the task", "return_value")
            return result

        monkeypatch.setattr(XCom, "get_value", get_value)
        found = {each.name: each for each in operator.operator_extra_links}
        return found[name].get_link(operator, ti_key="the task")

    return ask


def test_the_navigation_has_the_uis_whose_addresses_are_set(views, uis):
    assert {name: view["href"] for name, view in views().items()} == {
        "MLflow": "http://localhost:5000/#/experiments?workflowType=machine_learning",
        "Data docs": "http://localhost:8082/data-docs/",
        "dbt docs": "http://localhost:8082/dbt-docs/",
        "Airbyte": "https://airbyte.test",
    }


def test_uis_with_a_login_open_in_a_new_tab_and_the_docs_inside_airflow(views, uis):
    assert {name: view.get("url_route") for name, view in views().items()} == {
        "MLflow": None,
        "Data docs": "data-docs",
        "dbt docs": "dbt-docs",
        "Airbyte": None,
    }


def test_without_addresses_there_are_neither_views_nor_links(views, link):
    assert views() == {}
    for operator in (validate("projects"), dbt("build", task_id="transform"), tagifai("promote"), started_sync()):
        for each in operator.operator_extra_links:
            assert link(operator, each.name, VALIDATION | {"mlflow": MADE}) == ""


def started_sync():
    """A sync whose job was submitted."""
    operator = extract_and_load("projects")
    operator.job_id = 7
    return operator


def test_a_sync_links_its_job_s_log_once_it_is_submitted(uis, link):
    assert link(started_sync(), "Sync log") == "https://airbyte.test/jobs/7/log"
    assert link(extract_and_load("projects"), "Sync log") == ""


def test_a_checkpoint_links_its_validation_result_in_the_data_docs(uis, link):
    assert link(validate("projects"), "Validation result", VALIDATION) == f"http://localhost:8082/data-docs/{PAGE}"
    # A checkpoint that could not run has no result.
    assert link(validate("projects"), "Validation result") == ""


def test_tasks_that_run_dbt_link_its_docs_even_if_they_fail(uis, link):
    for verb in ("build", "publish"):
        assert link(dbt(verb, task_id=verb), "dbt docs") == "http://localhost:8082/dbt-docs/tagifai/"
    assert link(tagifai("train"), "dbt docs") == ""


@pytest.mark.parametrize(
    ("made", "run", "model"),
    [
        (
            MADE,
            "http://localhost:5000/#/experiments/1/runs/0a1b?workflowType=machine_learning",
            "http://localhost:5000/#/models/a%20model/versions/3?workflowType=machine_learning",
        ),
        ({"model": "tagifai"}, "", "http://localhost:5000/#/models/tagifai?workflowType=machine_learning"),
        ({}, "", ""),
    ],
)
def test_a_command_links_the_mlflow_run_and_model_in_its_result(uis, link, made, run, model):
    result = {"rows": 3, "mlflow": made} if made else {"rows": 3}
    assert link(tagifai("promote"), "MLflow run", result) == run
    assert link(tagifai("promote"), "MLflow model", result) == model


def test_a_failed_command_has_no_result_and_no_link_to_mlflow(uis, link):
    assert link(tagifai("promote"), "MLflow run") == link(tagifai("promote"), "MLflow model") == ""


@pytest.mark.parametrize("make", [lambda: tagifai("promote"), lambda: tagifai_mapped("optimize", "--worker", over=[0])])
def test_the_serialized_dag_has_the_links_of_each_task_including_mapped_ones(make):
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("graph", schedule=None) as dag:
        make()
    (task,) = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).tasks
    assert task.extra_links == ["MLflow model", "MLflow run", "dbt docs"]
    assert {each.xcom_key for each in CommandOperator.operator_extra_links} == {
        each.xcom_key for each in task.operator_extra_links
    }
