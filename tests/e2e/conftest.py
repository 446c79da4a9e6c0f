"""A stack of its own for the end-to-end tests: its folder, its ports, and the commands of the Makefile on it."""

import json
import subprocess
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import yaml

from devtools.ports import free_port
from stack.cli import running
from stack.embedded.settings import load
from stack.settings import ROOT

SHARED = ROOT.parent / "shared" / "data"
SOURCE = SHARED if SHARED.is_dir() else ROOT / "data" / "sample"


class Instance:
    """One instance of the stack under a folder of its own."""

    def __init__(self, folder: Path, **settings: object):
        """`settings` are laid over config/ beside ports of its own."""
        self.var = folder / "var"
        self.config = folder / "ports.yaml"
        ports = {name: free_port() for name in ("airflow", "mlflow", "airbyte", "postgres")}
        self.config.write_text(yaml.safe_dump({"ports": ports, **settings}))

    def command(self, target: str, **variables: object) -> list[str]:
        """Command line of a target of the Makefile on this instance."""
        chosen = {"VAR": self.var, "CONFIG": self.config, **variables}
        return ["make", target, *(f"{name}={value}" for name, value in chosen.items())]

    def make(self, target: str, **variables: object) -> subprocess.CompletedProcess:
        """Run a target of the Makefile; its output is text."""
        command = self.command(target, **variables)
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def summary(self) -> dict:
        """The last run's facts."""
        return json.loads((self.var / "summary.json").read_text())

    def settings(self):
        """The launcher's settings of this instance."""
        return load(self.var, config=self.config)

    def services(self, *names: str):
        """Context in which these services run."""
        return running(self.settings(), list(names))

    def rows(self, query: str) -> list[tuple]:
        """What the warehouse answers; needs its server."""
        with psycopg.connect(**self.settings().database("warehouse")) as connection:
            return connection.execute(query).fetchall()

    def consumers_read(self) -> dict[str, object]:
        """All that consumers read: both tables, and the champion's version."""
        with self.services("postgres", "mlflow"):
            tables = ("marts.labeled_projects", "marts.predictions")
            content = {table: self.rows(f"select * from {table} order by id") for table in tables}
            api = f"{self.settings().url('mlflow')}/api/2.0/mlflow/registered-models/alias"
            answer = httpx.get(api, params={"name": "tagifai", "alias": "champion"}, timeout=60).raise_for_status()
        return content | {"champion": answer.json()["model_version"]["version"]}

    def processes(self) -> list[str]:
        """Command lines of the processes that belong to this instance."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MLOPS_VAR") == str(self.var.resolve()):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="session")
def instance(tmp_path_factory):
    """An instance whose stack is down after the tests."""
    instance = Instance(tmp_path_factory.mktemp("instance"))
    yield instance
    instance.make("down")


@pytest.fixture(scope="session")
def first_run(instance):
    """The main job on the source files, once for all tests: the finished process."""
    return instance.make("run", SOURCE=SOURCE)
