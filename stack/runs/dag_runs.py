"""A run of a DAG: its tasks in the graph's order, with their times and reports."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stack.runs import reports
from stack.runs.airflow_api import AirflowApi
from stack.runs.reports import Report


@dataclass(frozen=True)
class Task:
    """A task of a run: ids of the tasks directly upstream, and its instances, of a mapped one several, with reports.

    The instances are as Airflow's REST API has them: map_index, state, start_date, end_date, try_number, ...
    """

    upstream: list[str]
    instances: list[dict[str, Any]]
    reports: list[Report]

    @property
    def state(self) -> str | None:
        """`success` if all instances have it, else the first other state; None: not scheduled yet."""
        return next((each["state"] for each in self.instances if each["state"] != "success"), "success")


@dataclass(frozen=True)
class DagRun:
    """A run of a DAG, with its tasks by id in the graph's order.

    The facts are as Airflow's REST API has them: state, start_date, end_date, run_type, note, ...
    """

    dag_id: str
    run_id: str
    facts: dict[str, Any]
    tasks: dict[str, Task]

    @property
    def instances(self) -> list[dict[str, Any]]:
        """Those of all tasks."""
        return [each for task in self.tasks.values() for each in task.instances]

    def reports(self) -> list[tuple[dict[str, Any], Report]]:
        """Each task instance with its report."""
        return [each for task in self.tasks.values() for each in zip(task.instances, task.reports, strict=True)]


def read(api: AirflowApi, dag_id: str, run_id: str) -> DagRun:
    """Read a run and the reports of its tasks."""
    upstream = api.upstream_tasks(dag_id)
    order = {task_id: place for place, task_id in enumerate(upstream)}
    instances = api.task_instances(dag_id, run_id)
    # A task that the graph no longer has comes last.
    instances.sort(key=lambda each: (order.get(each["task_id"], len(order)), each["map_index"]))
    tasks: dict[str, Task] = {}
    for each in instances:
        task = tasks.setdefault(each["task_id"], Task(upstream.get(each["task_id"], []), [], []))
        key = dag_id, run_id, each["task_id"], each["map_index"]
        task.instances.append(each)
        task.reports.append(reports.read(api.result(*key, key="report") if began(each) else None))
    return DagRun(dag_id, run_id, api.run(dag_id, run_id), tasks)


def began(instance: dict[str, Any]) -> bool:
    """Whether a task instance ever ran; Airflow gives a start and an end to those that it passes over, too."""
    return instance["start_date"] is not None and instance["state"] not in ("upstream_failed", "skipped", "removed")


def name(instance: dict[str, Any]) -> str:
    """Id of the task, with the index of a mapped one."""
    index = instance["map_index"]
    return instance["task_id"] if index < 0 else f"{instance['task_id']}[{index}]"


def seconds(group: list[dict[str, Any]]) -> float | None:
    """Wall-clock seconds from the first start to the last end of task instances or runs; None: not ended."""
    starts = [datetime.fromisoformat(each["start_date"]) for each in group if each["start_date"]]
    ends = [datetime.fromisoformat(each["end_date"]) for each in group if each["end_date"]]
    return round((max(ends) - min(starts)).total_seconds(), 2) if starts and ends else None


def log_file(var: Path, instance: dict[str, Any]) -> Path:
    """Where Airflow writes the log of a try of a task instance."""
    parts = [f"dag_id={instance['dag_id']}", f"run_id={instance['dag_run_id']}", f"task_id={instance['task_id']}"]
    parts += [f"map_index={instance['map_index']}"] if instance["map_index"] >= 0 else []
    return var.joinpath("logs", "airflow", *parts, f"attempt={instance['try_number']}.log")


def error(api: AirflowApi, instance: dict[str, Any]) -> str:
    """The last error in the log of a try of a task instance."""
    try_ = instance["try_number"], instance["map_index"]
    errors = api.errors(instance["dag_id"], instance["dag_run_id"], instance["task_id"], *try_)
    return errors[-1] if errors else "failed without an error message: see its log"
