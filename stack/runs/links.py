"""The links of a page under var/explain/."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from stack.place import BasePlace
from stack.runs import dag_runs

# What a report may name in place of a base URL.
SERVICES = ("airflow", "mlflow", "airbyte", "docs")


class Links:
    """Addresses for a browser, of the UIs and of files under `var`."""

    def __init__(self, place: BasePlace):
        self._place = place
        self.airflow, self.mlflow = map(place.settings.link, ("airflow", "mlflow"))

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
        return self.file(str(dag_runs.log_file(self._place.settings.var, instance)))

    def address(self, reported: str) -> str | None:
        """The address of a report's link: an http(s) URL, a file:// URL, an absolute path, or SERVICE:/PATH.

        None: it is of another kind, or no such file is under `var`.
        """
        service, _, path = reported.partition(":")
        if service in SERVICES and path.startswith("/"):
            return self._place.settings.link(service) + path
        if reported.startswith(("http://", "https://")):
            return reported
        return self.file(reported) if reported.startswith(("file://", "/")) else None

    def file(self, reported: str) -> str | None:
        """The address of a file or folder, given by its file:// URL or its path, absolute or under `var`.

        None: there is no such file under `var`, or a browser cannot reach it.
        """
        var = self._place.settings.var
        try:
            name = unquote(urlsplit(reported).path) if reported.startswith("file:") else reported
            path = Path(os.path.normpath(var / name))
            found = path.is_relative_to(var) and path.exists()
        except (OSError, ValueError):
            # Whatever a report gives may be no path at all.
            return None
        return self._place.file(path) if found else None
