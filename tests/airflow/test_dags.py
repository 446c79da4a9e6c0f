"""The DAGs as Airflow loads them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DAGS = Path(__file__).resolve().parents[2] / "airflow" / "dags"
GRAPHS = {
    "dataops": {
        "extract_and_load_projects": {"validate_projects"},
        "extract_and_load_tags": {"validate_tags"},
        "validate_projects": {"transform"},
        "validate_tags": {"transform"},
        "transform": {"validate_transforms", "validate_projects_to_predict"},
        "validate_transforms": {"publish"},
        "validate_projects_to_predict": {"publish"},
        "publish": set(),
    },
    "mlops": {
        "extract_data": {"validate"},
        "validate": {"optimize"},
        "optimize": {"train"},
        "train": {"evaluate"},
        "evaluate": {"promote"},
        "promote": {"predict"},
        "predict": {"validate_predictions"},
        "validate_predictions": {"publish_predictions"},
        "publish_predictions": set(),
    },
    "watch": {"wait_for_change": set()},
}
OWNERS = {"dataops": "data", "mlops": "machine-learning", "watch": "data"}


def read(name):
    """The DAGs of a file by id, loaded by Airflow's own loader."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS / f"{name}.py"), bundle_path=DAGS)
    assert bag.import_errors == {}
    return bag.dags


def load(name):
    """The only DAG of a file."""
    dags = read(name)
    assert list(dags) == [name]
    return dags[name]


@pytest.fixture
def configure(monkeypatch, tmp_path):
    """Function that overrides settings of config/base.yaml."""
    base = yaml.safe_load((DAGS.parents[1] / "config" / "base.yaml").read_text())
    path = tmp_path / "config.yaml"

    def override(**settings):
        path.write_text(yaml.safe_dump(base | settings))
        monkeypatch.setenv("MLOPS_CONFIG", str(path))

    return override


@pytest.fixture
def watched(monkeypatch):
    """The watch is switched on."""
    monkeypatch.setenv("MLOPS_WATCH__SECONDS", "60")


@pytest.fixture(params=GRAPHS)
def dag(request, monkeypatch, watched):
    """A DAG, loaded while every network connection is refused."""

    def refuse(*_):
        raise AssertionError("importing a DAG file opened a connection")

    import airflow.sdk  # noqa: F401 - Airflow's own start may connect

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return load(request.param)


def test_the_graph_is_the_documented_one(dag):
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == GRAPHS[dag.dag_id]


def test_every_task_has_two_retries_for_temporary_failures(dag):
    for task in dag.tasks:
        assert task.retries == 2, task.task_id


def test_every_task_has_its_dags_owner_and_a_timeout(dag):
    assert {task.owner for task in dag.tasks} == {OWNERS[dag.dag_id]}
    assert all(task.execution_timeout for task in dag.tasks)


def test_a_dag_has_documentation_and_one_active_run(dag):
    assert len(dag.doc_md) > 200
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_publishing_starts_mlops():
    from airflow.sdk import Asset

    outlets = {task.task_id: task.outlets for task in load("dataops").tasks if task.outlets}
    assert outlets == {"publish": [Asset("labeled_projects")]}
    assert load("mlops").timetable.asset_condition.objects == (Asset("labeled_projects"),)


def test_the_schedule_of_dataops_is_a_setting(configure):
    for schedule in ("15 4 * * *", None):
        configure(dataops_schedule=schedule)
        assert load("dataops").schedule == schedule


def test_a_change_of_the_source_starts_dataops_in_addition_to_the_schedule_or_instead_of_it(watched, configure):
    from airflow.sdk import Asset, AssetOrTimeSchedule

    schedule = load("dataops").schedule
    assert isinstance(schedule, AssetOrTimeSchedule)
    assert schedule.asset_condition.objects == (Asset("source"),)
    assert (schedule.timetable.expression, schedule.timetable.timezone) == ("0 3 * * *", "UTC")
    configure(dataops_schedule=None)
    assert load("dataops").schedule == [Asset("source")]


def test_the_watch_runs_continuously_and_updates_the_source(watched):
    from airflow.sdk import Asset

    watch = load("watch")
    assert watch.schedule == "@continuous"
    assert watch.get_task("wait_for_change").outlets == [Asset("source")]


def test_without_the_watch_there_is_no_watch_dag():
    assert read("watch") == {}


def test_loading_the_dags_imports_neither_great_expectations_nor_without_the_watch_its_modules():
    code = "import sys, dataops, mlops, watch; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(DAGS)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    imported = set(done.stdout.split())
    assert "great_expectations_provider" in imported
    assert not {"great_expectations", "pandas", "pipeline.gate", "pipeline.watch", "pipeline.source"} & imported


def test_the_search_is_mapped_over_the_configured_number_of_workers(configure):
    configure(search={"workers": 3})
    commands = load("mlops").get_task("optimize").expand_input.value["command"]
    assert [command[-1] for command in commands] == ["0", "1", "2"]
