"""What a command's end means, alike in every runner: no result, no success."""

import json
import os
from dataclasses import dataclass
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from pipeline import reports

# Exit statuses by which a shell, `env` or a container engine says that there is no such program.
NO_PROGRAM = (126, 127)
# What `task` says in the image, see docker/task.
EXCEEDED = "exceeded its memory limit"
TIMED_OUT = "Timeout: it is not ready within the task's execution_timeout"


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        command: the command, for messages.
        status: its exit status; None: unknown, since it was not seen to end.
        result: the text of its result file, None if there is none.
        reason: why it ended, as far as its surroundings know, and what to do: memory, deletion, last words.
        helpless: whether a retry cannot help, whatever the result says.
    """

    command: list[str]
    status: int | None
    result: str | None = None
    reason: str = ""
    helpless: bool = False

    @property
    def _shown(self) -> str:
        return f"`{' '.join(self.command)}`"

    def facts(self, report: reports.Report) -> dict[str, Any]:
        """The result without its report, which is merged into `report`.

        Raises:
            AirflowFailException: a retry would not help.
            AirflowException: the command did not do its work; another try may.
        """
        facts, flaw = self._read()
        report.update(facts.pop(reports.KEY, None) or {})
        if "error" in facts:
            kind = AirflowException if self.status == os.EX_TEMPFAIL else AirflowFailException
            raise kind(facts["error"])
        if self.status == 0 and not flaw and not self.helpless:
            return facts
        told = f": {self.reason}" if self.reason else ""
        if self.status is None:
            raise self._error(f"{self._shown} was not seen to end{told}")
        if self.status:
            raise self._error(f"{self._shown} ended with {self.status}{told}")
        raise self._error(f"{self._shown} ended with 0, but {flaw}, so it does not count as done{told}")

    def _error(self, message: str) -> AirflowException:
        return AirflowFailException(message) if self.helpless else AirflowException(message)

    def _read(self) -> tuple[dict[str, Any], str]:
        """The result, and what is wrong with it."""
        if not self.result:
            return {}, "wrote no result"
        try:
            facts = json.loads(self.result)
        except ValueError:
            return {}, f"its result is not JSON but begins with {self.result[:80]!r}"
        if not isinstance(facts, dict):
            return {}, f"its result is not a JSON object but {self.result[:80]!r}"
        try:
            # In the report, such numbers become null.
            json.dumps({key: fact for key, fact in facts.items() if key != reports.KEY}, allow_nan=False)
        except ValueError:
            return {}, "its result holds NaN or infinity, which JSON does not have"
        return facts, ""


def exceeded(task_id: str, limit: str | None) -> str:
    """Why a command ended that used more memory than it may, and what to do."""
    told = f"the kernel killed a process because the container {EXCEEDED} ({limit or 'which is the machine here'})"
    return f"{told}: raise runner.tasks.{task_id}.memory or runner.memory"
