"""The log of a command in a pod or container, passed on line by line, each line once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

# Time of the last line that was passed on, in a form that sorts as text, and the number of lines of that very time.
Position = tuple[str, int]
START: Position = ("", 0)


class Log:
    """Reads what is new in a command's log and hands it to the task's log.

    Lines are recognised by the time that the container engine gave them, so they may be read again after an outage, by
    another process or on the other side of a restart.

    Args:
        read: gives the log, each line with its time, in parts; the lines after `position` must be among them. None: it
            cannot be read now.
        log: the task's log.
        position: where another reader has stopped.

    Attributes:
        last: the last line that was passed on and is not blank.
    """

    def __init__(self, read: Callable[[Position], Iterable[bytes] | None], log: Any, position: Position = START):
        self.position = position
        self.last = ""
        self._read = read
        self._log = log
        # Lines of the time of `position` that this reading has met.
        self._same = 0

    def pass_on(self, *, is_complete: bool = False) -> bool:
        """Pass on new lines; if the log `is_complete`, also a last one without an end. False: it cannot be read now."""
        parts = self._read(self.position)
        if parts is None:
            return False
        self._same = 0
        for line in _lines(parts, is_complete):
            self._pass_on(line)
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
        self.last = text.strip() or self.last
        self._log.info("%s", text)


def _lines(parts: Iterable[bytes], is_complete: bool) -> Iterator[str]:
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if rest and is_complete:
        yield rest.decode("utf-8", "replace")


def _sortable(stamp: str) -> str:
    """A time of varying precision, such as 2026-01-01T00:00:00.5Z, in a form that sorts as text."""
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"
