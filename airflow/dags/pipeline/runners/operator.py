"""What the operators of all runners have in common."""

from typing import Any

from airflow.sdk import BaseOperator

from pipeline.links import DbtDocs, MlflowModel, MlflowRun
from pipeline.settings import Runner, Settings


class CommandOperator(BaseOperator):
    """Run a command of a locked environment and return the JSON object that it writes to `--result`.

    The object's member `report` becomes the XCom `report` and is not part of what is returned.

    `command` is a program of `environment` with its arguments, a template.

    Raises:
        AirflowFailException: a retry would not help: the command wrote an `error`, is unknown, or cannot be started.
        AirflowException: the failure may be temporary (exit status 75, EX_TEMPFAIL), the command crashed, or it ended
            without a result.
    """

    template_fields = ("command",)
    operator_extra_links = (DbtDocs(), MlflowRun(), MlflowModel())
    ui_color = "#e8f1fb"

    def __init__(self, *, environment: str, command: list[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.environment = environment
        self.command = command

    @property
    def runner(self) -> Runner:
        """The settings of this task's runner."""
        return Settings().runner.of(self.task_id)
