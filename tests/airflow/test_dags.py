"""The DAGs as Airflow loads them."""

import os
import socket
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT, application_config

DAGS = ROOT / "airflow" / "dags"
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
# A second application, with one source file.
TICKETS = {
    "application": "tickets",
    "namespace": "tickets",
    "source": "data",
    "sources": {"tickets": {"file": "tickets.csv", "columns": {"Headline Text": "text", "Thema": "text"}}},
    "columns": {"id": None, "texts": ["Headline Text"], "label": "Thema"},
    "search": {"workers": 3},
    "model": {"name": "tickets"},
}
TICKETS_GRAPHS = {
    "dataops_tickets": {
        "extract_and_load_tickets": {"validate_tickets"},
        "validate_tickets": {"transform"},
        "transform": {"validate_transforms", "validate_tickets_to_predict"},
        "validate_transforms": {"publish"},
        "validate_tickets_to_predict": {"publish"},
        "publish": set(),
    },
    "mlops_tickets": GRAPHS["mlops"],
    "watch_tickets": GRAPHS["watch"],
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
    """Function that overrides settings of the example application."""
    path = tmp_path / "config.yaml"

    def override(**settings):
        path.write_text(yaml.safe_dump(application_config(**settings), sort_keys=False))
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


@pytest.fixture
def applications(monkeypatch, tmp_path, watched):
    """The example application and a second one."""
    files = {name: tmp_path / f"{name}.yaml" for name in ("base", "tagifai", "tickets")}
    base = yaml.safe_load((ROOT / "config" / "base.yaml").read_text()) | {"applications": ["tagifai", "tickets"]}
    files["base"].write_text(yaml.safe_dump(base, sort_keys=False))
    files["tagifai"].write_text((ROOT / "config" / "applications" / "tagifai.yaml").read_text())
    files["tickets"].write_text(yaml.safe_dump(TICKETS, sort_keys=False))
    monkeypatch.setenv("MLOPS_CONFIG", f"{files['base']}{os.pathsep}{tmp_path / '{application}.yaml'}")
    return files


def test_each_application_has_its_graphs(applications):
    graphs = {
        dag.dag_id: {task.task_id: task.downstream_task_ids for task in dag.tasks}
        for name in GRAPHS
        for dag in read(name).values()
    }
    assert graphs == GRAPHS | TICKETS_GRAPHS


def test_the_graphs_of_a_second_application_have_its_checkpoints_connections_assets_and_settings(applications):
    from airflow.sdk import Asset

    dataops, mlops = (read(name)[f"{name}_tickets"] for name in ("dataops", "mlops"))
    checkpoints = {task.task_id: task.checkpoint for task in dataops.tasks if hasattr(task, "checkpoint")}
    assert checkpoints == {
        "validate_tickets": "tickets",
        "validate_transforms": "labeled_tickets",
        "validate_tickets_to_predict": "tickets_to_predict",
    }
    assert "~ 'tickets_tickets']" in dataops.get_task("extract_and_load_tickets").connection_id
    assert dataops.get_task("publish").outlets == [Asset("tickets_labeled_tickets")]
    assert mlops.timetable.asset_condition.objects == (Asset("tickets_labeled_tickets"),)
    assert dataops.schedule.asset_condition.objects == (Asset("tickets_source"),)
    assert len(mlops.get_task("optimize").expand_input.value["command"]) == 3


def test_a_task_has_the_settings_of_its_application_whatever_is_first(applications, monkeypatch):
    from types import SimpleNamespace

    from pipeline.settings import Settings

    # Set back after the test.
    monkeypatch.setenv("MLOPS_APPLICATION", "tagifai")
    task = read("dataops")["dataops_tickets"].get_task("validate_tickets")
    task._pre_execute_hook({"dag_run": SimpleNamespace(conf=None), "task": task, "params": {}})
    assert (Settings().application, Settings().labeled) == ("tickets", "labeled_tickets")
    monkeypatch.delenv("MLOPS_APPLICATION")
    assert Settings().application == "tagifai"


def test_the_settings_of_an_application_are_over_when_its_graphs_are_made(applications):
    read("dataops")
    assert "MLOPS_APPLICATION" not in os.environ


def test_two_processes_make_the_same_of_a_file(applications):
    code = f"""
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag({str(DAGS / "dataops.py")!r}, bundle_path=Path({str(DAGS)!r}))
made = {{name: DagSerialization.to_dict(dag) for name, dag in bag.dags.items()}}
Path(sys.argv[1]).write_text(json.dumps(made, sort_keys=True))
"""
    environment, found = os.environ | {"PYTHONPATH": str(DAGS)}, []
    for number in range(2):
        file = applications["base"].with_name(f"{number}.json")
        subprocess.run([sys.executable, "-c", code, file], env=environment, check=True, capture_output=True)
        found.append(file.read_text())
    assert found[0] == found[1]
    # Of an object in memory.
    assert " at 0x" not in found[0]


def test_the_search_is_mapped_over_the_configured_number_of_workers(configure):
    configure(search={"workers": 3})
    commands = load("mlops").get_task("optimize").expand_input.value["command"]
    assert [command[-1] for command in commands] == ["0", "1", "2"]
