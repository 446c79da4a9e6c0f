"""Check what a run has left behind, through the services' own APIs."""

from collections.abc import Iterator
from typing import Any

import httpx

from devtools.instance import Instance, running
from devtools.torture import example
from devtools.torture.runs import named
from stack.embedded.supervision import Stack
from stack.runs.airflow_api import AirflowApi
from stack.settings import Settings

SERVICES = ("postgres", "mlflow", "airflow-api-server")
# Processes that no run leaves behind, even where the services stay up.
ENDING = ("connector", "command", "launcher")


def faults(instance: Instance) -> list[str]:
    """What a run has left wrong; starts the services that it asks where they are not up."""
    processes = instance.processes()
    if Stack(instance.settings).is_up():
        processes = [process for name in ENDING for process in named(name, processes)]
    left = [" ".join(each.info["cmdline"] or [each.info["name"]]) for each in processes]
    found = [f"left running: {'; '.join(left)}"] if left else []
    with running(instance.settings, *SERVICES):
        return [*found, *_model(instance), *_runs(instance.settings)]


def _model(instance: Instance) -> Iterator[str]:
    """Check that there is one champion, and that tables and registry are right."""
    settings, name = instance.settings, instance.settings.config["model"]["name"]
    versions = _mlflow(settings, "model-versions/search", filter=f"name = '{name}'").get("model_versions", [])
    alias = _mlflow(settings, "registered-models/alias", name=name, alias="champion")
    champion = alias.get("model_version", {}).get("version", "")
    ready = [each["version"] for each in versions if each["status"] == "READY"]
    if champion not in ready:
        yield f"the champion {champion or 'is missing'} is not among the versions {ready}"
    yield from example.faults(settings.database("warehouse"), instance.source, versions, champion)


def _runs(settings: Settings) -> Iterator[str]:
    """Check that no DAG run is left unfinished."""
    api = AirflowApi.of(settings)
    for dag_id in (settings.dataops, settings.mlops):
        runs = api.last_runs(dag_id, limit=100)
        if found := [run["dag_run_id"] for run in runs if run["state"] in ("running", "queued")]:
            yield f"unfinished runs of {dag_id}: {', '.join(found)}"


def _mlflow(settings: Settings, path: str, **params: str) -> dict[str, Any]:
    """Answer of MLflow's REST API; an object that does not exist is an answer without its key."""
    url = f"{settings.url('mlflow')}/api/2.0/mlflow/{path}"
    answer = httpx.get(url, params=params, timeout=60, trust_env=False)
    return {} if answer.status_code == httpx.codes.NOT_FOUND else answer.raise_for_status().json()
