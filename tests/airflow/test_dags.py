"""The graphs, as Airflow reads them."""

import socket
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
        "transform": {"validate_transforms"},
        "validate_transforms": {"publish"},
        "publish": set(),
    },
    "mlops": {
        "extract_data": {"validate"},
        "validate": {"optimize"},
        "optimize": {"train"},
        "train": {"evaluate"},
        "evaluate": {"promote"},
        "promote": {"predict"},
        "predict": set(),
    },
}
OWNERS = {"dataops": "data", "mlops": "machine-learning"}
GATES = {"dataops": {"validate_projects", "validate_tags", "validate_transforms"}, "mlops": {"validate"}}


def load(name):
    """The graph of a DAG file, read by Airflow's own loader."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS / f"{name}.py"), bundle_path=DAGS)
    assert bag.import_errors == {}
    assert list(bag.dags) == [name]
    return bag.dags[name]


@pytest.fixture(params=GRAPHS)
def dag(request, monkeypatch):
    """A graph, imported where no connection to anything can be made."""

    def refuse(*_):
        raise AssertionError("importing a DAG file opened a connection")

    import airflow.sdk  # noqa: F401 - Airflow's own start-up is not what is watched

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return load(request.param)


def test_the_graph_is_the_documented_one(dag):
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == GRAPHS[dag.dag_id]


def test_what_can_pass_by_itself_is_tried_again_and_gates_are_not(dag):
    for task in dag.tasks:
        assert task.retries == (0 if task.task_id in GATES[dag.dag_id] else 2), task.task_id


def test_every_task_has_the_owner_of_its_graph_and_a_time_limit(dag):
    assert {task.owner for task in dag.tasks} == {OWNERS[dag.dag_id]}
    assert all(task.execution_timeout for task in dag.tasks)


def test_the_graph_explains_itself_and_one_run_goes_at_a_time(dag):
    assert len(dag.doc_md) > 200
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_publishing_is_what_starts_mlops():
    from airflow.sdk import Asset

    outlets = {task.task_id: task.outlets for task in load("dataops").tasks if task.outlets}
    assert outlets == {"publish": [Asset("labeled_projects")]}
    assert load("mlops").timetable.asset_condition.objects == (Asset("labeled_projects"),)


def test_the_schedule_of_dataops_is_a_setting(monkeypatch, tmp_path):
    config = yaml.safe_load((DAGS.parents[1] / "config" / "base.yaml").read_text())
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("MLOPS_CONFIG", str(path))
    for schedule in ("15 4 * * *", None):
        path.write_text(yaml.safe_dump(config | {"dataops_schedule": schedule}))
        assert load("dataops").schedule == schedule


def test_the_study_is_mapped_over_as_many_workers_as_set(monkeypatch, tmp_path):
    config = yaml.safe_load((DAGS.parents[1] / "config" / "base.yaml").read_text())
    config["search"]["workers"] = 3
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("MLOPS_CONFIG", str(path))
    commands = load("mlops").get_task("optimize").expand_input.value["command"]
    assert [command[-1] for command in commands] == ["0", "1", "2"]
