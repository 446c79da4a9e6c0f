"""An instance of the stack that is measured: how long its `make run` takes, and how much memory."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil

from devtools.instance import Instance, start
from stack.embedded.supervisor import processes_of
from stack.errors import StackError


class MeasuredInstance(Instance):
    """An instance beside the user's.

    Attributes:
        peak: most memory that a watched `make run` used at once, in bytes.
    """

    peak = 0

    def make_run(self, *, watched: bool) -> tuple[float, dict[str, Any]]:
        """Run `make run`, from nothing running to its end.

        Args:
            watched: whether it counts for `peak`; looking costs it a few hundredths of its time.

        Returns:
            Wall-clock seconds, and the facts of its summary.

        Raises:
            StackError: it failed.
        """
        with self._memory_watched() if watched else nullcontext():
            seconds = timed(self.command("run"), self.environment, self.folder / "make-run.log")
        return seconds, json.loads((self.settings.var / "summary.json").read_text(encoding="utf-8"))

    @contextmanager
    def _memory_watched(self) -> Iterator[None]:
        """Keep `peak`, with a look a second."""
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
    """Run a command from the repository's root, as long as this process lives.

    Args:
        command: what is run.
        environment: all its variables.
        log: where its output goes.

    Returns:
        Wall-clock seconds from start to end.

    Raises:
        StackError: it failed; the message has the end of its output.
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
        raise StackError(f"`{' '.join(command)}` failed, so there is nothing to measure; see {log}\n{tail}")
    return seconds


def memory(var: Path) -> int:
    """Proportional set size, in bytes, of all below this process and all that were told that `var` is theirs."""
    found = {process.pid: process for process in [*psutil.Process().children(recursive=True), *processes_of(var)]}
    return sum(_pss(process) for process in found.values())


@contextmanager
def two_cores() -> Iterator[None]:
    """Let this process and those that it starts meanwhile use two cores, however many there are."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0
