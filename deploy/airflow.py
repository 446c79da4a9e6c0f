"""Airflow of an environment: the import of the DAGs, and the smoke runs of the graphs of each application."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any

import httpx
import yaml

from deploy.bundle import APPLICATIONS
from deploy.gcloud import Gcloud
from deploy.manifest import Manifest
from stack.errors import StackError
from stack.runs.airflow_api import PATIENCE as LONG_PATIENCE
from stack.runs.airflow_api import AirflowApi

# The DAG files of both graphs, and how the ids of their DAGs begin, in the order of their smoke runs.
GRAPHS = ("dataops", "mlops")
# Seconds between two looks, at first and at most.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10
# Seconds that a check waits for Airflow.
PATIENCE = 5
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def suffixes(configs: Iterable[dict[str, Any]]) -> list[str]:
    """What is behind the ids of the DAGs of each application."""
    return [f"_{namespace}" if (namespace := config.get("namespace")) else "" for config in configs]


def suffixes_of(manifest: Manifest, bundle: Callable[[str], str]) -> list[str]:
    """The same for the applications of a manifest; see `Airflow.wait_for_import`."""
    paths = [path for path in manifest.files if fnmatchcase(path, APPLICATIONS.format("*"))]
    # A bundle of an earlier version has one application.
    return suffixes(yaml.safe_load(bundle(path)) for path in paths) or [""]


class Airflow:
    """Airflow of an environment, asked with the caller's token."""

    def __init__(self, gcloud: Gcloud, url: str, token: str):
        """`token`: of the caller; a new one is asked for when it has expired."""
        self.url = url
        self._gcloud = gcloud
        self._api = AirflowApi(url, _GoogleToken(gcloud, token), trust_env="127.0.0.1" not in url)

    def check(self, suffixes: Sequence[str]) -> None:
        """Check that Airflow accepts this caller and that no DAG of the graphs is paused, as far as Airflow answers.

        Args:
            suffixes: what is behind the ids of the DAGs of each application.

        Raises:
            StackError: it refuses the caller, or one is paused.
        """
        self._api.patience = PATIENCE
        try:
            dags = [f"{name}{suffix}" for suffix in suffixes for name in GRAPHS]
            paused = [dag_id for dag_id in dags if self._api.has_dag(dag_id) and self._api.is_paused(dag_id)]
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _REFUSALS:
                raise StackError(
                    f"Airflow at {self.url} refuses the caller of gcloud: give the account the role Composer User, and"
                    " a role in Airflow"
                ) from None
            # What is deployed may be what stops it, so a deploy has to be able to replace that.
            self._gcloud.console.print(f"  Airflow at {self.url} does not answer", markup=False, highlight=False)
            return
        if paused:
            raise StackError(f"{paused[0]} is paused, so its smoke run would not start: unpause it in {self.url}")

    def wait_for_import(
        self, manifest: Manifest, bundle: Callable[[str], str], since: datetime, limit: float, progress: Callable
    ) -> None:
        """Wait until Airflow has read the DAG files of a manifest.

        Args:
            manifest: what is in the bucket.
            bundle: gives the content of one of its files.
            since: from when on it reads these files, and not the ones before.
            limit: seconds.
            progress: gets the seconds since the beginning and what is waited for.

        Raises:
            StackError: a file cannot be imported, or the time is over.
        """
        texts = {
            f"{name}{suffix}": bundle(f"dags/{name}.py")
            for suffix in suffixes_of(manifest, bundle)
            for name in GRAPHS
            if f"dags/{name}.py" in manifest.files
        }
        ours = [path for path in manifest.files if path.startswith("dags/")]
        self._api.patience = PATIENCE
        for seconds in _looks():
            try:
                self._check_imports(ours, since)
                waiting = [name for name, text in texts.items() if not self._has_read(name, text, since)]
            except httpx.HTTPError as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
                    raise
                # Its web server starts again when plugins have changed.
                waiting = list(texts)
            if not waiting:
                return
            progress(seconds, f"Airflow to import {', '.join(waiting)}")
            if seconds > limit:
                raise StackError(f"Airflow has not read {', '.join(waiting)} within {limit:g} s: look at {self.url}")

    def smoke(self, suffixes: Sequence[str], number: str, limit: float, progress: Callable) -> None:
        """Run both graphs of each application as smoke runs, or take up those of this number.

        Args:
            suffixes: what is behind the ids of the DAGs of each application.
            number: of this deploy.
            limit: seconds that both graphs of an application may take.
            progress: gets the seconds since the beginning and what is waited for.

        Raises:
            StackError: one failed or the time is over; the message names the task and its error.
        """
        self._api.patience = LONG_PATIENCE
        for suffix in suffixes:
            looks = _looks()
            for name in GRAPHS:
                self._smoke(f"{name}{suffix}", number, looks, limit, progress)

    def _smoke(self, dag_id: str, number: str, looks: Iterator[float], limit: float, progress: Callable) -> None:
        run_id = self._api.trigger(dag_id, "smoke run of a deploy", run_id=f"smoke__{number}", conf={"smoke": True})
        state = "queued"
        for seconds in looks:
            state = self._api.run(dag_id, run_id)["state"]
            if state in ("success", "failed"):
                break
            progress(seconds, f"the smoke run of {dag_id}, {state}")
            if seconds > limit:
                self._api.fail(dag_id, run_id)
                raise StackError(
                    f"the smoke run {run_id} of {dag_id} was {state} after {limit:g} s and was ended: look at"
                    f" {self.url}, or raise deploy.smoke.timeout"
                )
        if state == "failed":
            raise StackError(f"the smoke run {run_id} of {dag_id} failed: {self._reason(dag_id, run_id)}")

    def _check_imports(self, paths: list[str], since: datetime) -> None:
        for file, message, tried in self._api.failed_imports():
            # Relative to the DAGs' folder, or the path on Airflow's machine.
            if tried >= since and any(f"/dags/{file}".endswith(f"/{path}") for path in paths):
                raise StackError(f"Airflow cannot import {file}: {message}")

    def _has_read(self, dag_id: str, text: str, since: datetime) -> bool:
        return self._api.source(dag_id) == text and self._api.parsed(dag_id) >= since

    def _reason(self, dag_id: str, run_id: str) -> str:
        failed = [each for each in self._api.task_instances(dag_id, run_id) if each["state"] == "failed"]
        if not failed:
            return f"see {self.url}/dags/{dag_id}/runs/{run_id}"
        task = failed[0]
        errors = self._api.errors(dag_id, run_id, task["task_id"], task["try_number"], task["map_index"])
        return f"{task['task_id']}: {errors[-1] if errors else 'see its log'}"


def _looks() -> Iterator[float]:
    """The seconds since the first look, for each look; they come after growing pauses."""
    began, pause = time.monotonic(), FIRST_PAUSE
    while True:
        yield time.monotonic() - began
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


class _GoogleToken(httpx.Auth):
    """The token of gcloud's caller, asked for again when it has expired."""

    def __init__(self, gcloud: Gcloud, token: str):
        self._gcloud = gcloud
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self._token = self._gcloud.token()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request
