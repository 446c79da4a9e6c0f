"""Finds the position of a row in a CSV file, for error messages; reads the file a second time."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from source_files import dialect
from source_files.config import Csv
from source_files.content import opened, public
from source_files.encoding import MARK, with_order
from source_files.errors import SourceError
from source_files.rows import LONGEST


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


def find(url: str, number: int, *, names: list[str], csv_options: Csv, skipped: int, limit: int) -> Place:
    """Find a row by its number among those that are not blank, and read at most `limit` characters of it.

    The first row is that behind the first `skipped` lines, which is the header if the file has one.
    """
    try:
        with opened(url) as content:
            encoding = with_order(csv_options.encoding, content.head)
            encoding = "utf-8-sig" if encoding == "utf-8" else encoding
            # As for Arrow, each of \r, \n and \r\n ends a line.
            text = io.TextIOWrapper(content.seekable(), encoding, MARK, newline="")
            for _ in range(skipped):
                text.readline()
            lines = _Lines(text, csv_options.comment)
            rows, row, left = csv.reader(lines, **dialect.python(csv_options)), skipped, number - 1
            while left:
                lines.at_row = True
                left -= bool(next(rows, ["the end"]))
                row += 1
            line = skipped + rows.line_num
            while is_blank(start := text.readline(LONGEST), csv_options.comment) and start:
                row, line = row + 1, line + 1
            values = next(csv.reader(_limited(text, start[:limit], limit), **dialect.python(csv_options)), [])
            return Place(public(url), row + 1, line + 1, names, values)
    except (SourceError, csv.Error):
        # The server now answers differently; use what is known.
        return Place(public(url), skipped + number, skipped + number, names, [])


def is_blank(line: str, comment: str | None) -> bool:
    """Whether a line at which a row can begin is blank or a comment."""
    return not line.strip("\r\n") or bool(comment and line.startswith(comment))


class _Lines:
    """A text's lines; one at which a row can begin is blank if it is a comment."""

    def __init__(self, text: io.TextIOWrapper, comment: str | None):
        self._text = text
        self._comment = comment
        self.at_row = True

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline():
            is_comment, self.at_row = self.at_row and is_blank(line, self._comment), False
            yield "\n" if is_comment else line


def _limited(text: io.TextIOWrapper, line: str, limit: int) -> Iterator[str]:
    """This line and the following ones, at most `limit` characters."""
    while line:
        yield line
        limit -= len(line)
        line = text.readline(limit)
