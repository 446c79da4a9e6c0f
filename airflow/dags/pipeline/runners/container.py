"""Commands in containers of Docker. The SDK is imported when a task runs."""

from typing import TYPE_CHECKING, Any

from pipeline import reports
from pipeline.runners.operator import CommandOperator

if TYPE_CHECKING:
    from pipeline.runners.engine import Run


class ContainerCommandOperator(CommandOperator):
    """Run a command in a container of its own, from `runner.image`, within its own limits of memory and CPU."""

    _run: "Run | None" = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the container, or take up the one that an earlier try has left; its output is the task's log."""
        from pipeline.runners.engine import Run

        with reports.pushed(context) as report:
            self._run = Run(self, context["ti"])
            return self._run.facts(report)

    def on_kill(self) -> None:
        """Stop the container."""
        if self._run:
            self._run.remove()
