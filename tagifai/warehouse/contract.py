"""The interface between the commands and a warehouse, whichever database it is."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from tagifai.settings import Columns

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


class Tables(Protocol):
    """The published tables, whose names and columns are those of the settings.

    The same rows have the same Arrow types and the same order in every warehouse: the key is int64 if its column is of
    integers, otherwise a text, as are texts and label.
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

    def labeled(self, columns: tuple[str, ...]) -> "pa.Table":
        """Read columns, among them the key, of all rows with a label, ordered by the key.

        Raises:
            ServiceError: the warehouse does not answer.
            TagifaiError: the table is missing or empty.
        """

    def to_predict(self, columns: tuple[str, ...], look: Callable[[], T]) -> "tuple[pa.Table, T, datetime]":
        """Read columns, among them the key, of all rows, ordered by the key, and what `look` returns, and a time.

        The time is later than all published predictions. Of two calls, also at once, the one with the later time has
        neither older rows nor an older look, unless the clock is set back. `look` may be called several times.

        Raises:
            ServiceError: the warehouse does not answer.
            TagifaiError: the table is missing or empty.
        """

    def replace_predictions(self, predictions: "pa.Table", predicted_at: datetime) -> bool:
        """Replace the rows of the published predictions; readers see the old or the new rows, and views stay.

        The table is created if it is missing, and replaced if its columns are others: of another application, or with
        keys of another type.

        Args:
            predictions: the columns of key and label, `probability` double, `model_version` string.
            predicted_at: when they were made, as to_predict gave it.

        Returns:
            Whether the rows were replaced; newer ones are kept.

        Raises:
            ServiceError: the warehouse does not answer.
            TagifaiError: the warehouse refuses, two predictions have the same key, or the table has other columns and
                a view reads it.
        """


def typed(table: "pa.Table", columns: Columns) -> "pa.Table":
    """A table with the types of `Tables`: the key as int64 or text, texts and label as text; others stay.

    Arrow's large strings, which pandas makes of texts, become strings.
    """
    import pyarrow as pa

    def type_of(field: pa.Field) -> pa.DataType:
        if field.name == columns.key and pa.types.is_integer(field.type):
            return pa.int64()
        is_text = field.name in (columns.key, *columns.texts, columns.label) or pa.types.is_large_string(field.type)
        return pa.string() if is_text else field.type

    return table.cast(pa.schema([pa.field(field.name, type_of(field)) for field in table.schema]))
