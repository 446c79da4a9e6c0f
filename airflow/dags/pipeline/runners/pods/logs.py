"""The log of a pod's command, passed on line by line, each line once."""

import time
from collections.abc import Iterator
from typing import Any

import urllib3

from pipeline.runners.pods.cluster import Cluster, UnreachableError
from pipeline.runners.pods.spec import BASE

# Seconds that are read again at each look, for lines that came late; known lines are left out.
OVERLAP = 5


class Log:
    """Reads what is new in a command's log and hands it to the task's log.

    Lines are recognised by the time that the container engine gave them, so they may be read again after an outage, by
    another process or on the other side of a restarted kubelet.

    Attributes:
        position: time of the last line that was passed on and number of lines of that very time; for another reader.
    """

    def __init__(self, cluster: Cluster, pod: str, log: Any, position: tuple[str, int] | None = None):
        self._cluster = cluster
        self._pod = pod
        self._log = log
        self.position = position or ("", 0)
        # When the log was last read, on this machine's clock: only the difference counts.
        self._read: float | None = None
        # Lines of the time of `position` that this reading has met.
        self._same = 0

    def pass_on(self, *, is_complete: bool = False) -> bool:
        """Pass on new lines; if the log `is_complete`, also a last one without an end. False: it cannot be read now."""
        now = time.monotonic()
        seconds = None if self._read is None else int(now - self._read) + OVERLAP
        try:
            answer = self._cluster.log(self._pod, BASE, seconds)
            if answer is None:
                return False
            self._same = 0
            for line in _lines(answer, is_complete):
                self._pass_on(line)
        except (UnreachableError, urllib3.exceptions.HTTPError, OSError):
            return False
        self._read = now
        return True

    def _pass_on(self, line: str) -> None:
        stamp, _, text = line.partition(" ")
        moment, (last, known) = _sortable(stamp), self.position
        if moment < last:
            return
        # Lines of the same time come in the same order each time.
        self._same = self._same + 1 if moment == last else 1
        if moment == last and self._same <= known:
            return
        self.position = (moment, self._same)
        self._log.info("%s", text)


def _lines(answer: urllib3.HTTPResponse, is_complete: bool) -> Iterator[str]:
    rest = b""
    for part in answer.stream(65536):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if rest and is_complete:
        yield rest.decode("utf-8", "replace")


def _sortable(stamp: str) -> str:
    """A time of varying precision, such as 2026-01-01T00:00:00.5Z, in a form that sorts as text."""
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"
