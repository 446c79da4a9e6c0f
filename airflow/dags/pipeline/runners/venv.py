"""Commands in virtual environments of the machine that runs the tasks."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.standard.hooks.subprocess import SubprocessHook

from pipeline import reports
from pipeline.runners.operator import CommandOperator
from pipeline.runners.outcome import Outcome
from pipeline.settings import Settings


class VenvCommandOperator(CommandOperator):
    """Run a command in the virtual environment `runner.root`/NAME."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._hook = SubprocessHook()

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the command; its output is the task's log."""
        with reports.pushed(context) as report, TemporaryDirectory() as folder:
            settings, result = Settings(), Path(folder) / "result.json"
            program = settings.runner.root / self.environment / "bin" / self.command[0]
            if not program.exists():
                raise AirflowFailException(
                    f"there is no program {program}: `make setup` makes the environments; then check the task's command"
                )
            ended = self._hook.run_command(
                # The kernel kills the command when its task ends in any way, so that a retry never meets the first try.
                ["setpriv", "--pdeathsig", "KILL", str(program), *self.command[1:], "--result", str(result)],
                env=settings.task_environment(),
                cwd=str(settings.runner.project),
            )
            text = result.read_text() if result.exists() else None
            return Outcome(self.command, ended.exit_code, text, ended.output).facts(report)

    def on_kill(self) -> None:
        """Stop the command and all its processes."""
        self._hook.send_sigterm()
