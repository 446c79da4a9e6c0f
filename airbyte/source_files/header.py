"""The beginning of a CSV file: lines to skip, column names, and what a file is that begins with neither."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain

from pydantic import ValidationError

from source_files import dialect
from source_files.config import Csv
from source_files.encoding import MARK, is_text
from source_files.errors import EmptyFileError, SourceError
from source_files.open_file import Content, public
from source_files.recognise import SHOWN, Row, has_names, is_json, json, no_names, other_delimiter
from source_files.rows import Fault

# Bytes that show what a file is.
_LOOK = 1 << 16
_LINE_END = rb"(?:\r\n|\r|\n)"


def begin(url: str, pieces: Iterator[bytes], csv_options: Csv) -> tuple[Iterator[bytes], Csv, int]:
    """A file's bytes behind the lines to skip, its dialect, and the number of those lines.

    Skipped are `skip_rows`, then a line such as `sep=;`, which sets the delimiter, and lines that begin with # above
    a header with another number of values.
    """
    skip = re.compile(rb"(?:[^\r\n]*+%b){%d}" % (_LINE_END, csv_options.skip_rows))
    head, skipped = b"", csv_options.skip_rows
    for piece in pieces:
        head += piece
        if len(head) >= _LOOK and skip.match(head):
            break
    found = skip.match(head)
    if not found:
        kind = SourceError if head else EmptyFileError
        raise kind(f"{url}: the file ends within its first {skipped} lines, which csv.skip_rows skips")
    head = head[found.end() :]
    if found := re.match(rb'("?)sep=(.|\\t)\1(?:%b|\Z)' % _LINE_END, head, re.IGNORECASE):
        head, skipped = head[found.end() :], skipped + 1
        delimiter = found[2].decode("utf-8", MARK)
        try:
            csv_options = Csv.model_validate({**csv_options.model_dump(), "delimiter": delimiter})
        except ValidationError:
            wrong = f"{delimiter!r} cannot be the delimiter; correct the line, or skip it with csv.skip_rows"
            raise SourceError(f"{url}, row {skipped}: {wrong}") from None
    if not csv_options.comment and (comments := re.match(rb"(?:(?:#[^\r\n]*+)?%b)+" % _LINE_END, head)):
        above, below = (_rows(rows[:_LOOK], csv_options) for rows in (comments[0], head[comments.end() :]))
        header = next(below, None)
        if header and not any(has_names(row) or len(row.values) == len(header.values) for row in above):
            head, skipped = head[comments.end() :], skipped + len(re.findall(_LINE_END, comments[0]))
    return chain([head], pieces), csv_options, skipped


def names_of(
    content: Content, head: bytes, fault: Fault | None, csv_options: Csv, columns: list[str] | None, skipped: int
) -> tuple[list[str], int]:
    """Names of the columns, and the size of the header in bytes; a SourceError if it lacks a column that it must have.

    The bytes `head` begin behind the skipped lines; `fault` is what is wrong with their first row.
    """
    url, rows = public(content.url), _rows(head, csv_options, skipped + 1)
    first, second = next(rows, None), None if fault else next(rows, None)
    if csv_options.column_names and (first or skipped):
        return _declared(content, first, second, csv_options, columns), 0
    if not first:
        wanted = f" with {', '.join(columns)}" if columns else ""
        behind = f" behind line {skipped}" if skipped else ""
        needs = "rows" if csv_options.column_names else f"a header row{wanted}"
        raise EmptyFileError(f"{url}: the file is empty{behind}; it needs {needs}")
    where, names = f"{url}, row {first.number}", first.values
    if not is_text(first.text):
        raise SourceError(f"{where}: the header is not {expected(csv_options, f': {_shown(names)}')}")
    missing = content.columns.missing(columns or [], names)
    lacks = f"no column {', '.join(missing)}; " if missing else ""
    if fault:
        what = json(first) or other_delimiter(first, None, csv_options)
        raise SourceError(f"{where}: {what or f'the header is not valid CSV: {fault.text}'}")
    if (missing or columns is None) and (what := no_names(first, second, csv_options)):
        raise SourceError(f"{where}: {lacks}{what}")
    if missing:
        raise SourceError(f"{where}: {lacks}add it, or correct the header, which has: {_shown(names)}")
    if repeated := [name for name in dict.fromkeys(columns or names) if names.count(name) > 1]:
        raise SourceError(f"{where}: column {', '.join(repeated)} occurs twice; rename or remove one")
    return names, first.size


def expected(csv_options: Csv, shown: str = "") -> str:
    """What text should be, and what to do if it is not."""
    encoding = csv_options.encoding.upper()
    return f"{encoding}{shown}; save the file as {encoding}, or declare its csv.encoding"


def _declared(
    content: Content, first: Row | None, second: Row | None, csv_options: Csv, columns: list[str] | None
) -> list[str]:
    """The declared names of a file without a header."""
    url, names = public(content.url), csv_options.column_names or []
    if missing := content.columns.missing(columns or [], names):
        wanted = f"add it to csv.column_names, which has: {_shown(names)}"
        raise SourceError(f"{url}: no column {', '.join(missing)}; {wanted}")
    if first:
        what = None
        if first.values == names:
            what = "the first row has the names of csv.column_names; remove this setting, or add 1 to csv.skip_rows"
        elif len(first.values) != len(names):
            what = json(first) or other_delimiter(first, second, csv_options)
        elif not is_json(first.values[0]):
            what = json(first)
        if what:
            raise SourceError(f"{url}, row {first.number}: {what}")
    return names


def _shown(names: list[str]) -> str:
    text = ", ".join(ascii(name) if not name.isprintable() or name != name.strip() else name for name in names)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _rows(rows: bytes, csv_options: Csv, number: int = 1) -> Iterator[Row]:
    """The rows that are not blank; the first row has this number."""
    text, start = rows.decode("utf-8", MARK), 0
    file = io.StringIO(text, newline="")
    for row, values in enumerate(csv.reader(iter(file.readline, ""), **dialect.python(csv_options)), number):
        end = file.tell()
        if values:
            yield Row(row, values, text[start:end].strip(), len(text[:end].encode("utf-8", MARK)))
        start = end
