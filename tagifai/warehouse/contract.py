"""The interface between the commands and a warehouse, whichever database it is."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

LABELED_PROJECTS = "marts.labeled_projects"
PROJECTS_TO_PREDICT = "marts.projects_to_predict"
PREDICTIONS = "marts.predictions"

T = TypeVar("T")


class Tables(Protocol):
    """The published tables.

    The same rows have the same Arrow types and the same order in every warehouse.
    """

    @property
    def bytes_billed(self) -> int | None:
        """Bytes that the queries so far were billed for; None where nothing is billed by bytes."""

    def ask(self) -> None:
        """Ask the warehouse something that costs nothing and needs no table.

        Raises:
            TagifaiError: it refuses.
            ServiceError: it does not answer.
        """

    def labeled_projects(self, columns: tuple[str, ...]) -> "pa.Table":
        """Read columns of all labelled projects, ordered by id.

        Raises:
            ServiceError: the warehouse does not answer.
            TagifaiError: the table is missing or empty.
        """

    def projects_to_predict(self, columns: tuple[str, ...], look: Callable[[], T]) -> "tuple[pa.Table, T, datetime]":
        """Read columns of all projects, ordered by id, and what `look` returns; with them comes a time.

        The time is later than all published predictions. Of two calls, also at once, the one with the later time has
        neither older rows nor an older look, unless the clock is set back. `look` may be called several times.

        Raises:
            ServiceError: the warehouse does not answer.
            TagifaiError: the table is missing or empty.
        """

    def replace_predictions(self, predictions: "pa.Table", predicted_at: datetime) -> bool:
        """Replace the rows of marts.predictions, or create it; readers see the old or the new rows, and views stay.

        Args:
            predictions: columns `id` int64, `tag` string, `probability` double, `model_version` string.
            predicted_at: when they were made, as projects_to_predict gave it.

        Returns:
            Whether the rows were replaced; newer ones are kept.

        Raises:
            ServiceError: the warehouse does not answer.
            TagifaiError: the warehouse refuses, or two predictions have the same id.
        """
