"""CSV files: values as text, and errors that name file, row and column.

As in PostgreSQL's COPY, an unquoted value that equals a null text (empty by default) is null, and a quoted value
never is. All other values are the text in the file. Blank lines are ignored.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.csv as pacsv

from source_files import dialect, place
from source_files.arrow_records import NulError, lines
from source_files.config import Csv, Stream
from source_files.content import Content, public
from source_files.encoding import utf8
from source_files.errors import SourceError, nul_error
from source_files.header import begin, expected, names_of
from source_files.rows import LONGEST, parts
from source_files.schema import Columns
from source_files.text_types import fitting


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
        self._url, url = content.url, public(content.url)
        pieces, self._csv, self._skipped = begin(url, utf8(content, stream.csv.encoding, "CSV"), stream.csv)
        self._parts = parts(pieces, self._csv)
        head, fault = next(((part, fault) for part, fault in self._parts if part.strip(b"\r\n")), (b"", None))
        self.names, size = names_of(content, head, fault, self._csv, columns, self._skipped)
        self._parts = chain([(head[size:], fault)], self._parts)

    def place(self, number: int, limit: int = LONGEST) -> place.Place:
        """Position of a row, of which at most `limit` characters are read, given its number without blank rows.

        The header is 1; without a header, the first row is.
        """
        return place.find(
            self._url, number, names=self.names, csv_options=self._csv, skipped=self._skipped, limit=limit
        )

    def blocks(self, columns: list[str]) -> Iterator[tuple[int, int, dict[str, pa.StringArray]]]:
        """The columns' values in blocks of rows, with the number of the first row and the number of rows."""
        number = 1 if self._csv.column_names else 2
        for part, fault in self._parts:
            if fault:
                where = self.place(number, fault.size)
                raise SourceError(f"{where.of(where.last_column)}: {fault.text}")
            if part.strip(b"\r\n"):
                table = self._parse(part, columns, number)
                yield number, table.num_rows, {name: table.column(name).chunk(0) for name in columns}
                number += table.num_rows

    def _parse(self, rows: bytes, columns: list[str], first: int) -> pa.Table:
        try:
            # With more than one thread, errors have no row numbers (https://github.com/apache/arrow/pull/10321).
            return pacsv.read_csv(
                pa.BufferReader(rows),
                read_options=pacsv.ReadOptions(column_names=self.names, use_threads=False, block_size=len(rows)),
                parse_options=dialect.arrow(self._csv),
                convert_options=pacsv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.string()),
                    null_values=self._csv.nulls,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowException as error:
            raise SourceError(self._explain(str(error), first)) from error

    def _explain(self, error: str, first: int) -> str:
        if found := re.match(r"(?s)CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", error):
            number, columns, values = map(int, found.groups()[:3])
            owner = "csv.column_names" if self._csv.column_names else "the header"
            remedy = "add the missing values" if values < columns else _remedy(found[4], self._csv)
            wrong = f"{values} values, but {owner} has {columns} columns; {remedy}"
            return f'{self.place(first - 1 + number)}: {wrong}: "{found[4][:80]}"'
        if found := re.match(r"In CSV column #(\d+): Row #(\d+): .*invalid UTF8", error):
            where, column = self.place(first - 1 + int(found[2])), self.names[int(found[1])]
            value = where.bytes_of(column, self._csv.encoding)[:80]
            return f"{where.of(column)}: {value!r} is not {expected(self._csv)}"
        return f"{self.place(first)}: {error}"


def _remedy(row: str, csv_options: Csv) -> str:
    """What to do about a row with too many values, given its beginning."""
    delimiter, quote = csv_options.delimiter, csv_options.quote
    special = f"{dialect.name(delimiter)}s or line breaks"
    if not quote:
        return f"remove {special} from values, or set csv.quote"
    if f"{delimiter} {quote}" in row:
        return f"remove the blank before a {dialect.name(quote)}, which encloses a value only as its first character"
    if f"\\{quote}" in row and not csv_options.escape:
        return rf"set csv.escape: '\' if a backslash stands before literal {dialect.name(quote)}s"
    other = "'" if quote == '"' else '"'
    if re.search(rf"(^|{re.escape(delimiter)}){other}[^{other}]*{re.escape(delimiter)}[^{other}]*{other}", row):
        return f"values are in {dialect.name(other)}s: set csv.quote to that"
    return f"enclose values with {special} in {dialect.name(quote)}s"
