"""Finds the position of a row in a CSV file, for error messages; reads the file a second time."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from source_files.config import Csv
from source_files.content import opened, public
from source_files.encoding import MARK
from source_files.errors import SourceError


@dataclass(frozen=True)
class Place:
    """A row of a file, whose path or URL is without secrets."""

    file: str
    # Number in a spreadsheet: the header is row 1, line breaks in values do not count, blank rows do.
    row: int
    # Number of its first line in an editor.
    line: int
    names: list[str]
    # The values that could be read; bytes that are not text are marked, see MARK.
    values: list[str]

    def __str__(self) -> str:
        """For a message."""
        line = f" (line {self.line})" if self.line != self.row else ""
        return f"{self.file}, row {self.row}{line}"

    def of(self, column: str | None) -> str:
        """For a message about a value of the row, or about the row if the column is unknown."""
        return f"{self}, column {column}" if column else str(self)

    @property
    def last_column(self) -> str | None:
        """Column of the last value that could be read."""
        return self.names[min(len(self.values), len(self.names)) - 1] if self.values else None

    def bytes_of(self, column: str, encoding: str) -> bytes:
        """Bytes of a column's value in the file, for UTF-16 and UTF-32 in UTF-8; empty if it could not be read."""
        shown = "utf-8" if encoding.startswith(("utf-16", "utf-32")) else encoding
        return dict(zip(self.names, self.values, strict=False)).get(column, "").encode(shown, MARK)


def find(url: str, number: int, *, names: list[str], csv_options: Csv, limit: int) -> Place:
    """Find a row by its number without blank rows (the header is 1), and read at most `limit` characters of it."""
    csv.field_size_limit(2 * limit)
    encoding = "utf-8-sig" if csv_options.encoding == "utf-8" else csv_options.encoding
    dialect = {"delimiter": csv_options.delimiter, "quotechar": csv_options.quote}
    try:
        with opened(url) as content:
            # As for Arrow, each of \r, \n and \r\n ends a line.
            text = io.TextIOWrapper(content.seekable(), encoding, MARK, newline="")
            rows, row, left = csv.reader(iter(text.readline, ""), **dialect), 0, number - 1
            while left:
                left -= bool(next(rows, ["the end"]))
                row += 1
            line = rows.line_num
            while not (start := text.readline(limit)).strip("\r\n") and start:
                row, line = row + 1, line + 1
            values = next(csv.reader(_lines(text, start, limit), **dialect), [])
            return Place(public(url), row + 1, line + 1, names, values)
    except (SourceError, csv.Error):
        # The server now answers differently; use what is known.
        return Place(public(url), number, number, names, [])


def _lines(text: io.TextIOWrapper, line: str, limit: int) -> Iterator[str]:
    """This line and the following ones, at most `limit` characters."""
    while line:
        yield line
        limit -= len(line)
        line = text.readline(limit)
