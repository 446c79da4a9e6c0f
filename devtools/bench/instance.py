"""Time and memory of commands on an instance of the stack."""

import os
import signal
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from devtools.instance import start
from stack.embedded.supervisor import processes_of
from stack.errors import StackError, end_of


@contextmanager
def memory_watched(var: Path, found: list[int]) -> Generator[None]:
    """Append the memory of the instance `var` to a list once a second."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            found.append(memory(var))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def timed(command: list[str], environment: dict[str, str], log: Path) -> float:
    """Wall-clock seconds of a command, run from the repository's root with its output in `log`; it must succeed."""
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
        raise StackError(f"`{' '.join(command)}` failed; see {log}\n{end_of(log)}")
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
