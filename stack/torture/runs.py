"""A `make run` that is watched and struck from outside."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from stack.instance import Instance, start
from stack.supervision import StackError

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
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Moment(NamedTuple):
    """A moment of a run, whatever its pace: so many steps are done, the last of them so many seconds ago."""

    steps: int
    seconds: float


class Run:
    """A `make run` that goes on beside us."""

    def __init__(self, instance: Instance, *, clock: Path | None = None):
        """Start it.

        Args:
            instance: whose run it is.
            clock: file with the seconds by which its clock is wrong, read again and again; None: its clock is right.
        """
        self._log = instance.folder / "make-run.log"
        self._instance = instance
        self._began = time.monotonic()
        environment = {}
        if clock:
            environment = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock)}
            environment |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with self._log.open("w") as output:
            self._process = start(instance.command("run"), instance.environment | environment, output)

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

    def wait_for(self, moment: Moment) -> None:
        """Wait until it has come to a moment, or has ended."""
        while len(self.steps) < moment.steps and not self.has_ended:
            time.sleep(LOOK)
        deadline = time.monotonic() + moment.seconds
        while time.monotonic() < deadline and not self.has_ended:
            time.sleep(LOOK)

    def processes(self, name: str | None = None) -> list[psutil.Process]:
        """Processes of its instance and of itself; `name`: those of PROCESSES alone."""
        found = set(self._instance.processes())
        with suppress(psutil.Error):
            launcher = psutil.Process(self._process.pid)
            found |= {launcher, *launcher.children(recursive=True)}
        return [each for each in found if name is None or is_process(name, each)]

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


def is_process(name: str, process: psutil.Process) -> bool:
    """Whether a process is one of those in PROCESSES."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return PROCESSES[name] in line and IDLE not in line
