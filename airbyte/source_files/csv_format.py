"""CSV files: column names in the first row, values as text, and errors that name file, row and column.

As in PostgreSQL's COPY, an unquoted value that equals the null text (empty by default) is null, and a quoted value
never is. All other values are the text in the file. Blank lines are ignored.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pacsv

from source_files import place
from source_files.arrow_records import NulError, lines
from source_files.config import Csv, Stream
from source_files.content import Content, public
from source_files.encoding import MARK, is_text, utf8
from source_files.errors import EmptyFileError, SourceError, nul_error
from source_files.schema import Columns
from source_files.text_types import fitting

# Rows up to this size in bytes are read; rows of twice the size are refused.
_LONGEST = 8 << 20
# Characters of a header that are shown in messages.
_SHOWN = 200
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", '"': "double quote", "'": "single quote"}


def check(content: Content, stream: Stream) -> None:
    """Read a file's header; raises SourceError if it is not a CSV file, or lacks a declared column."""
    _File(content, stream, stream.columns)


def read(content: Content, stream: Stream, columns: list[str], warn: Callable[[str], None]) -> Iterator[pa.Buffer]:
    """A file's rows as lines of RECORD messages with these columns, which the file must have; warns of others.

    Raises:
        SourceError: the file is not as declared; earlier rows may have been returned already.
    """
    file = _File(content, stream, columns)
    own = content.columns.present(public(content.url), columns, file.names, warn)
    if others := [name for name in file.names if name not in own]:
        warn(f"{public(content.url)}: columns that are not declared are ignored: {', '.join(others)}")
    for rows, count, values in file.blocks(own):
        try:
            yield from lines(stream.name, content.columns.complete(columns, values, count))
        except NulError as error:
            raise nul_error(file.place(rows + error.row).of(error.column)) from None


def learn(content: Content, stream: Stream, limit: int, columns: Columns) -> None:
    """Read a file's first `limit` bytes, and reduce the types of its columns to those that the values fit."""
    file = _File(content, stream, None)
    for name in file.names:
        columns.fitting(name)
    for _, _, values in file.blocks(file.names):
        for name, texts in values.items():
            if texts.null_count < len(texts):
                columns.narrow(name, fitting(texts, columns.fitting(name)))
        limit -= sum(texts.nbytes for texts in values.values())
        if limit <= 0:
            return


class _File:
    """An open CSV file, read up to the end of its header; it must have these columns."""

    def __init__(self, content: Content, stream: Stream, columns: list[str] | None):
        self._url = content.url
        self._csv = stream.csv
        self._parts = _parts(utf8(content, stream.csv.encoding, "CSV"), stream.csv)
        head, fault = next(((part, fault) for part, fault in self._parts if part.strip(b"\r\n")), (b"", None))
        self.names, size = _header(content, head, stream.csv, columns)
        self._parts = chain([(head[size:], fault)], self._parts)

    def place(self, number: int) -> place.Place:
        """Position of a row, given its number without blank rows; the header is 1."""
        return place.find(self._url, number, names=self.names, csv_options=self._csv, limit=_LONGEST)

    def blocks(self, columns: list[str]) -> Iterator[tuple[int, int, dict[str, pa.StringArray]]]:
        """The columns' values in blocks of rows, with the number of the first row and the number of rows."""
        number = 2
        for part, fault in self._parts:
            if fault:
                where = self.place(number)
                raise SourceError(f"{where.of(where.last_column)}: {fault}")
            if part.strip(b"\r\n"):
                table = self._parse(part, columns, number)
                yield number, table.num_rows, {name: table.column(name).chunk(0) for name in columns}
                number += table.num_rows

    def _parse(self, rows: bytes, columns: list[str], first: int) -> pa.Table:
        bad: list[pacsv.InvalidRow] = []

        def refuse(row: pacsv.InvalidRow) -> str:
            bad.append(row)
            return "error"

        try:
            # With more than one thread, errors have no row numbers (https://github.com/apache/arrow/pull/10321).
            return pacsv.read_csv(
                pa.BufferReader(rows),
                read_options=pacsv.ReadOptions(column_names=self.names, use_threads=False, block_size=len(rows)),
                parse_options=pacsv.ParseOptions(
                    delimiter=self._csv.delimiter,
                    quote_char=self._csv.quote,
                    newlines_in_values=True,
                    invalid_row_handler=refuse,
                ),
                convert_options=pacsv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.string()),
                    null_values=[self._csv.null],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowException as error:
            raise SourceError(self._explain(str(error), first, bad)) from error

    def _explain(self, error: str, first: int, bad: list[pacsv.InvalidRow]) -> str:
        if bad:
            row = bad[0]
            return (
                f"{self.place(first - 1 + row.number)}: {row.actual_columns} values, but the header has"
                f" {row.expected_columns} columns; enclose values with {_name(self._csv.delimiter)}s or line breaks"
                f' in {_name(self._csv.quote)}s: "{row.text[:80]}"'
            )
        if found := re.match(r"In CSV column #(\d+): Row #(\d+): .*invalid UTF8", error):
            where, column = self.place(first - 1 + int(found[2])), self.names[int(found[1])]
            value = where.bytes_of(column, self._csv.encoding)[:80]
            return f"{where.of(column)}: {value!r} is not {_expected(self._csv)}"
        return f"{self.place(first)}: {error}"


def _header(content: Content, head: bytes, csv_options: Csv, columns: list[str] | None) -> tuple[list[str], int]:
    """Names of the columns, and the size of the header in bytes."""
    url = public(content.url)
    dialect = {"delimiter": csv_options.delimiter, "quotechar": csv_options.quote}
    text = io.StringIO(head.decode("utf-8", MARK), newline="")
    try:
        rows = enumerate(csv.reader(iter(text.readline, ""), strict=True, **dialect), 1)
        row, names = next(((row, names) for row, names in rows if names), (1, []))
    except csv.Error as error:
        wrong = f"the header is not valid CSV: {error}; correct its quotes and commas"
        raise SourceError(f"{url}, row 1: {wrong}") from error
    if not names:
        wanted = f" with {', '.join(columns)}" if columns else ""
        raise EmptyFileError(f"{url}: the file is empty; it needs a header row{wanted}")
    shown = ", ".join(ascii(name) if not name.isprintable() or name != name.strip() else name for name in names)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    if not all(map(is_text, names)):
        raise SourceError(f"{url}, row {row}: the header is not {_expected(csv_options, f': {shown}')}")
    if missing := content.columns.missing(columns or [], names):
        hint = f"add it, or correct the header, which has: {shown}"
        if len(names) == 1 and (used := [d for d in ",;\t|" if d in names[0]]):
            separators = f"{_name(csv_options.delimiter)}s instead of {used[0]!r}"
            hint = f"the header is {names[0][:_SHOWN]!r}: separate values by {separators}, or declare csv.delimiter"
        raise SourceError(f"{url}, row {row}: no column {', '.join(missing)}; {hint}")
    if repeated := [name for name in dict.fromkeys(columns or names) if names.count(name) > 1]:
        raise SourceError(f"{url}, row {row}: column {', '.join(repeated)} occurs twice; rename or remove one")
    return names, len(text.getvalue()[: text.tell()].encode("utf-8", MARK))


def _parts(pieces: Iterator[bytes], csv_options: Csv) -> Iterator[tuple[bytes, str | None]]:
    """Whole rows in parts of about one piece; for the last part also the error of its first row, if it has one.

    As in Arrow, a quoted value starts with a quote and ends at the next quote that is not doubled.
    """
    delimiter, quote = (re.escape(character.encode()) for character in (csv_options.delimiter, csv_options.quote))
    quoted = re.compile(
        rb"%(q)b(?<![^%(d)b\r\n]%(q)b)[^%(q)b]*+(?:%(q)b%(q)b[^%(q)b]*+)*+(?:%(q)b|(\Z))"
        % {b"q": quote, b"d": delimiter}
    )
    rest = b""
    for piece in pieces:
        rest += piece
        if end := _end_of_rows(rest, quoted):
            yield rest[:end], None
            rest = rest[end:]
        elif len(rest) > _LONGEST:
            yield rest, f"longer than {_LONGEST >> 20} MB; close its quote, shorten it or remove it"
            return
    if rest:
        fault = None
        if any(found[1] is not None for found in quoted.finditer(rest)):
            remedy = f"close it, or write a literal quote as {csv_options.quote * 2}"
            fault = f"a {_name(csv_options.quote)} opens and is never closed; {remedy}"
        # Without the line break, Arrow treats an empty last value after a quoted one as quoted, too.
        yield rest + b"\n", fault


def _end_of_rows(rows: bytes, quoted: re.Pattern[bytes]) -> int:
    """End of the last whole row: after the last line break that is not in quotes; 0 if there is none."""
    behind = len(rows)
    for start, end in reversed([found.span() for found in quoted.finditer(rows)]):
        if line_break := max(rows.rfind(b"\n", end, behind), rows.rfind(b"\r", end, behind)) + 1:
            return line_break
        behind = start
    return max(rows.rfind(b"\n", 0, behind), rows.rfind(b"\r", 0, behind)) + 1


def _expected(csv_options: Csv, shown: str = "") -> str:
    encoding = csv_options.encoding.upper()
    return f"{encoding}{shown}; save the file as {encoding}, or declare its csv.encoding"


def _name(character: str) -> str:
    return _NAMES.get(character, repr(character))
