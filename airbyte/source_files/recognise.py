"""Recognises what the first row of a file is if it is not a row of column names."""

import re
from dataclasses import dataclass

import orjson

from source_files import dialect
from source_files.config import Csv

# Characters of a row that are shown in messages.
SHOWN = 200
_JSON = re.compile(r'\{\s*["}]|\[\s*(?:["\[{\]]|-?\d+(?:\.\d+)?\s*,)')
_VALUES = {
    "whole number": re.compile(r"[+-]?\d{1,18}"),
    "number": re.compile(r"[+-]?\d*[.,]\d+"),
    "date": re.compile(r"(?:\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{4})(?:[T ][\d:.Z+-]+)?"),
}


@dataclass(frozen=True)
class Row:
    """A row that is not blank: its number, values and text, and the size in bytes of all lines up to its end."""

    number: int
    values: list[str]
    text: str
    size: int


def no_names(first: Row, second: Row | None, csv_options: Csv) -> str | None:
    """What the first of two rows is if it is certainly not the names of the columns, and what to do."""
    return (
        json(first)
        or other_delimiter(first, second, csv_options)
        or _sentence(first, second)
        or _comment(first, second, csv_options)
        or _title(first, second, csv_options)
        or _values(first, second or first)
    )


def json(first: Row) -> str | None:
    """For a row of JSON: what to do."""
    if _JSON.match(first.text) or first.text in ("{", "["):
        return f"this is JSON, not CSV: {shown(first.text)}; correct the address, or set format: jsonl"
    return None


def is_json(text: str) -> bool:
    """Whether a text is JSON as a whole."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def other_delimiter(first: Row, second: Row | None, csv_options: Csv) -> str | None:
    """For a row of one value with another delimiter, which the next row has, too: what to do."""
    quote = csv_options.quote
    if len(first.values) > 1 or (quote and first.text == f"{quote}{first.values[0]}{quote}"):
        return None
    for other in ",;\t|":
        if other != csv_options.delimiter and other in first.text and (not second or other in second.text):
            delimiters = f"{dialect.name(csv_options.delimiter)}s instead of {other!r}"
            what = "the first row" if csv_options.column_names else "the header"
            return f"{what} is {first.text[:SHOWN]!r}: separate values by {delimiters}, or declare csv.delimiter"
    return None


def _sentence(first: Row, second: Row | None) -> str | None:
    """For a text of several words alone, or for a sentence with another one behind it."""
    is_text = first.text.count(" ") > 0 if len(first.values) == 1 and not second else _is_sentence(first)
    if is_text and (not second or _is_sentence(second)):
        return f"this is a text, not CSV: {shown(first.text)}; correct the address, or declare json_schema"
    return None


def _is_sentence(row: Row) -> bool:
    is_one = all(value.startswith(" ") for value in row.values[1:])
    return is_one and row.text.count(" ") > 2 and row.text.endswith((".", "!"))


def _comment(first: Row, second: Row | None, csv_options: Csv) -> str | None:
    """For a row that begins with #, unless it has names such as #id,name."""
    if not first.text.startswith("#") or csv_options.comment:
        return None
    if has_names(first) and not (second and second.text.startswith("#")):
        return None
    remedy = "set csv.comment: '#' if it is a comment, or csv.skip_rows and csv.column_names if it has the names"
    return f"the first row begins with #: {shown(first.text)}; {remedy}"


def has_names(row: Row) -> bool:
    """Whether a row that begins with # has several values and no blanks."""
    return len(row.values) > 1 and not any(map(str.isspace, row.text))


def _title(first: Row, second: Row | None, csv_options: Csv) -> str | None:
    """For a row of one value above rows of several values."""
    if second and len(first.values) == 1 < len(second.values):
        delimiter = dialect.name(csv_options.delimiter)
        what = f"the first row has one value, and row {second.number} has {len(second.values)}: {shown(first.text)}"
        remedy = f"set csv.skip_rows: {second.number - 1} if the header is below, or enclose values with {delimiter}s"
        return f"{what}; {remedy} in quotes"
    return None


def _values(first: Row, second: Row) -> str | None:
    """For numbers and dates that the next row has, too; numbers of columns, such as 0,1,2, are names."""
    kinds, others = (list(map(_kind, row.values)) for row in (first, second))
    if len(kinds) != len(others) or any(one != other for one, other in zip(kinds, others, strict=True) if other):
        return None
    if set(kinds) == {"whole number"}:
        numbers = list(map(int, first.values))
        are_names = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    else:
        are_names = kinds[0] != "whole number" and not {"number", "date"}.intersection(kinds)
    if are_names:
        return None
    return f"the first row has values, not names of columns: {shown(first.text)}; set csv.column_names"


def _kind(value: str) -> str:
    """Kind of a value; empty for an empty one."""
    return next((kind for kind, looks in _VALUES.items() if looks.fullmatch(value)), "text" if value else "")


def shown(text: str) -> str:
    """A text for a message."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
