"""The operator that runs a checkpoint."""

from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from great_expectations_provider.common.errors import GXValidationFailed
from great_expectations_provider.operators.validate_checkpoint import GXValidateCheckpointOperator

from pipeline.checkpoints import Gate
from pipeline.links import ValidationResult


class CheckpointOperator(GXValidateCheckpointOperator):
    """The provider's operator with our Data Context and a message for people.

    Returns the validation result as XCom, also when it fails.

    Args:
        checkpoint: name of a checkpoint of great_expectations/.
        snapshot: URI of the Parquet file that the checkpoint `snapshot` reads; a template.

    Raises:
        AirflowFailException: the data does not meet the expectations; the message says which, with examples. Trying
            again would not help.
        AirflowException: an expectation could not be checked; the server may have gone away meanwhile.
    """

    template_fields = ("snapshot",)
    operator_extra_links = (ValidationResult(),)
    ui_color = "#ffe7cf"

    def __init__(self, *, checkpoint: str, snapshot: str | None = None, **kwargs: Any):
        super().__init__(
            context_type="file",
            configure_file_data_context=_open_context,
            configure_checkpoint=self._configure,
            **kwargs,
        )
        self.checkpoint = checkpoint
        self.snapshot = snapshot

    def execute(self, context: Any) -> None:
        """Run the checkpoint."""
        # Airflow runs a copy of the operator, with its templates rendered; the method must be the copy's own.
        self.configure_checkpoint = self._configure
        try:
            super().execute(context)
        except GXValidationFailed:
            kind = AirflowFailException if self._gate.is_checked else AirflowException
            raise kind(self._gate.report()) from None

    def _configure(self, gx_context: Any) -> Gate:
        self._gate = Gate(gx_context, self.checkpoint, self.snapshot)
        return self._gate


def _open_context() -> Any:
    from pipeline.data_context import open_context

    return open_context()
