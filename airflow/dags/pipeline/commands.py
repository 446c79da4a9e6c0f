"""Commands in the locked environments as tasks."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipeline import reports
from pipeline.links import DbtDocs, MlflowModel, MlflowRun
from pipeline.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator


class CommandOperator(BaseOperator):
    """Run a command in a virtual environment and return the JSON object that it writes to `--result`.

    The object's member `report` becomes the XCom `report` and is not part of what is returned.

    `command` is a program of the locked `environment` with its arguments, a template.

    Raises:
        AirflowFailException: the command wrote an `error` that a retry would not help.
        AirflowException: the failure may be temporary (exit status 75, EX_TEMPFAIL), or the command crashed.
    """

    template_fields = ("command",)
    operator_extra_links = (DbtDocs(), MlflowRun(), MlflowModel())
    ui_color = "#e8f1fb"

    def __init__(self, *, environment: str, command: list[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.environment = environment
        self.command = command
        self._hook = SubprocessHook()

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the command; its output is the task's log."""
        with reports.pushed(context) as report, TemporaryDirectory() as folder:
            settings, result = Settings(), Path(folder) / "result.json"
            program = str(settings.runner.root / self.environment / "bin" / self.command[0])
            ended = self._hook.run_command(
                # The kernel kills the command when its task ends in any way, so that a retry never meets the first try.
                ["setpriv", "--pdeathsig", "KILL", program, *self.command[1:], "--result", str(result)],
                env=settings.task_environment(),
                cwd=str(settings.runner.project),
            )
            facts = json.loads(result.read_text()) if result.exists() else {}
            report.update(facts.pop(reports.KEY, {}))
            if "error" in facts:
                kind = AirflowException if ended.exit_code == os.EX_TEMPFAIL else AirflowFailException
                raise kind(facts["error"])
            if ended.exit_code:
                raise AirflowException(f"`{' '.join(self.command)}` ended with {ended.exit_code}: {ended.output}")
        return facts

    def on_kill(self) -> None:
        """Stop the command and all its processes."""
        self._hook.send_sigterm()


def dbt(verb: str, *, task_id: str, **kwargs: Any) -> CommandOperator:
    """Task that runs a verb of dbt_transforms/transform.py."""
    command = ["python", "dbt_transforms/transform.py", verb]
    return CommandOperator(task_id=task_id, environment="dbt", command=command, **kwargs)


def tagifai(*command: str, task_id: str | None = None) -> CommandOperator:
    """Task that runs a command of tagifai; `task_id` is the command's name by default."""
    return CommandOperator(task_id=task_id or command[0], environment="tagifai", command=["tagifai", *command])


def tagifai_mapped(*command: str, over: Iterable[int]) -> "MappedOperator":
    """Parallel tasks that run the same command of tagifai, each with one of `over` as its last argument."""
    commands = [["tagifai", *command, str(each)] for each in over]
    return CommandOperator.partial(task_id=command[0], environment="tagifai").expand(command=commands)
