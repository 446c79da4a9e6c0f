"""How a command in one of the locked environments becomes a task."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipeline.links import DbtDocs, MlflowModel, MlflowRun
from pipeline.settings import Settings


class CommandOperator(BaseOperator):
    """Run a command in a virtual environment and return the JSON object that it writes to `--result`.

    Args:
        environment: name of the locked environment.
        command: program of that environment with its arguments; a template.

    Raises:
        AirflowFailException: the command says why it cannot succeed; trying again would not help.
        AirflowException: what failed may pass by itself (exit status 75, as in sysexits.h), or the command crashed.
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
        settings = Settings()
        program, *arguments = self.command
        with TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            program = str(settings.runner.root / self.environment / "bin" / program)
            ended = self._hook.run_command(
                # The kernel ends the command with its task, however that ends: a second try must not meet the first.
                ["setpriv", "--pdeathsig", "KILL", program, *arguments, "--result", str(result)],
                env=settings.task_environment(),
                cwd=str(settings.runner.project),
            )
            facts = json.loads(result.read_text()) if result.exists() else {}
        if "error" in facts:
            temporary = ended.exit_code == os.EX_TEMPFAIL
            raise (AirflowException if temporary else AirflowFailException)(facts["error"])
        if ended.exit_code:
            raise AirflowException(f"`{' '.join(self.command)}` ended with {ended.exit_code}: {ended.output}")
        return facts

    def on_kill(self) -> None:
        """End the command with all its processes."""
        self._hook.send_sigterm()


def dbt(verb: str, *, task_id: str, **kwargs: Any) -> CommandOperator:
    """Task that runs a verb of dbt_transforms/transform.py."""
    command = ["python", "dbt_transforms/transform.py", verb]
    return CommandOperator(task_id=task_id, environment="dbt", command=command, **kwargs)


def tagifai(*command: str, task_id: str | None = None, **kwargs: Any) -> CommandOperator:
    """Task that runs a command of tagifai; named after the command unless `task_id` says otherwise."""
    return CommandOperator(
        task_id=task_id or command[0], environment="tagifai", command=["tagifai", *command], **kwargs
    )


def tagifai_mapped(*command: str, over: Iterable[int]) -> CommandOperator:
    """Tasks side by side that run the same command of tagifai, each with one of `over` as its last argument."""
    commands = [["tagifai", *command, str(each)] for each in over]
    return CommandOperator.partial(task_id=command[0], environment="tagifai").expand(command=commands)
