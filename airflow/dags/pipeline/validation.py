"""Great Expectations checkpoints as tasks."""

from contextlib import suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from great_expectations_provider.common.errors import GXValidationFailed
from great_expectations_provider.operators.validate_checkpoint import GXValidateCheckpointOperator

from pipeline import reports
from pipeline.links import ValidationResult
from pipeline.suites import ExpectationError


class CheckpointOperator(GXValidateCheckpointOperator):
    """The provider's operator with our Data Context and a readable error message.

    Returns the validation result as XCom, also if it fails. The template `file` is the URI of the Parquet file that the
    checkpoint reads; None if it reads a table.

    Raises:
        AirflowFailException: the data does not meet the expectations, or one that the application's file adds is wrong;
            the message says which, with examples. A retry would not help.
        AirflowException: an expectation could not be checked, for example because the server has stopped.
    """

    template_fields = ("file",)
    operator_extra_links = (ValidationResult(),)
    ui_color = "#ffe7cf"

    def __init__(self, *, checkpoint: str, file: str | None = None, **kwargs: Any):
        super().__init__(
            context_type="file",
            configure_file_data_context=_open_context,
            configure_checkpoint=self._configure,
            **kwargs,
        )
        self.checkpoint = checkpoint
        self.file = file

    def execute(self, context: Any) -> None:
        """Run the checkpoint."""
        # Airflow runs a copy of the operator, with its templates rendered; the method must belong to that copy.
        self.configure_checkpoint = self._configure
        with reports.pushed(context) as report:
            try:
                with suppress(GXValidationFailed):
                    super().execute(context)
            except ExpectationError as error:
                raise AirflowFailException(str(error)) from None
            report.update(self._gate.report())
        if not self._gate.success:
            kind = AirflowFailException if self._gate.is_checked else AirflowException
            raise kind(self._gate.error_message())

    # A DAG file must not import Great Expectations, which takes 5 s; so these two import it when the task runs.

    def _configure(self, gx_context: Any) -> Any:
        from pipeline.gate import Gate

        self._gate = Gate(gx_context, self.checkpoint, self.file)
        return self._gate


def _open_context() -> Any:
    from pipeline.data_context import open_context

    return open_context()


def validate(checkpoint: str, *, task_id: str | None = None, file: str | None = None) -> CheckpointOperator:
    """Task that runs a checkpoint of great_expectations/ on its table, or on a Parquet file; `file` is a template.

    It fails without a retry if the data fails; it is retried if it was killed or cannot reach its server.
    """
    return CheckpointOperator(task_id=task_id or f"validate_{checkpoint}", checkpoint=checkpoint, file=file)
