"""Where in a file a row is, for the messages about it: found by a second look, which only a bad file needs."""

import csv
import io
from dataclasses import dataclass

from source_files.content import Pieces, pieces, public
from source_files.errors import SourceError


@dataclass(frozen=True)
class Place:
    """A row of a file.

    Attributes:
        file: path or URL, as messages may show it.
        row: as a spreadsheet numbers it: the header is row 1, a value's line breaks start none, blank rows count.
        line: of its beginning, as an editor numbers it.
        names: of the columns.
        values: as far as they were read; other than UTF-8 is in them as surrogates.
    """

    file: str
    row: int
    line: int
    names: list[str]
    values: list[str]

    def __str__(self) -> str:
        """For a message."""
        line = f" (line {self.line})" if self.line != self.row else ""
        return f"{self.file}, row {self.row}{line}"

    def of(self, column: str | None) -> str:
        """For a message about one of the row's values, if it is known which."""
        return f"{self}, column {column}" if column else str(self)

    @property
    def last_column(self) -> str | None:
        """Column of the last value that was read."""
        return self.names[min(len(self.values), len(self.names)) - 1] if self.values else None

    def bytes_of(self, column: str) -> bytes:
        """The column's value; empty where it was not read."""
        return dict(zip(self.names, self.values, strict=False)).get(column, "").encode("utf-8", "surrogateescape")


def find(url: str, number: int, *, names: list[str], limit: int) -> Place:
    """Look for a row.

    Args:
        url: path of the file, or its http(s) URL, which is read again.
        number: of the row, from the header as 1, blank rows left out.
        names: of the columns.
        limit: characters of the row that are read.
    """
    csv.field_size_limit(2 * limit)
    try:
        with pieces(url) as content:
            # Arrow, too, takes each of \r, \n and \r\n for the end of a line.
            text = io.TextIOWrapper(io.BufferedReader(Pieces(content)), "utf-8-sig", "surrogateescape", newline="")
            rows, row, left = csv.reader(iter(text.readline, "")), 0, number - 1
            while left:
                left -= bool(next(rows, ["the end"]))
                row += 1
            line = rows.line_num
            while not (start := text.readline(limit)).strip("\r\n") and start:
                row, line = row + 1, line + 1
            values = next(csv.reader(io.StringIO(start + text.read(limit - len(start)), newline="")), [])
            return Place(public(url), row + 1, line + 1, names, values)
    except (SourceError, csv.Error):
        # The address answers otherwise than before: what is known already has to do.
        return Place(public(url), number, number, names, [])
