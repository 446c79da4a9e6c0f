"""The main job: trigger dataops, follow it and the mlops run that its asset event starts, and collect the results."""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from rich.console import Console

from stack import airbyte
from stack.errors import StackError
from stack.place import BasePlace
from stack.runs import dag_runs, summary
from stack.runs.airflow_api import AirflowApi
from stack.settings import Settings

# States of which a line is printed.
TOLD = ("success", "failed", "upstream_failed", "skipped", "removed", "up_for_retry")
MARKS = {"success": "[green]✓[/]", "failed": "[red]✗[/]", "upstream_failed": "[dim]-[/]", "skipped": "[dim]-[/]"}
# Seconds between two polls of a run; seconds to wait for what should happen at once.
POLL = 0.3
PATIENCE = 60
# Bytes of free disk space below which a run stops.
ROOM = 10_000_000


def connect(settings: Settings) -> AirflowApi:
    """Log in to Airflow once it has read both DAGs, create the declared Airbyte connections, give Airflow their ids.

    Raises:
        StackError: a DAG file cannot be imported or is not found.
        ConfigError, DeclarationError, AirbyteError: the declaration is wrong, or Airbyte rejects it.
    """
    api = AirflowApi.of(settings)
    # An error of an earlier start is listed until its file has been read again.
    if not _wait_for(lambda: not api.import_errors() and api.has_dag(settings.dataops) and api.has_dag(settings.mlops)):
        why = "; ".join(api.import_errors()) or f"see {settings.var}/logs/airflow-dag-processor.log"
        raise StackError(f"Airflow has not read its DAG files: {why}")
    api.set_variable("airbyte_connections", json.dumps(airbyte.apply(settings)))
    return api


def run_graphs(place: BasePlace, facts: dict[str, Any], console: Console, *, settings: Settings | None = None) -> None:
    """Run dataops and the mlops run that it starts, print their progress and add their results to the facts.

    Args:
        place: where all services run; the late ones may still be starting.
        facts: the summary; filled in as far as the runs get.
        console: where progress is printed.
        settings: for the Airbyte connections; None: the place's own.

    Raises:
        StackError: a run failed or cannot go on, or a DAG is paused.
    """
    settings = settings or place.settings
    api, dags = connect(settings), (settings.dataops, settings.mlops)
    if not place.stays:
        # Nobody else starts runs, so unfinished ones were interrupted.
        for dag_id in dags:
            api.end_unfinished_runs(dag_id)
    for dag_id in dags:
        if api.is_paused(dag_id):
            page = f"{'' if place.stays else 'make up, then '}{place.settings.link('airflow')}/dags/{dag_id}"
            raise StackError(f"{dag_id} is paused: unpause it in Airflow ({page}) and run again")
    run_id = api.trigger(settings.dataops, note=f"make run, source {facts['source']}")
    for dag_id in dags:
        try:
            state = follow(place, api, dag_id, run_id, console)
        except BaseException:
            # Collect only what is available at once.
            api.patience = 0
            with suppress(httpx.HTTPError, StackError):
                _gather(place, api, dag_id, run_id, facts)
            raise
        run = _gather(place, api, dag_id, run_id, facts)
        if state != "success":
            failed = [each for each in run.instances if each["state"] == "failed"]
            if not failed:
                raise StackError(f"{dag_id} was set to {state} in Airflow although no task failed: run again")
            first = min(failed, key=lambda each: each["end_date"])
            facts["log"] = place.log(first)
            raise StackError(f"{dag_id}.{dag_runs.name(first)}: {dag_runs.error(api, first)}")
        if dag_id == settings.dataops:
            run_id = triggered_run(api, settings, run_id)
            place.wait_until_ready()
    facts["state"] = "success"


def _gather(place: BasePlace, api: AirflowApi, dag_id: str, run_id: str, facts: dict[str, Any]) -> dag_runs.DagRun:
    """Add a run to the summary's facts, and return it."""
    run = dag_runs.read(api, dag_id, run_id)
    summary.add(facts, run, place.settings)
    return run


def follow(place: BasePlace, api: AirflowApi, dag_id: str, run_id: str, console: Console) -> str:
    """Print a line for each task that ends, until the run has ended; returns the run's state."""
    told: set[tuple] = set()
    with console.status(dag_id) as status:
        while True:
            if shutil.disk_usage(place.settings.var).free < ROOM:
                raise StackError(f"the disk of {place.settings.var} is full: free some space and run again")
            if not place.states():
                raise StackError("the supervisor of the services has ended: run again")
            if errors := api.import_errors():
                # Airflow schedules nothing for a DAG that it cannot import.
                raise StackError(f"a DAG file can no longer be imported, fix it and run again: {'; '.join(errors)}")
            run = api.run(dag_id, run_id)
            instances = api.task_instances(dag_id, run_id)
            for each in sorted(instances, key=lambda each: each["end_date"] or ""):
                key = (each["task_id"], each["map_index"], each["try_number"], each["state"])
                if key not in told and each["state"] in TOLD:
                    told.add(key)
                    console.print(_line(each), highlight=False)
            if run["state"] in ("success", "failed"):
                return run["state"]
            running = (dag_runs.name(each) for each in instances if each["state"] == "running")
            status.update(f"{dag_id}: {', '.join(running) or 'scheduling'}")
            time.sleep(POLL)


def triggered_run(api: AirflowApi, settings: Settings, run_id: str) -> str:
    """Id of the mlops run that the asset event of this dataops run started; a StackError if it started none."""
    dataops, mlops = settings.dataops, settings.mlops
    runs = _wait_for(lambda: [run for dag, run in api.runs_started_by(dataops, run_id) if dag == mlops])
    if not runs:
        raise StackError(f"the asset event of {dataops} run {run_id} started no {mlops} run; is {mlops} paused?")
    return runs[0]


def _wait_for(look: Callable[[], Any]) -> Any:
    """Poll until `look` returns something true; returns that, or the last answer after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := look()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return answer


def _line(instance: dict[str, Any]) -> str:
    mark = MARKS.get(instance["state"], "[yellow]↻[/]")
    told = {"success": "", "up_for_retry": "failed, will be retried", "upstream_failed": "not run"}
    note = told.get(instance["state"], instance["state"])
    seconds = f"{instance['duration']:7.1f} s" if instance["duration"] else " " * 9
    return f"  {mark} {instance['dag_id'] + '.' + dag_runs.name(instance):38}{seconds}  {note}".rstrip()
