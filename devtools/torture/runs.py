"""A `make run` whose processes are watched and killed from outside."""

import os
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
import psutil

from devtools.instance import Instance, start
from devtools.torture.clock import Clock
from stack.errors import StackError
from stack.runs import dag_runs
from stack.runs.airflow_api import AirflowApi

# Part of the command line, or of the title, of each process that is killed.
PROCESSES = {
    "postgres": "/bin/postgres -D",
    "airbyte": "-m airbyte_local",
    "connector": "-m source_files",
    "mlflow": "/bin/mlflow server",
    "mlflow-worker": "mlflow.server.fastapi_app",
    "airflow-api-server": "airflow api_server",
    "airflow-scheduler": "/bin/airflow scheduler",
    "airflow-dag-processor": "/bin/airflow dag-processor",
    "airflow-triggerer": "/bin/airflow triggerer",
    "task": "airflow worker -- LocalExecutor: ",
    "command": "--result",
    "supervisor": "/bin/supervisord",
    "launcher": "-m stack --var",
}
# Part of the title of a worker without a task.
IDLE = "<idle>"
# Seconds: between two looks at a run; longest run.
LOOK = 0.1
LIMIT = 600


class Moment(NamedTuple):
    """A moment for a kill: the number of the process, among those of one name, and its age in seconds."""

    number: int
    age: float


@dataclass
class Life:
    """A process, or one task of a worker: the seconds of the run at which it was seen first and last."""

    process: psutil.Process
    first: float
    last: float

    @property
    def seconds(self) -> float:
        """How long it was seen."""
        return self.last - self.first


class Run:
    """A `make run` in the background."""

    def __init__(self, instance: Instance, *, clock: Clock | None = None):
        """Start it.

        Args:
            instance: whose run it is.
            clock: that it reads; None: the machine's.
        """
        self._log = instance.folder / "make-run.log"
        self._instance = instance
        self._began = time.monotonic()
        self._looked = 0.0
        self._start = datetime.now(UTC)
        self._begun: set[str] | None = None
        self._api = AirflowApi(instance.settings)
        self._api.patience = 0
        # By name, then by process and, of a worker, its title.
        self._lives: dict[str, dict[tuple, Life]] = defaultdict(dict)
        environment = instance.environment | (clock.environment if clock else {})
        with self._log.open("w") as output:
            self._process = start(instance.command("run"), environment, output)

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def steps(self) -> list[str]:
        """Steps that it has printed as done, in order."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [
            line.split("\N{CHECK MARK}")[1].rsplit(maxsplit=2)[0].strip() for line in lines if "\N{CHECK MARK}" in line
        ]

    @property
    def begun(self) -> set[str]:
        """Tasks that were at work by the last look or before it, as DAG.TASK; Airflow's API is asked once a look."""
        if self._begun is None:
            self._begun = set()
            # It does not answer before it has started, and after it was killed.
            with suppress(httpx.HTTPError):
                for dag_id in ("dataops", "mlops"):
                    self._begun |= self._begun_of(dag_id)
        return self._begun

    def _begun_of(self, dag_id: str) -> set[str]:
        runs = self._api.last_runs(dag_id, limit=1)
        if not runs or datetime.fromisoformat(runs[0]["run_after"]) < self._start:
            return set()
        instances = self._api.task_instances(dag_id, runs[0]["dag_run_id"])
        return {f"{dag_id}.{each['task_id']}" for each in instances if dag_runs.began(each)}

    def process_of(self, name: str) -> psutil.Process | None:
        """A process of a name of PROCESSES that is there now."""
        for process in self.processes():
            with suppress(psutil.Error):
                if name in _names_of(" ".join(process.cmdline())):
                    return process
        return None

    def look(self) -> None:
        """Note which processes there are."""
        self._looked, self._begun = self.age, None
        for process in self.processes():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                for name in _names_of(line):
                    key = (process, line) if name == "task" else (process,)
                    self._lives[name].setdefault(key, Life(process, self._looked, 0)).last = self._looked

    def lives(self, name: str) -> list[Life]:
        """Processes of a name that were seen, in the order they came."""
        return list(self._lives[name].values())

    def process_at(self, name: str, moment: Moment) -> psutil.Process | None:
        """The process whose moment has come, as of the last look; if it had ended by then, any later one."""
        age = moment.age
        for life in self.lives(name)[moment.number :]:
            if life.last == self._looked:
                return life.process if life.seconds >= age else None
            age = 0
        return None

    def processes(self) -> list[psutil.Process]:
        """Processes of its instance and of itself."""
        found = set(self._instance.processes())
        with suppress(psutil.Error):
            launcher = psutil.Process(self._process.pid)
            found |= {launcher, *launcher.children(recursive=True)}
        return list(found)

    def interrupt(self) -> bool:
        """Send Ctrl-C to the whole group, as a terminal does; whether the run had not ended."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        return not self.has_ended

    def wait(self) -> bool:
        """Wait for its end; whether it succeeded.

        Raises:
            StackError: it does not end in time.
        """
        try:
            return self._process.wait(LIMIT) == 0
        except subprocess.TimeoutExpired:
            self.interrupt()
            raise StackError(f"the run does not end within {LIMIT} s; see {self._log}") from None


def _names_of(line: str) -> list[str]:
    """Names in PROCESSES of a command line or title."""
    return [name for name, part in PROCESSES.items() if part in line and IDLE not in line]
