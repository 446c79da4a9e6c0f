"""Where a page under var/explain/ finds the rest of what is known of a run."""

import os
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from stack.runs import dag_runs
from stack.settings import Settings


class Links:
    """Addresses for people: URLs of the UIs, and files by paths that hold wherever `var` is moved to."""

    def __init__(self, settings: Settings):
        self._var = settings.var
        self.airflow, self.mlflow, self.airbyte = map(settings.link, ("airflow", "mlflow", "airbyte"))

    def run(self, dag_id: str, run_id: str) -> str:
        """Airflow's page of a run."""
        return f"{self.airflow}/dags/{dag_id}/runs/{quote(run_id, safe=':+')}"

    def task(self, instance: dict[str, Any]) -> str:
        """Airflow's page of a try of a task instance."""
        mapped = f"/mapped/{instance['map_index']}" if instance["map_index"] >= 0 else ""
        task = f"{self.run(instance['dag_id'], instance['dag_run_id'])}/tasks/{instance['task_id']}{mapped}"
        return f"{task}?try_number={instance['try_number']}"

    def log(self, instance: dict[str, Any]) -> str | None:
        """The log of a try of a task instance; None: there is none."""
        return self.file(str(dag_runs.log_file(self._var, instance)))

    def version(self, name: str, version: str) -> str:
        """MLflow's page of a model version."""
        return f"{self.mlflow}/#/models/{quote(name)}/versions/{version}"

    def experiment(self, experiment_id: str) -> str:
        """MLflow's page of an experiment."""
        return f"{self.mlflow}/#/experiments/{experiment_id}"

    def experiment_run(self, experiment_id: str, run_id: str) -> str:
        """MLflow's page of a run of an experiment."""
        return f"{self.experiment(experiment_id)}/runs/{run_id}"

    def file(self, place: str) -> str | None:
        """A file or folder by its file:// URL or its path, under `var` or whole; None: it is not there any longer."""
        path = self._var / (unquote(urlsplit(place).path) if place.startswith("file:") else place)
        return quote(os.path.relpath(path, self._var / "explain")) if path.exists() else None
