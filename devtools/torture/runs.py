"""A `make run` whose processes are killed from outside, and the names of these processes."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import psutil

from devtools.instance import Instance, start
from devtools.torture.clock import Clock
from stack.errors import StackError

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
    "launcher": "-m stack --place",
}
# Part of the title of a worker without a task.
IDLE = "<idle>"
# Seconds of the longest run.
LIMIT = 600


def named(name: str, processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """Those of the processes that have a name of PROCESSES."""
    for process in processes:
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if PROCESSES[name] in line and IDLE not in line:
                yield process


def kill(process: psutil.Process) -> bool:
    """Kill a process; whether it had not ended."""
    with suppress(psutil.NoSuchProcess):
        process.kill()
        return True
    return False


class Run:
    """A `make run` in the background, since the time `start`."""

    def __init__(self, instance: Instance, *, clock: Clock | None = None):
        """Start it, with a clock of its own or the machine's."""
        self._log = instance.folder / "make-run.log"
        self._instance = instance
        self._began = time.monotonic()
        self.start = datetime.now(UTC)
        environment = instance.environment | (clock.environment if clock else {})
        with self._log.open("w") as output:
            self._process = start(instance.command("run"), environment, output)

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def process_of(self, name: str) -> psutil.Process | None:
        """A process of a name of PROCESSES that is there now."""
        return next(named(name, self.processes()), None)

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
        return not self.has_ended()

    def wait(self) -> bool:
        """Wait for its end; whether it succeeded."""
        try:
            return self._process.wait(LIMIT) == 0
        except subprocess.TimeoutExpired:
            self.interrupt()
            raise StackError(f"the run does not end within {LIMIT} s; see {self._log}") from None
