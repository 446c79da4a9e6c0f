"""Stand-in for Airflow's REST API: it reads DAG files from the bucket, and its runs end after a few questions."""

import re
from datetime import UTC, datetime
from typing import Any

from recorded import Answer, Request, refusal
from storage import Storage

PREFIX = "/airflow/api/v2"
_RUN = re.compile(r"/dags/(\w+)/dagRuns(?:/([^/]+))?(/.*)?")


class Airflow:
    """An Airflow whose callers need a token.

    Attributes:
        token: the only one that is accepted.
        paused: ids of DAGs.
        broken: pattern of the names of files that cannot be imported.
        failing: DAG id and the error of its next runs.
        runs: by DAG id and run id; `conf` and the number of questions after which it ends.
        is_reading: whether new files are read.
    """

    name = "airflow"

    def __init__(self, storage: Storage):
        self._storage = storage
        self.token = "token"
        self.paused: set[str] = set()
        self.broken = "$^"
        self.failing: dict[str, str] = {}
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        self.is_reading = True

    def takes(self, path: str) -> bool:
        return path.startswith(PREFIX)

    def answer(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return refusal(401, "UNAUTHENTICATED", "no")
        path = request.path.removeprefix(PREFIX)
        files = {name for name in self._storage.names() if name.startswith("dags/")} if self.is_reading else set()
        if path == "/importErrors":
            broken = [name for name in files if re.search(self.broken, name)]
            error = {"stack_trace": "Traceback\nNameError: no", "timestamp": datetime.now(UTC).isoformat()}
            errors = [{"filename": f"/home/airflow/gcs/{name}", **error} for name in broken]
            return Answer.of({"import_errors": errors})
        if found := _RUN.fullmatch(path):
            return self._run(request, *found.groups())
        what, dag_id = path.removeprefix("/").split("/")[:2]
        file = f"dags/{dag_id}.py"
        if file not in files or re.search(self.broken, file):
            return Answer.of({"detail": "not found"}, 404)
        if what == "dagSources":
            return Answer.of({"content": self._storage.text(file), "dag_id": dag_id})
        now = datetime.now(UTC).isoformat()
        return Answer.of({"dag_id": dag_id, "is_paused": dag_id in self.paused, "last_parsed_time": now})

    def _run(self, request: Request, dag_id: str, run_id: str | None, rest: str | None) -> Answer:
        if request.method == "POST":
            key = dag_id, request.body["dag_run_id"]
            if key in self.runs:
                return Answer.of({"detail": "exists"}, 409)
            self.runs[key] = {"conf": request.body["conf"], "left": 2, "error": self.failing.get(dag_id)}
            return Answer.of({"dag_run_id": key[1], "state": "queued"})
        run = self.runs[dag_id, run_id or ""]
        if rest == "/taskInstances":
            return Answer.of(
                {"task_instances": [{"task_id": "transform", "state": "failed", "try_number": 1, "map_index": -1}]}
            )
        if rest:
            return Answer.of({"content": [{"level": "error", "event": run["error"]}]})
        run["left"] -= 1
        state = "running" if run["left"] > 0 else "failed" if run["error"] else "success"
        return Answer.of({"dag_run_id": run_id, "state": state})
