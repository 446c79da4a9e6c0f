"""Patience with what can pass by itself."""

import time
from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

# Seconds between two lines of the log that give the same reason.
REPEAT = 30
# Seconds without a line at the beginning: most waits are over by then.
QUIET = 2


class Waiting:
    """Counts how long something has been in the way, and tells the log why.

    Args:
        seconds: how long it may last.
        log: the task's log.
        remedy: ends the message of the error, beside the reason.
    """

    def __init__(self, seconds: float, log: Any, remedy: str = "", clock: Callable[[], float] = time.monotonic):
        self._seconds = seconds
        self._log = log
        self._remedy = remedy
        self._clock = clock
        self._since: float | None = None
        self._told: tuple[str, float] = ("", 0.0)

    def because(self, reason: str) -> None:
        """Still waiting; call it at each look.

        Raises:
            AirflowException: it has lasted too long; the message has the reason.
        """
        now = self._clock()
        self._since = now if self._since is None else self._since
        text, when = self._told
        if now - self._since >= QUIET and (reason != text or now - when >= REPEAT):
            self._log.info("Waiting, for %.0f s of at most %.0f s: %s", now - self._since, self._seconds, reason)
            self._told = (reason, now)
        if now - self._since >= self._seconds:
            raise AirflowException(
                f"given up after {self._seconds:.0f} s (runner.start_timeout): {reason}{self._remedy}"
            )

    def over(self) -> None:
        """Nothing is in the way any more."""
        if self._since is not None and self._told[0]:
            self._log.info("It goes on after %.0f s", self._clock() - self._since)
        self._since, self._told = None, ("", 0.0)
