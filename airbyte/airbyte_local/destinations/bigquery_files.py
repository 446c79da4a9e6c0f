"""Parquet files for load jobs of BigQuery, and the values that BigQuery's types cannot hold."""

import tempfile
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airbyte_local.columns import Column, Kind, pc
from exact_json import is_exact, parts

# Arrow type of dates and times, with the first and last value that BigQuery supports.
_MOMENTS = {
    Kind.DATE: (pa.date32(), -719_162, 2_932_896),
    Kind.TIMESTAMP: (pa.timestamp("us"), -62_135_596_800_000_000, 253_402_300_799_999_999),
    Kind.TIMESTAMP_TZ: (pa.timestamp("us", "UTC"), -62_135_596_800_000_000, 253_402_300_799_999_999),
}
# Numbers that certainly fit BIGNUMERIC, and the number of digits it has after the point.
_PLAIN_NUMBER = r"^[+-]?[0-9]{0,38}(\.[0-9]{0,38})?$"
_SCALE = 38


@dataclass
class Gathering:
    """A Parquet file that rows are added to; created with the first rows."""

    _file: Any = None
    _writer: Any = None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.tell() if self._file else 0

    def add(self, rows: pa.Table) -> None:
        """Write rows to the file."""
        if self._file is None:
            # Unnamed, so it disappears even if the process is killed.
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 it stays open
            self._writer = pq.ParquetWriter(self._file, rows.schema, compression="zstd")
        self._writer.write_table(rows)

    def take(self) -> Any:
        """The complete file, positioned at its end, or None if there are no rows; the next rows start another file."""
        if self._file is None:
            return None
        self._writer.close()
        file, self._file, self._writer = self._file, None, None
        return file


def staged(column: Column, values: pa.Array) -> tuple[pa.Array, list[int]]:
    """A column's values for Parquet, and the indexes of those that BigQuery's type cannot hold, which are null."""
    wrong = []
    if column.kind is Kind.NUMBER:
        odd = pc.indices_nonzero(pc.invert(pc.match_substring_regex(values, _PLAIN_NUMBER)).fill_null(False))
        wrong = [index for index in odd.to_pylist() if not _fits(values[index].as_py())]
    elif column.kind is Kind.JSON:
        texts = values.to_pylist()
        wrong = [index for index, text in enumerate(texts) if text is not None and not is_exact(text)]
    elif column.kind is Kind.TIME:
        # Arrow cannot parse times without a date.
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
    """Whether BIGNUMERIC can hold a number without loss."""
    sign, digits, power = parts(text)
    shift = power + _SCALE
    # The largest values of 77 digits do not fit.
    return not digits or (0 <= shift <= 77 - len(digits) and int(digits) * 10**shift < 2**255 + (sign == "-"))
