"""Reads RECORD lines whose values are all texts and that are written alike, as our connector writes those of CSV files.

Such lines differ only between certain quotes. So they are a CSV file whose delimiter is the quote, which takes half the
time of reading JSON; all other parts of a line have to be those of the first line.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import csv

from airbyte_local.columns import Column, pc

_START = b'{"type":"RECORD","record":{"stream":"'
# Escapes other than of quotes and backslashes.
_ESCAPE = re.compile(rb'\\[^"\\]')
# Between texts; JSON with one in place of the other would not be valid. As nulls they are only compared, not stored.
_BETWEEN = frozenset(":,")
_NUMBER = re.compile(":[0-9]{1,18},")
_BEGINNING = 1 << 16
# The name of the number, which no value has.
_EMITTED_AT = 0


class _Part(NamedTuple):
    """The text that a part of each line is, or the name of the value that differs."""

    text: str = ""
    name: str | int | None = None


def read(lines: bytes, first: dict[str, Any], columns: Sequence[Column]) -> tuple[list[pa.Array], pa.Array] | None:
    """Read RECORD messages as `record_lines.read` does; None if they are not written alike."""
    if not lines.startswith(_START) or list(first) != ["stream", "emitted_at", "data"]:
        return None
    names = [first["stream"], *(data := first["data"])]
    if set(map(type, data.values())) != {str} or not _BETWEEN.isdisjoint(names):
        return None
    # A null is noticed below, too; in most files that have any, there is one near the beginning.
    if lines.find(b":null", 0, _BEGINNING) >= 0 or b"\0" in lines or _ESCAPE.search(lines):
        return None
    parts = {str(number): part for number, part in enumerate(_parts(*names))}
    of = {part.name: place for place, part in parts.items() if part.name is not None}
    alike = {place: part.text for place, part in parts.items() if part.name is None and part.text not in _BETWEEN}
    types = {place: pa.null() if part.text in _BETWEEN else pa.string() for place, part in parts.items()}
    try:
        table = csv.read_csv(
            pa.BufferReader(lines),
            read_options=csv.ReadOptions(column_names=list(parts), use_threads=False, block_size=len(lines) + 1),
            parse_options=csv.ParseOptions(delimiter='"', quote_char=False, escape_char="\\"),
            convert_options=csv.ConvertOptions(column_types=types, null_values=list(_BETWEEN)),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    if not _are_all(table.select(list(alike)), alike):
        return None
    read = {name: table.column(place).chunk(0) for name, place in of.items()}
    emitted_at = _numbers(read.pop(_EMITTED_AT))
    if emitted_at is None:
        return None
    return [read.get(column.name, pa.nulls(len(table), pa.string())) for column in columns], emitted_at


def _are_all(table: pa.Table, row: dict[str, str]) -> bool:
    """Whether all rows of a table are this one."""
    # Comparing neighbours takes a fifth of the time of comparing each column with its text.
    return table.slice(0, 1).to_pylist() == [row] and table.slice(1).equals(table.slice(0, len(table) - 1))


def _numbers(texts: pa.StringArray) -> pa.Int64Array | None:
    """The numbers in texts such as `:12,`, which are usually all the same; None if there is another text."""
    first = texts[0].as_py()
    if pc.all(pc.equal(texts, first)).as_py():
        return pa.repeat(pa.scalar(int(first[1:-1]), pa.int64()), len(texts)) if _NUMBER.fullmatch(first) else None
    if not pc.all(pc.match_substring_regex(texts, f"^{_NUMBER.pattern}$")).as_py():
        return None
    return pc.utf8_slice_codeunits(texts, 1, -1).cast(pa.int64())


def _parts(stream: str, *names: str) -> Iterator[_Part]:
    """What is between the quotes of a line with these values."""
    for text in ("{", "type", ":", "RECORD", ",", "record", ":{", "stream", ":", stream, ",", "emitted_at"):
        yield _Part(text)
    yield _Part(name=_EMITTED_AT)
    yield from (_Part("data"), _Part(":{"))
    for name in names:
        yield from (_Part(name), _Part(":"), _Part(name=name), _Part("}}}" if name == names[-1] else ","))
