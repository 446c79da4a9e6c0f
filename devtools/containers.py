"""A container stack beside the user's: a copy of the repository, a project name, ports and volumes of its own."""

import functools
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from devtools.ports import free_port
from stack.errors import StackError
from stack.settings import ROOT, inherited_environment

UIS = ("airflow", "mlflow", "airbyte", "docs")
TABLES = {
    "raw.projects": "id, created_on, title, description",
    "raw.tags": "id, tag",
    "marts.labeled_projects": "t",
    "marts.predictions": "id, tag, probability",
}
# Seconds: of a run of dataops or mlops on a busy machine, with restarts in it; of the restart of a service; between two
# looks.
RUN, RESTART, LOOK = 600, 120, 0.1


class ContainerInstance:
    """`docker compose` on a copy of the repository.

    Attributes:
        folder: the copy, which may be edited.
        source: folder of the source files.
        ports: of the UIs on 127.0.0.1.
    """

    def __init__(self, folder: Path, *, source: Path, **environment: str):
        """Copy what git knows of.

        Args:
            folder: of the copy; made if it is missing.
            source: folder of the source files.
            environment: laid over what `.env` has by default.
        """
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in names.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        # The containers' user is another.
        folder.chmod(0o755)
        self.folder, self.source = folder, source
        self.ports = {name: free_port() for name in UIS}
        given = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        project = f"mlops-{secrets.token_hex(4)}"
        own = {"COMPOSE_PROJECT_NAME": project, "SOURCE_FOLDER": str(source), **given, **environment}
        # Of an outer make, what it was called with is not meant for an inner one.
        outer = ("MAKE", "MFLAGS", "COMPOSE_")
        self.environment = {k: v for k, v in inherited_environment().items() if not k.startswith(outer)} | own

    def compose(self, *words: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Run a command of Compose; its output is text."""
        return self._run("docker", "compose", *words, check=check, **options)

    def make(self, *words: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Run a target of the Makefile; its output is text."""
        return self._run("make", *words, check=check, **options)

    def containers(self) -> dict[str, dict]:
        """What Docker knows of each service's container, ended ones too."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        found = json.loads(docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def url(self, name: str) -> str:
        """Base URL of a UI."""
        return f"http://localhost:{self.ports[name]}"

    @functools.cached_property
    def logins(self) -> dict[str, tuple[str, str]]:
        """User and password of each UI, as `make password` prints them; they stay."""
        lines = self.make("--silent", "password").stdout.splitlines()
        words = [line.split() for line in lines if " password " in line]
        return {each[0].lower(): (each[3], each[5]) for each in words}

    def airflow(self) -> httpx.Client:
        """A client that is logged in to Airflow."""
        user, password = self.logins["airflow"]
        login = {"username": user, "password": password}
        answer = httpx.post(f"{self.url('airflow')}/auth/token", json=login, timeout=60)
        headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
        return httpx.Client(base_url=f"{self.url('airflow')}/api/v2", headers=headers, timeout=60)

    def trigger(self, airflow: httpx.Client) -> str:
        """Start dataops; returns the run's id."""
        body = {"logical_date": None}
        return airflow.post("/dags/dataops/dagRuns", json=body).raise_for_status().json()["dag_run_id"]

    def ended(self, airflow: httpx.Client, run_id: str) -> dict[str, str]:
        """States of a run of dataops and of the run of mlops that it started, once both have ended."""
        dataops = wait_until(lambda: self._end(airflow, "dataops", run_id), seconds=RUN)
        if dataops != "success":
            return {"dataops": dataops}
        run_id = wait_until(lambda: self.mlops_run(airflow, run_id), seconds=RESTART)
        return {"dataops": dataops, "mlops": wait_until(lambda: self._end(airflow, "mlops", run_id), seconds=RUN)}

    def mlops_run(self, airflow: httpx.Client, run_id: str) -> str | None:
        """Id of the run of mlops that a run of dataops started."""
        events = self._get(airflow, "/assets/events", source_dag_id="dataops", source_run_id=run_id)
        runs = [run for event in (events or {}).get("asset_events", []) for run in event["created_dagruns"]]
        return next((run["run_id"] for run in runs if run["dag_id"] == "mlops"), None)

    def kill(self, service: str) -> None:
        """`docker kill` a service's container, and start it again."""
        container = self.containers()[service]["Id"]
        for verb in ("kill", "start"):
            docker(verb, container)

    def has_begun(self, airflow: httpx.Client, dag_id: str, run_id: str, task: str) -> bool:
        """Whether a task instance, as TASK/INDEX, is at work or has been; False while Airflow does not answer."""
        found = self._get(airflow, f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        states = {
            f"{one['task_id']}/{one['map_index']}": one["state"] for one in (found or {}).get("task_instances", [])
        }
        return states.get(task) in ("running", "success", "failed", "up_for_retry")

    def psql(self, query: str, database: str = "warehouse") -> str:
        """What a database answers, values separated by |."""
        words = ["exec", "-T", "postgres", "psql", "--username=postgres", "-qAt", "-c", query, database]
        return self.compose(*words).stdout.strip()

    def consumers_read(self) -> dict[str, str]:
        """Number of rows and digest of each table, but for the columns that a sync makes anew."""
        read = "select count(*), md5(string_agg(({columns})::text, '' order by id)) from {table} t"
        return {table: self.psql(read.format(table=table, columns=columns)) for table, columns in TABLES.items()}

    def champion(self) -> dict:
        """The model version with the alias `champion`, as MLflow's own API tells it."""
        return self._mlflow("registered-models/alias", name="tagifai", alias="champion")["model_version"]

    def score(self) -> float:
        """The champion's weighted F1."""
        metrics = self._mlflow("runs/get", run_id=self.champion()["run_id"])["run"]["data"]["metrics"]
        return {each["key"]: each["value"] for each in metrics}["f1_weighted"]

    def _mlflow(self, path: str, **params: str) -> dict:
        api = f"{self.url('mlflow')}/api/2.0/mlflow/{path}"
        return httpx.get(api, params=params, auth=self.logins["mlflow"], timeout=60).raise_for_status().json()

    def _end(self, airflow: httpx.Client, dag_id: str, run_id: str) -> str | None:
        run = self._get(airflow, f"/dags/{dag_id}/dagRuns/{run_id}")
        return run["state"] if run and run["state"] in ("success", "failed") else None

    def _get(self, airflow: httpx.Client, path: str, **params: str) -> dict | None:
        """The answer; None: there is none now, since a container is being restarted."""
        try:
            answer = airflow.get(path, params=params)
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None

    def _run(self, *command: str, check: bool, **options) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **{"stdin": subprocess.DEVNULL, **options},
        )
        if check and done.returncode:
            raise StackError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stdout}")
        return done

    def delete(self) -> None:
        """Containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def docker(*words: str) -> str:
    """What a command of Docker prints.

    Raises:
        StackError: it failed.
    """
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"`docker {words[0]}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait_until(condition: Callable[[], Any], *, seconds: float) -> Any:
    """What a condition answers once it is true.

    Raises:
        StackError: it does not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise StackError(f"not so within {seconds:.0f} s")
        time.sleep(LOOK)
    return answer
