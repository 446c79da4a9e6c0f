"""Rows on their way into BigQuery: Parquet files, and which values its types cannot hold."""

import tempfile
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from airbyte_protocol.models import AirbyteRecordMessageMetaChange, Change, Reason

from airbyte_local.columns import Column, Kind

# What moments are in Parquet, and the first and the last of them that BigQuery knows.
_MOMENTS = {
    Kind.DATE: (pa.date32(), -719_162, 2_932_896),
    Kind.TIMESTAMP: (pa.timestamp("us"), -62_135_596_800_000_000, 253_402_300_799_999_999),
    Kind.TIMESTAMP_TZ: (pa.timestamp("us", "UTC"), -62_135_596_800_000_000, 253_402_300_799_999_999),
}
# Numbers that fit BIGNUMERIC at a glance; and digits after its point.
_PLAIN_NUMBER = r"^[+-]?[0-9]{0,38}(\.[0-9]{0,38})?$"
_SCALE = 38
# Characters kept of a value that does not fit its type.
_SHOWN = 100


class Gathering:
    """A Parquet file that rows are added to."""

    def __init__(self):
        """Nothing has gathered."""
        self._file: Any = None
        self._writer: pq.ParquetWriter | None = None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.tell() if self._file else 0

    def add(self, rows: pa.Table) -> None:
        """Write rows to the file."""
        if self._file is None:
            # Without a name, so it is gone when the process ends, however it ends.
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 it stays open
            self._writer = pq.ParquetWriter(self._file, rows.schema, compression="zstd")
        self._writer.write_table(rows)

    def take(self) -> Any:
        """The file, complete and at its end, so that the next rows begin another; None: there is none."""
        if self._file is None:
            return None
        self._writer.close()
        file, self._file, self._writer = self._file, None, None
        return file


def staged(column: Column, values: pa.Array) -> tuple[pa.Array, list[int]]:
    """A column's values as Parquet has them, and the indexes of those that do not fit and are null in it."""
    wrong = []
    if column.kind is Kind.NUMBER:
        odd = pc.indices_nonzero(pc.invert(pc.match_substring_regex(values, _PLAIN_NUMBER)).fill_null(False))
        wrong = [index for index in odd.to_pylist() if not _fits(values[index].as_py())]
    elif column.kind is Kind.TIME:
        # Arrow reads no times alone.
        moments = pc.binary_join_element_wise("1970-01-01T", values, "")
        values = moments.cast(pa.timestamp("us")).cast(pa.time64("us"))
    elif column.kind in _MOMENTS:
        kind, first, last = _MOMENTS[column.kind]
        values = values.cast(kind)
        moments = values.cast(pa.int32() if kind == pa.date32() else pa.int64())
        beyond = pc.or_(pc.less(moments, first), pc.greater(moments, last))
        wrong = pc.indices_nonzero(beyond.fill_null(False)).to_pylist()
    if wrong:
        are_wrong = set(wrong)
        mask = pa.array([index in are_wrong for index in range(len(values))])
        values = pc.if_else(mask, pa.scalar(None, values.type), values)
    return values, wrong


def _fits(text: str) -> bool:
    """Whether BIGNUMERIC holds a number without loss."""
    _, digits, exponent = Decimal(text).as_tuple()
    number = int("".join(map(str, digits)))
    while number and number % 10 == 0:
        number, exponent = number // 10, exponent + 1
    shift = exponent + _SCALE
    # Of 77 digits, all of which the first ones may not have.
    return number == 0 or (0 <= shift <= 77 and number * 10**shift < 2**255)


def nulled(column: str, value: str) -> dict[str, Any]:
    """Airbyte's note of a value that BigQuery's type cannot hold, with the value beside."""
    change = AirbyteRecordMessageMetaChange(
        field=column, change=Change.NULLED, reason=Reason.DESTINATION_FIELD_SIZE_LIMITATION
    )
    return change.model_dump(mode="json") | {"value": value[:_SHOWN]}
