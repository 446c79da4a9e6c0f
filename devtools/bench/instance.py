"""Time and memory of `make run` on an instance of the stack."""

import json
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil

from devtools.instance import Instance, start
from stack.embedded.supervisor import processes_of
from stack.errors import StackError


class MeasuredInstance(Instance):
    """An instance whose `make run` is measured.

    Attributes:
        peak: highest memory use of a watched `make run`, in bytes.
    """

    peak = 0

    def make_run(self, *, watched: bool) -> tuple[float, dict[str, Any]]:
        """Wall-clock seconds of a `make run`, and its summary; watching for `peak` takes a few hundredths of them."""
        with self._memory_watched() if watched else nullcontext():
            seconds = timed(self.command("run"), self.environment, self.folder / "make-run.log")
        return seconds, json.loads((self.settings.var / "summary.json").read_text(encoding="utf-8"))

    @contextmanager
    def _memory_watched(self) -> Generator[None]:
        """Update `peak` once a second."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1):
                self.peak = max(self.peak, memory(self.settings.var))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def timed(command: list[str], environment: dict[str, str], log: Path) -> float:
    """Wall-clock seconds of a command from the repository's root; it is stopped when this process ends.

    Raises:
        StackError: the command failed; the message has the end of its output, which goes to `log`.
    """
    with log.open("w") as output:
        began = time.monotonic()
        process = start(command, environment, output)
        try:
            code = process.wait()
            seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                # To the whole group, as a terminal does.
                os.killpg(process.pid, signal.SIGINT)
                process.wait()
    if code:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        raise StackError(f"`{' '.join(command)}` failed; see {log}\n{tail}")
    return seconds


def memory(var: Path) -> int:
    """Proportional set size, in bytes, of all descendants of this process and all processes of the instance `var`."""
    return pss({*psutil.Process().children(recursive=True), *processes_of(var)})


def pss(processes: Iterable[psutil.Process]) -> int:
    """Proportional set size of processes in bytes, without those that have ended."""
    found = 0
    for process in processes:
        with suppress(psutil.Error):
            found += process.memory_full_info().pss
    return found


@contextmanager
def two_cores() -> Generator[None]:
    """Limit this process and those that it starts to two cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
