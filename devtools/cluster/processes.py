"""Processes that outlive the command that starts them; each is known by a file with its id."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Seconds: until a process is killed that does not end by SIGTERM (the API server waits for its watchers), until it has
# ended then, and between two looks.
END, KILLED, LOOK = 2, 60, 0.05


class ClusterError(Exception):
    """Something that the user has to know or to do; the message says what."""


class Process:
    """A program that is running, or not.

    Attributes:
        name: of the program.
        log: file with its output, of all its starts.
    """

    def __init__(self, folder: Path, name: str):
        """Keep the process's id and log in `folder`."""
        self.name, self.log = name, folder / f"{name}.log"
        self._file = folder / f"{name}.pid"

    def start(self, command: Sequence[str | Path]) -> None:
        """Start the program, in a session of its own, unless it is running."""
        if self.running():
            return
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._file.write_text(f"{process.pid} {_started(process.pid)}")

    def running(self) -> bool:
        """Whether the program runs; a zombie does not."""
        return self._pid() is not None

    def stop(self) -> None:
        """End the program: by SIGTERM, and after some seconds by SIGKILL."""
        for number, seconds in ((signal.SIGTERM, END), (signal.SIGKILL, KILLED)):
            if pid := self._pid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                comes_true(lambda: not self.running(), seconds)
        if self.running():
            raise ClusterError(f"{self.name} does not end, even by SIGKILL")
        self._file.unlink(missing_ok=True)

    def _pid(self) -> int | None:
        """Its id while it runs: the kernel may have given the id to another process since."""
        with contextlib.suppress(FileNotFoundError):
            pid, started = map(int, self._file.read_text().split())
            with contextlib.suppress(ChildProcessError):
                # Takes the status of a child of ours, which else stays a zombie.
                os.waitpid(pid, os.WNOHANG)
            return pid if _started(pid) == started else None
        return None


def _started(pid: int) -> int:
    """When a process started, in clock ticks since the boot; 0 if there is none or it is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(fields[18])


def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition is true, at most `seconds`; answers whether it is."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK)
    return True
