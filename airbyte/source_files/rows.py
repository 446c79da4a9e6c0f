"""Splits the bytes of a CSV file at the ends of rows, and finds rows that are not valid."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from source_files import dialect
from source_files.config import Csv
from source_files.encoding import MARK

# Rows up to this size in bytes are read; rows of twice the size are refused.
LONGEST = 8 << 20
# Python's reader would refuse values of more than 128 kB.
csv.field_size_limit(2 * LONGEST)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row, and how many of its characters can be read before."""

    text: str
    size: int = LONGEST


def parts(pieces: Iterator[bytes], csv_options: Csv) -> Iterator[tuple[bytes, Fault | None]]:
    """Whole rows without comments, in parts of about one piece; with the last part, the fault of its first row."""
    special, rest = dialect.special(csv_options), b""
    found: list[re.Match[bytes]] = []
    kinds: set[str | None] = set()
    for piece in pieces:
        rest += piece
        found = list(special.finditer(rest)) if special else []
        kinds = set(map(attrgetter("lastgroup"), found))
        if "stray" in kinds:
            number, value = next((i, part) for i, part in enumerate(found) if part.lastgroup == "stray")
            end = _end_of_rows(rest[: value.start()], found[:number])
            yield _without_comments(rest[:end], found[:number]), None
            yield rest[end:], _stray(value, end, csv_options)
            return
        if end := _end_of_rows(rest, found):
            yield _without_comments(rest[:end], found) if "comment" in kinds else rest[:end], None
            rest = rest[end:]
        elif len(rest) > LONGEST:
            yield rest, Fault(f"longer than {LONGEST >> 20} MB; close its quote, shorten it or remove it")
            return
    if rest:
        # Without the line break, Arrow treats an empty last value after a quoted one as quoted, too.
        yield _without_comments(rest, found) + b"\n", _unfinished(kinds, csv_options)


def _end_of_rows(rows: bytes, special: list[re.Match[bytes]]) -> int:
    """End of the last whole row: after the last line break that is not in a special part; 0 if there is none."""
    behind = len(rows)
    for part in reversed(special):
        if line_break := max(rows.rfind(b"\n", part.end(), behind), rows.rfind(b"\r", part.end(), behind)) + 1:
            return line_break
        behind = part.start()
    return max(rows.rfind(b"\n", 0, behind), rows.rfind(b"\r", 0, behind)) + 1


def _without_comments(rows: bytes, special: list[re.Match[bytes]]) -> bytes:
    """The rows with a blank line for each comment."""
    return special[0].re.sub(lambda part: b"" if part.lastgroup == "comment" else part[0], rows) if special else rows


def _stray(value: re.Match[bytes], row: int, csv_options: Csv) -> Fault:
    """The fault of a row, which begins at `row`: this value is not the end of a field."""
    quote, behind = csv_options.quote or "", value.string[value.end() : value.end() + 20].splitlines()[0]
    remedy = f"remove it, write a literal quote as {quote * 2}"
    if value[0].endswith(b"\\" + quote.encode()) and not csv_options.escape:
        remedy += r", or set csv.escape: '\' if a backslash stands before literal quotes"
    remedy += ", or set csv.quote: null if quotes have no meaning"
    shown = behind.decode("utf-8", "replace")
    return Fault(
        f"{shown!r} stands behind a closing {dialect.name(quote)}; {remedy}",
        len(value.string[row : value.end()].decode("utf-8", MARK)),
    )


def _unfinished(kinds: set[str | None], csv_options: Csv) -> Fault | None:
    """The fault of a last row with these special parts, if it does not end."""
    if "open" in kinds:
        quote = csv_options.quote or ""
        remedy = f"close it, or write a literal quote as {quote * 2}; set csv.quote: null if quotes have no meaning"
        return Fault(f"a {dialect.name(quote)} opens and is never closed; {remedy}")
    if "cut" in kinds:
        return Fault(f"the file ends behind the escape {csv_options.escape}; remove it, or double it")
    return None
