"""The part of Airflow's REST API that runs need."""

import time
from collections.abc import Generator
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import httpx

from stack.settings import Settings

# Seconds that a request waits for an api-server that restarts, and for an answer.
PATIENCE = 60
TIMEOUT = 20


class AirflowApi:
    """A client of Airflow, whose requests wait `patience` seconds for an api-server that restarts."""

    def __init__(self, url: str, auth: httpx.Auth, *, trust_env: bool = False):
        """`url`: of Airflow itself; `trust_env`: whether the caller's proxy is used."""
        self.patience: float = PATIENCE
        headers = {"Accept": "application/json"}
        self._http = httpx.Client(
            base_url=f"{url}/api/v2", auth=auth, headers=headers, timeout=TIMEOUT, trust_env=trust_env
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The client of an instance, logged in as its admin."""
        login = {"username": "admin", "password": settings.secrets["admin"]}
        url = settings.url("airflow")
        return cls(url, _Login(f"{url}/auth/token", login))

    def has_dag(self, dag_id: str) -> bool:
        """Whether Airflow has read the DAG's file."""
        return self._find(f"/dags/{dag_id}") is not None

    def is_paused(self, dag_id: str) -> bool:
        """Whether the DAG is paused: Airflow starts no run of it."""
        return self._get(f"/dags/{dag_id}")["is_paused"]

    def parsed(self, dag_id: str) -> datetime:
        """When Airflow last read the DAG's file."""
        return datetime.fromisoformat(self._get(f"/dags/{dag_id}")["last_parsed_time"])

    def source(self, dag_id: str) -> str | None:
        """The DAG's file as Airflow last read it; None: it has not."""
        found = self._find(f"/dagSources/{dag_id}")
        return found and found["content"]

    def import_errors(self) -> list[str]:
        """One message for each DAG file that cannot be imported."""
        return [f"{file}: {message}" for file, message, _ in self.failed_imports()]

    def failed_imports(self) -> list[tuple[str, str, datetime]]:
        """The DAG files that cannot be imported: file, message, and when Airflow last tried."""
        return [
            (each["filename"], each["stack_trace"].strip().splitlines()[-1], datetime.fromisoformat(each["timestamp"]))
            for each in self._get("/importErrors")["import_errors"]
        ]

    def set_variable(self, key: str, value: str) -> None:
        """Create or replace an Airflow Variable."""
        body = {"key": key, "value": value}
        if not self._ask("PATCH", f"/variables/{key}", HTTPStatus.NOT_FOUND, json=body).is_success:
            self._ask("POST", "/variables", HTTPStatus.CONFLICT, json=body)

    def end_unfinished_runs(self, dag_id: str) -> None:
        """Set interrupted runs to failed; otherwise their tasks would continue now."""
        for run in self._get(f"/dags/{dag_id}/dagRuns", state=["running", "queued"])["dag_runs"]:
            self.fail(dag_id, run["dag_run_id"])

    def fail(self, dag_id: str, run_id: str) -> None:
        """End a run as failed; its tasks are stopped."""
        self._ask("PATCH", _path(dag_id, run_id), json={"state": "failed"})

    def trigger(self, dag_id: str, note: str, *, run_id: str | None = None, conf: dict[str, Any] | None = None) -> str:
        """Start a run now, with a note that Airflow shows, unless there is one of this id; returns its id."""
        # With an id of our own, asking again after a lost answer starts no second run.
        run_id = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "note": note, **({"conf": conf} if conf else {})}
        self._ask("POST", f"/dags/{dag_id}/dagRuns", HTTPStatus.CONFLICT, json=body)
        return run_id

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The run: state, start_date, end_date, ..."""
        return self._get(_path(dag_id, run_id))

    def has_run(self, dag_id: str, run_id: str) -> bool:
        """Whether the DAG has a run of this id."""
        return self._find(_path(dag_id, run_id)) is not None

    def last_runs(self, dag_id: str, limit: int) -> list[dict[str, Any]]:
        """Runs, newest first."""
        return self._get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=limit)["dag_runs"]

    def upstream_tasks(self, dag_id: str) -> dict[str, list[str]]:
        """The tasks directly upstream of each task, by task id; each task comes after those upstream of it."""
        tasks = self._get(f"/dags/{dag_id}/tasks")["tasks"]
        upstream: dict[str, list[str]] = {task["task_id"]: [] for task in tasks}
        for task in tasks:
            for downstream in task["downstream_task_ids"]:
                upstream[downstream].append(task["task_id"])
        return {task_id: upstream[task_id] for task_id in TopologicalSorter(upstream).static_order()}

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, for a mapped task one per index: task_id, map_index, state, ..."""
        return self._get(f"{_path(dag_id, run_id)}/taskInstances", limit=500)["task_instances"]

    def tries(self, instance: dict[str, Any]) -> list[dict[str, Any]]:
        """All tries of a task instance, the last one included, each like a task instance."""
        path = f"{_path(instance['dag_id'], instance['dag_run_id'])}/taskInstances/{instance['task_id']}"
        mapped = f"/{instance['map_index']}" if instance["map_index"] >= 0 else ""
        return self._get(f"{path}{mapped}/tries")["task_instances"]

    def result(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, *, key: str = "return_value") -> Any:
        """What a task instance returned, or left as the XCom of another key; None: nothing."""
        path = f"{_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        found = self._find(path, map_index=map_index, deserialize=True)
        return found and found["value"]

    def errors(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int) -> list[str]:
        """Messages of the exceptions and errors in a task's log, first to last."""
        path = f"{_path(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        log = self._find(path, map_index=map_index) or {"content": []}
        lines = [each for each in log["content"] if isinstance(each, dict)]
        lines = [each for each in lines if each.get("level") in ("error", "critical")]
        # The first detail is the exception, the others are its causes.
        return [each["error_detail"][0]["exc_value"] if each.get("error_detail") else each["event"] for each in lines]

    def runs_started_by(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """(DAG id, run id) of the runs that the asset events of this run started."""
        events = self._get("/assets/events", source_dag_id=dag_id, source_run_id=run_id)["asset_events"]
        return [(run["dag_id"], run["run_id"]) for event in events for run in event["created_dagruns"]]

    def runs_that_started(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """(DAG id, run id) of the runs whose asset events started this run, oldest event first."""
        events = self._get(f"{_path(dag_id, run_id)}/upstreamAssetEvents")["asset_events"]
        return [(event["source_dag_id"], event["source_run_id"]) for event in events]

    def _get(self, path: str, **params: Any) -> Any:
        return self._ask("GET", path, params=params).json()

    def _find(self, path: str, **params: Any) -> Any:
        """As `_get`; None: there is no such thing."""
        answer = self._ask("GET", path, HTTPStatus.NOT_FOUND, params=params)
        return answer.json() if answer.is_success else None

    def _ask(self, method: str, path: str, *accepted: HTTPStatus, **request: Any) -> httpx.Response:
        """The answer, if it is a success or one of the accepted statuses; waits for an api-server that restarts."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = self._http.request(method, path, **request)
                return answer if answer.status_code in accepted else answer.raise_for_status()
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if _is_final(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


def _is_final(error: httpx.HTTPError) -> bool:
    """Whether asking again gives the same; a server that limits requests, or fails, may answer another time."""
    answer = error.response if isinstance(error, httpx.HTTPStatusError) else None
    return answer is not None and answer.is_client_error and answer.status_code != HTTPStatus.TOO_MANY_REQUESTS


def _path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


class _Login(httpx.Auth):
    """Logs in before the first request, and again when the token has expired."""

    requires_response_body = True

    def __init__(self, url: str, login: dict[str, str]):
        self._request = httpx.Request("POST", url, json=login)
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        # Forbidden: the clock was set back, so the token is not valid yet.
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._token = (yield self._request).raise_for_status().json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request
