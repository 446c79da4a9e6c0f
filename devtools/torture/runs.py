"""A `make run` that is watched and struck from outside."""

import os
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from devtools.instance import Instance, start
from devtools.torture.clock import Clock
from stack.errors import StackError

# A part of the command line, or of the title, of each process that is killed.
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
# In the title of a worker without a task.
IDLE = "<idle>"
# Seconds: between two looks at a run; that it may take.
LOOK = 0.1
LIMIT = 600


class Moment(NamedTuple):
    """A moment in the lives of the processes of one name: which of them, in the order they came, and its age then."""

    number: int
    age: float


@dataclass
class Life:
    """What was seen of a process, or of one task of a worker: at which seconds of the run first, and last."""

    process: psutil.Process
    first: float
    last: float

    @property
    def seconds(self) -> float:
        """How long it was seen."""
        return self.last - self.first


class Run:
    """A `make run` that goes on beside us."""

    def __init__(self, instance: Instance, *, clock: Clock | None = None):
        """Start it.

        Args:
            instance: whose run it is.
            clock: what tells it the time; None: the machine's.
        """
        self._log = instance.folder / "make-run.log"
        self._instance = instance
        self._began = time.monotonic()
        self._looked = 0.0
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
        """What it has said is done, in order."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [
            line.split("\N{CHECK MARK}")[1].rsplit(maxsplit=2)[0].strip() for line in lines if "\N{CHECK MARK}" in line
        ]

    def look(self) -> None:
        """See which processes there are."""
        self._looked = self.age
        for process in self.processes():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                for name in [each for each, part in PROCESSES.items() if part in line and IDLE not in line]:
                    key = (process, line) if name == "task" else (process,)
                    self._lives[name].setdefault(key, Life(process, self._looked, 0)).last = self._looked

    def lives(self, name: str) -> list[Life]:
        """What the looks saw of the processes of a name, in the order they came."""
        return list(self._lives[name].values())

    def process_at(self, name: str, moment: Moment) -> psutil.Process | None:
        """The process whose moment has come, as of the last look; where it had gone by then, any that came later."""
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
        """Press Ctrl-C: to the whole group, as a terminal does; whether there was one."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        return not self.has_ended

    def wait(self) -> bool:
        """Wait for its end; whether it succeeded.

        Raises:
            StackError: it does not end.
        """
        try:
            return self._process.wait(LIMIT) == 0
        except subprocess.TimeoutExpired:
            self.interrupt()
            raise StackError(f"the run does not end within {LIMIT} s; see {self._log}") from None
