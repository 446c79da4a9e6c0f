"""A separate container stack: a copy of the repository with its own project name, ports and volumes."""

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

from devtools.instance import MAKE_VARIABLES
from devtools.ports import free_port
from stack import places
from stack.errors import StackError
from stack.runs.airflow_api import AirflowApi
from stack.settings import ROOT, Ports, Settings, inherited_environment

UIS = ("airflow", "mlflow", "airbyte", "docs")
# Seconds: longest run of dataops or mlops on a busy machine, with restarts; longest restart of a service; between two
# looks.
RUN, RESTART, LOOK = 600, 120, 0.1


class ContainerInstance:
    """`docker compose` on a copy of the repository.

    Attributes:
        folder: the copy, which may be edited.
        source: folder of the source files.
        config: of its first application, as it was made.
        ports: of the UIs on 127.0.0.1.
    """

    def __init__(self, folder: Path, *, source: Path, **environment: str):
        """Copy the files that git tracks; `environment` replaces the defaults of `.env`."""
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in names.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        # The containers run as another user.
        folder.chmod(0o755)
        self.folder, self.source = folder, source
        self.config = places.config("compose")
        self.ports = {name: free_port() for name in UIS}
        given = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        project = f"mlops-{secrets.token_hex(4)}"
        own = {"COMPOSE_PROJECT_NAME": project, "SOURCE_FOLDER": str(source), **given, **environment}
        outer = (*MAKE_VARIABLES, "COMPOSE_")
        self.environment = {k: v for k, v in inherited_environment().items() if not k.startswith(outer)} | own

    def compose(self, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of Compose; its output is text."""
        return self._run("docker", "compose", *words, check=check, **options)

    def make(self, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a target of the Makefile; its output is text."""
        return self._run("make", *words, check=check, **options)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Description of each service's container by `docker inspect`, stopped ones too."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        found = json.loads(docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def url(self, name: str) -> str:
        """Base URL of a UI."""
        return f"http://localhost:{self.ports[name]}"

    @functools.cached_property
    def logins(self) -> dict[str, tuple[str, str]]:
        """User and password of each UI, as `make password PLACE=compose` prints them; they never change."""
        lines = self.make("--silent", "password", "PLACE=compose").stdout.splitlines()
        words = [line.split() for line in lines if " password " in line]
        return {each[0].lower(): (each[3], each[5]) for each in words}

    def airflow(self) -> httpx.Client:
        """A client that is logged in to Airflow."""
        user, password = self.logins["airflow"]
        login = {"username": user, "password": password}
        answer = httpx.post(f"{self.url('airflow')}/auth/token", json=login, timeout=60)
        headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
        return httpx.Client(base_url=f"{self.url('airflow')}/api/v2", headers=headers, timeout=60)

    @functools.cached_property
    def api(self) -> AirflowApi:
        """Airflow's API, which waits while a container is being restarted."""
        # PostgreSQL's port is not published.
        ports = Ports(**self.ports, postgres=free_port())
        login = {"admin": self.logins["airflow"][1]}
        api = AirflowApi.of(Settings(var=self.folder, config=self.config, ports=ports, secrets=login))
        api.patience = RESTART
        return api

    def ended(self, run_id: str) -> dict[str, str]:
        """States of a run of dataops and of the run of mlops that it started, once both have ended."""
        dataops = wait_until(lambda: self._end("dataops", run_id), seconds=RUN)
        if dataops != "success":
            return {"dataops": dataops}
        run_id = wait_until(lambda: self.mlops_run(run_id), seconds=RESTART)
        return {"dataops": dataops, "mlops": wait_until(lambda: self._end("mlops", run_id), seconds=RUN)}

    def mlops_run(self, run_id: str) -> str | None:
        """Id of the run of mlops that a run of dataops started."""
        return next((run for dag, run in self.api.runs_started_by("dataops", run_id) if dag == "mlops"), None)

    def kill(self, service: str) -> None:
        """`docker kill` a service's container, and start it again."""
        container = self.containers()[service]["Id"]
        for verb in ("kill", "start"):
            docker(verb, container)

    def psql(self, query: str, database: str = "warehouse") -> str:
        """Answer of a database, values separated by |."""
        words = ["exec", "-T", "postgres", "psql", "--username=postgres", "-qAt", "-c", query, database]
        return self.compose(*words).stdout.strip()

    def champion(self) -> dict[str, Any]:
        """The model version with the alias `champion`, from MLflow's API."""
        name = self.config["model"]["name"]
        return self._mlflow("registered-models/alias", name=name, alias="champion")["model_version"]

    def metrics(self) -> dict[str, float]:
        """The champion's metrics by name."""
        metrics = self._mlflow("runs/get", run_id=self.champion()["run_id"])["run"]["data"]["metrics"]
        return {each["key"]: each["value"] for each in metrics}

    def _mlflow(self, path: str, **params: str) -> dict[str, Any]:
        api = f"{self.url('mlflow')}/api/2.0/mlflow/{path}"
        return httpx.get(api, params=params, auth=self.logins["mlflow"], timeout=60).raise_for_status().json()

    def _end(self, dag_id: str, run_id: str) -> str | None:
        state = self.api.run(dag_id, run_id)["state"]
        return state if state in ("success", "failed") else None

    def _run(self, *command: str, check: bool, **options: Any) -> subprocess.CompletedProcess[str]:
        usual: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, cwd=self.folder, env=self.environment, text=True, **usual | options)
        if check and done.returncode:
            raise StackError(f"`{' '.join(command)}` failed with status {done.returncode}: {done.stdout}")
        return done

    def delete(self) -> None:
        """Delete containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def docker(*words: str) -> str:
    """Output of a command of Docker that succeeds."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"`docker {words[0]}` failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait_until(condition: Callable[[], Any], *, seconds: float) -> Any:
    """Wait until a condition is true, and return its answer."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise StackError(f"a condition is still not true after {seconds:.0f} s")
        time.sleep(LOOK)
    return answer
