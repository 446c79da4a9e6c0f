"""Instances of the stack for the end-to-end tests: own folders, own ports, and the commands of the Makefile on them."""

import json
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import psycopg
import pytest
import yaml
from bad_input import good_files

from devtools import instance as tools
from devtools.ports import free_port
from devtools.torture.rounds import disk
from stack import places
from stack.embedded.settings import load
from stack.settings import ROOT

SHARED = ROOT.parent / "shared" / "data"
SOURCE = SHARED if SHARED.is_dir() else ROOT / "data" / "sample"
# Enough for a model, where the trials are not the point.
SEARCH = {"trials": 2, "workers": 1, "folds": 3}
# Files whose tests share an instance, in the order in which they use it.
ORDER = (
    *("test_unfinished_runs.py", "test_first_run.py", "test_bigquery_emulator.py", "test_let_through.py"),
    *("test_place.py", "test_bad_input.py"),
    *("test_up.py", "test_watch.py", "test_torture.py"),
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put these files first, in their order."""
    items.sort(key=lambda item: ORDER.index(item.path.name) if item.path.name in ORDER else len(ORDER))


class Instance:
    """One instance of the stack under a folder of its own."""

    def __init__(self, folder: Path, *, place: str = "embedded", **settings: object):
        """`settings` are laid over those of the place, together with free ports."""
        self.place = place
        self.var = folder / "var"
        self.config = folder / "ports.yaml"
        ports = {name: free_port() for name in places.config(place)["ports"]}
        # For hours after the scheduled time, Airflow would start a run of its own.
        self.config.write_text(yaml.safe_dump({"ports": ports, "dataops_schedule": None, **settings}))

    def command(self, target: str, **variables: object) -> list[str]:
        """Command line of a target of the Makefile on this instance."""
        chosen = {"PLACE": self.place, "VAR": self.var, "CONFIG": self.config, **variables}
        return ["make", target, *(f"{name}={value}" for name, value in chosen.items())]

    def make(self, target: str, **variables: object) -> subprocess.CompletedProcess:
        """Run a target of the Makefile; its output is text."""
        command = self.command(target, **variables)
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def summary(self) -> dict:
        """The last run's summary."""
        return json.loads((self.var / "summary.json").read_text())

    def settings(self):
        """The launcher's settings of this instance."""
        return load(self.var, place=self.place, config=self.config)

    def services(self, *names: str):
        """Context in which these services run."""
        return tools.running(self.settings(), *names)

    def rows(self, query: str) -> list[tuple]:
        """Rows from the warehouse; PostgreSQL has to run."""
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
    """An instance in which nothing has run."""
    # With one worker, since the result of several depends on their speed, and other places are compared with this one.
    instance = Instance(tmp_path_factory.mktemp("instance"), search=SEARCH | {"trials": 4})
    yield instance
    instance.make("down")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The source of that instance: the sample, with everything in it that is let through."""
    folder = tmp_path_factory.mktemp("source")
    for name, content in good_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def interrupted(instance, folder):
    """A `make run` of the new instance that Ctrl-C ended during dataops; `second` is one that was started meanwhile."""
    command = instance.command("run", SOURCE=folder)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if "dataops." in line:
                break
        second = instance.make("run")
        # To the whole group, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    facts = {"processes": instance.processes(), "summary": instance.summary()}
    return SimpleNamespace(returncode=process.returncode, second=second, **facts)


@pytest.fixture(scope="session")
def first_run(instance, interrupted, folder):
    """The first `make run` that goes on to its end, as a finished process."""
    return instance.make("run", SOURCE=folder)


class Place:
    """The instance that is up after its first run, as PlaceContract needs it."""

    def __init__(self, instance, folder):
        self.instance = instance
        self._folder = folder

    def make(self, target, **variables):
        """Run a target of the Makefile; `output` is the text that the last one printed."""
        source = {"SOURCE": self._folder} if target in ("up", "run") else {}
        done = self.instance.make(target, **(source | variables))
        self.output = done.stdout
        return done

    def read(self, name):
        return (self.instance.var / name).read_text(encoding="utf-8")

    def open(self, address):
        return httpx.get(address, timeout=60).text if "://" in address else Path(address).read_text(encoding="utf-8")

    def get(self, path):
        return httpx.get(f"{self.instance.settings().url('docs')}{path}", timeout=60)


@pytest.fixture(scope="session")
def place(instance, first_run, folder):
    """The instance, which stays up."""
    assert first_run.returncode == 0, first_run.stdout
    place = Place(instance, folder)
    up = place.make("up")
    assert up.returncode == 0, up.stdout
    return place


@pytest.fixture(scope="session")
def watching(tmp_path_factory):
    """An instance that watches its source, which is the only thing that starts dataops; on a small disk if possible."""
    with disk(tmp_path_factory.mktemp("watching")) as folder:
        config = folder / "watching.yaml"
        config.write_text(yaml.safe_dump({"search": SEARCH, "watch": {"seconds": 1}, "dataops_schedule": None}))
        instance = tools.Instance(folder / "instance", source=None, config=config)
        yield instance
        instance.make("down")


@pytest.fixture(scope="session")
def up(watching):
    """The finished first `make up` of that instance."""
    done = watching.make("up")
    assert done.returncode == 0, done.stdout
    return done
