"""Parquet files: values keep their types; decimals, dates, times, UUIDs and binary text become exact text."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from source_files.arrow_records import NulError, lines, unfit
from source_files.binary_columns import as_text, text_type, with_notes
from source_files.config import Stream
from source_files.errors import EmptyFileError, SourceError, nul_error
from source_files.open_file import Content, public
from source_files.schema import TYPES, Columns

# Limits of rows that are converted at once; the size in bytes is that of the file.
_ROWS, _BYTES = 2_000, 1 << 20
# Bytes of a column that are read at once.
_BUFFER = 1 << 16


def check(content: Content, stream: Stream) -> None:
    """Read a file's schema; for a URL, only the first bytes, since the schema is at the end of a file."""
    if content.file:
        with _opened(content, stream.columns):
            return
    _refuse_others(content.url, next(content.pieces, b""))


def read(
    content: Content, stream: Stream, columns: list[str], warn: Callable[[str], None]
) -> Iterator[pa.Buffer | bytes]:
    """A file's rows as lines of RECORD messages."""
    url, first, nulled = public(content.url), 1, {}
    with _opened(content, columns) as file:
        own = content.columns.present(url, columns, file.schema_arrow.names, warn)
        if others := [name for name in file.schema_arrow.names if name not in own]:
            warn(f"{url}: columns that are not declared are ignored: {', '.join(others)}")
        for batch in file.iter_batches(_rows_at_once(file), columns=own, use_threads=False):
            values, unreadable = {}, {}
            for name in own:
                values[name], rows = as_text(batch.column(name))
                if rows:
                    unreadable[name] = rows
                    start, count = nulled.get(name, (first + rows[0], 0))
                    nulled[name] = start, count + len(rows)
            try:
                found = lines(stream.name, content.columns.complete(columns, values, batch.num_rows))
                yield from with_notes(found, unreadable) if unreadable else found
            except NulError as error:
                raise nul_error(f"{url}, row {first + error.row}, column {error.column}") from None
            first += batch.num_rows
    for name, (row, count) in nulled.items():
        warn(f"{url}, row {row}, column {name}: binary values that are no UTF-8 text are null, in {count} rows")


def learn(content: Content, stream: Stream, limit: int, columns: Columns) -> None:
    """Take the types of a file's columns from its schema."""
    with _opened(content, None) as file:
        for field in file.schema_arrow:
            columns.narrow(field.name, _fitting(field.type))


@contextmanager
def _opened(content: Content, columns: list[str] | None) -> Generator[pq.ParquetFile, None, None]:
    url = public(content.url)
    try:
        with content.seekable() as source:
            _refuse_others(content.url, source.read(64))
            source.seek(0)
            # Otherwise a whole row group would be in memory.
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=_BUFFER, coerce_int96_timestamp_unit="us")
            names = file.schema_arrow.names
            if missing := content.columns.missing(columns or [], names):
                hint = f"add it, or correct its name; the file has: {', '.join(names)}"
                raise SourceError(f"{url}: no column {', '.join(missing)}; {hint}")
            for name in [name for name in content.columns.own(columns or names) if name in names]:
                if names.count(name) > 1:
                    raise SourceError(f"{url}: column {name} occurs twice; rename or remove one")
                if bad := unfit(text_type(file.schema_arrow.field(name).type)):
                    remedy = "write it as text, or declare json_schema without it"
                    raise SourceError(f"{url}, column {name}: values of type {bad} cannot be loaded; {remedy}")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{url}: the Parquet file cannot be read: {error}; write it again") from error


def _refuse_others(url: str, head: bytes) -> None:
    if not head.startswith(b"PAR1"):
        kind = SourceError if head else EmptyFileError
        remedy = "correct the stream's format, or use the address of the raw file"
        raise kind(f"{public(url)}: not a Parquet file, since it starts with {head[:40]!r}; {remedy}")


def _rows_at_once(file: pq.ParquetFile) -> int:
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    longest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1)
    return max(1, min(_ROWS, int(_BYTES / longest)))


def _fitting(kind: pa.DataType) -> set[str]:
    """Types that all values of an Arrow type fit."""
    if isinstance(kind, pa.BaseExtensionType):
        return _fitting(kind.storage_type)
    if pt.is_dictionary(kind):
        return _fitting(kind.value_type)
    if pt.is_timestamp(kind):
        return {"timestamp_tz" if kind.tz else "timestamp"}
    kinds = {
        pt.is_null: set(TYPES),
        pt.is_uint64: set(),  # the upper half is beyond bigint
        pt.is_integer: {"integer", "number"},
        pt.is_floating: {"double", "number"},
        pt.is_decimal: {"number"},
        pt.is_boolean: {"boolean"},
        pt.is_date: {"date"},
        pt.is_time: {"time"},
        pt.is_struct: {"object"},
        pt.is_map: {"object"},
        pt.is_nested: {"array"},
    }
    return next((types for is_it, types in kinds.items() if is_it(kind)), set())
