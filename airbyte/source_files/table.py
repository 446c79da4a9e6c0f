"""A CSV file as rows of text, read in bounded memory, with errors that name file, row and column.

An unquoted empty value is null, a quoted one ("") is empty text, as in PostgreSQL's COPY; every other value is the
file's text, byte for byte. Blank lines are passed over.
"""

import csv
import io
import re
import uuid
from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pacsv

from source_files.config import Stream
from source_files.content import Pieces, pieces, public
from source_files.errors import SourceError
from source_files.place import Place, find

# Bytes; every row up to this length is read, and none of twice the length.
BLOCK = 8 << 20
# Rows turned into Python objects at once.
SLICE = 5_000
# Characters of a header that messages show.
SHOWN = 200


def header(stream: Stream) -> list[str]:
    """Column names in the first row of a stream's file.

    Raises:
        SourceError: the file cannot be read, is no CSV file, or lacks a declared column.
    """
    with pieces(stream.url) as content:
        return _header(stream, _head(content))


def read(stream: Stream, warn: Callable[[str], None]) -> Iterator[list[dict[str, str | None]]]:
    """Rows of a stream's file, some thousands at a time.

    Args:
        stream: the file and its declared columns.
        warn: called with a message about columns that the file has and the stream does not declare.

    Yields:
        Rows in the file's order: the value of every declared column.

    Raises:
        SourceError: the file cannot be read as declared; rows before the fault may have been given already.
    """
    with pieces(stream.url) as content:
        head = _head(content)
        names = _header(stream, head)
        if undeclared := [name for name in names if name not in stream.columns]:
            warn(f"{public(stream.url)}: columns that are not declared are not loaded: {', '.join(undeclared)}")
        # A last row of our own comes back unchanged unless an open quote swallows it.
        mark = uuid.uuid4().hex
        ending = f"\n{','.join([mark] * len(names))}\n".encode()
        # The buffer makes every read a whole block: pyarrow takes a short one for a block of its own.
        file = io.BufferedReader(Pieces(chain([head], content, [ending])))
        yield from _rows(stream, names, file, mark)


def _rows(
    stream: Stream, names: list[str], file: io.BufferedReader, mark: str
) -> Iterator[list[dict[str, str | None]]]:
    bad: list[pacsv.InvalidRow] = []
    count = 1  # rows so far, the header among them and blank ones not
    last: dict[str, str | None] = {}

    def refuse(row: pacsv.InvalidRow) -> str:
        bad.append(row)
        return "error"

    def place(number: int) -> Place:
        return find(stream.url, number, names=names, limit=BLOCK)

    try:
        # One thread: with more, errors lose their row numbers (https://github.com/apache/arrow/pull/10321).
        batches = pacsv.open_csv(
            file,
            read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pacsv.ConvertOptions(
                include_columns=stream.columns,
                column_types=dict.fromkeys(stream.columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in batches:
            for start in range(0, batch.num_rows, SLICE):
                columns = [column.to_pylist() for column in batch.slice(start, SLICE).columns]
                if nul := _nul(columns):
                    row, column = nul
                    where = place(count + 1 + row).of(stream.columns[column])
                    raise SourceError(f"{where}: the text has a NUL byte, which no table can hold; remove it")
                rows = [dict(zip(stream.columns, values, strict=True)) for values in zip(*columns, strict=True)]
                last = rows[-1]
                if set(last.values()) == {mark}:
                    rows.pop()
                count += len(rows)
                yield rows
    except pa.ArrowException as error:
        raise SourceError(_explain(str(error), place, names, count, bad, mark)) from error
    if set(last.values()) != {mark}:
        raise SourceError(_unclosed(place(count)))


def _nul(columns: list[list[str | None]]) -> tuple[int, int] | None:
    """The row and the column of the first NUL byte in columns of values."""
    found = [
        (next(row for row, value in enumerate(values) if value and "\0" in value), column)
        for column, values in enumerate(columns)
        # All values at once, since it is done to every row of every file.
        if "\0" in "".join(filter(None, values))
    ]
    return min(found, default=None)


def _explain(
    error: str, place: Callable[[int], Place], names: list[str], count: int, bad: list[pacsv.InvalidRow], mark: str
) -> str:
    """What an error of the CSV parser means to the owner of the file."""
    if bad:
        row = bad[0]
        if mark in row.text:
            return _unclosed(place(row.number))
        return (
            f"{place(row.number)}: {row.actual_columns} values, but the header has {row.expected_columns} columns; "
            f'put a value with commas or line breaks in double quotes: "{row.text[:80]}"'
        )
    if found := re.match(r"In CSV column #(\d+): Row #(\d+): .*invalid UTF8", error):
        where, column = place(int(found[2])), names[int(found[1])]
        return f"{where.of(column)}: {where.bytes_of(column)[:80]!r} is not UTF-8; save the file as UTF-8"
    where = place(count + 1)
    if "straddling" in error:
        return f"{where.of(where.last_column)}: longer than {BLOCK >> 20} MB; close its quote, shorten it or remove it"
    return f"{where}: {error}"


def _unclosed(where: Place) -> str:
    remedy = 'close it, or write a literal quote as ""'
    return f"{where.of(where.last_column)}: a double quote opens and is never closed; {remedy}"


def _head(content: Iterator[bytes]) -> bytes:
    """The file's first bytes, enough for its header."""
    head = b""
    while len(head) < BLOCK >> 4 and (piece := next(content, None)) is not None:
        head += piece
    return head


def _header(stream: Stream, head: bytes) -> list[str]:
    url = public(stream.url)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError(f"{url}: the text is UTF-16, not UTF-8; save the file as UTF-8")
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|!--|html|\?xml)", head, re.IGNORECASE):
        raise SourceError(f"{url}: an HTML or XML page, not a CSV file; give the address of the raw file")
    # A multi-byte character cut at the end of the head is not a fault of the header.
    text = io.StringIO(head.decode("utf-8-sig", errors="surrogateescape"), newline="")
    try:
        row, names = next(
            ((row, names) for row, names in enumerate(csv.reader(text, strict=True), 1) if names), (1, [])
        )
    except csv.Error as error:
        raise SourceError(f"{url}, row 1: the header is no CSV: {error}; correct its quotes and commas") from error
    if not names:
        raise SourceError(f"{url}: the file is empty; it needs a header row with {', '.join(stream.columns)}")
    shown = ", ".join(ascii(name) if not name.isprintable() or name != name.strip() else name for name in names)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    if not all(_is_text(name) for name in names):
        raise SourceError(f"{url}, row {row}: the header is not UTF-8: {shown}; save the file as UTF-8")
    if missing := [name for name in stream.columns if name not in names]:
        hint = f"add it, or correct the header, which has: {shown}"
        if len(names) == 1 and (used := [d for d in ";\t|" if d in names[0]]):
            hint = f"the header is {names[0][:SHOWN]!r}: separate values by commas instead of {used[0]!r}"
        raise SourceError(f"{url}, row {row}: no column {', '.join(missing)}; {hint}")
    if repeated := [name for name in stream.columns if names.count(name) > 1]:
        raise SourceError(f"{url}, row {row}: column {', '.join(repeated)} occurs twice; rename or remove one")
    return names


def _is_text(name: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in name)
