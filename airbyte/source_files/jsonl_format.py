"""JSON Lines: UTF-8, one object per line; blank lines are ignored."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson

import exact_json
from exact_json import Number
from source_files.config import Stream
from source_files.content import Content, public
from source_files.encoding import utf8
from source_files.errors import SourceError, nul_error
from source_files.records import frame, has_nul
from source_files.schema import BIGINT, Columns

# Lines up to this size in bytes are read.
_LONGEST = 8 << 20


def check(content: Content, stream: Stream) -> None:
    """Read a file's first object."""
    next((True for block in _blocks(content) for _ in _objects(public(content.url), *block)), None)


def read(content: Content, stream: Stream, columns: list[str], warn: Callable[[str], None]) -> Iterator[bytes]:
    """A file's rows as lines of RECORD messages, with unchanged values."""
    url, wanted, warned = public(content.url), set(columns), False
    for first, lines in _blocks(content):
        objects = []
        for number, line, row in _objects(url, first, lines):
            if not row.keys() <= wanted:
                if not warned:
                    others = ", ".join(sorted(row.keys() - wanted))
                    warn(f"{url}, line {number}: columns that are not declared are ignored: {others}")
                    warned = True
                row = exact_json.parse(line.decode())
                line = exact_json.dumps({name: row[name] for name in columns if name in row})
            objects.append(line)
        if objects:
            before, behind = frame(stream.name)
            records = before + (behind + before).join(objects) + behind
            if b"\\u0000" in records:
                _refuse_nul(url, first, lines, columns)
            yield records


def _refuse_nul(url: str, first: int, lines: list[bytes], columns: list[str]) -> None:
    for number, _, row in _objects(url, first, lines):
        for name in columns:
            if has_nul(row.get(name)):
                raise nul_error(f"{url}, line {number}, column {name}")


def learn(content: Content, stream: Stream, limit: int, columns: Columns) -> None:
    """Read a file's first `limit` bytes, and reduce the types of its columns to those that the values fit."""
    import pyarrow as pa  # slow to import, and `read` does not need it

    from source_files.text_types import MOMENTS, fitting

    for number, lines in _blocks(content):
        found = defaultdict(list)
        for _, _, row in _objects(public(content.url), number, lines):
            for name, value in row.items():
                found[name].append(value)
        for name, values in found.items():
            types = columns.fitting(name)
            if texts := [value for value in values if type(value) is str]:
                columns.narrow(name, fitting(pa.array(texts), types & MOMENTS))
            for types in {_fitting(value) for value in values if value is not None and type(value) is not str}:
                columns.narrow(name, types)
        limit -= sum(map(len, lines))
        if limit <= 0:
            return


def _fitting(value: Any) -> frozenset[str]:
    """Types that a value other than text fits."""
    kind = type(value)
    if kind is int:
        # A double is exact up to 2^53; numbers beyond bigint only fit text.
        return frozenset(["integer", "number"][: 2 if abs(value) <= 2**53 else value in BIGINT])
    if kind is float or kind is Number:
        # orjson turns very long integers into floats.
        return frozenset(["number"] if abs(float(value)) < 2**63 else [])
    return frozenset([{bool: "boolean", dict: "object", list: "array"}[kind]])


def _blocks(content: Content) -> Iterator[tuple[int, list[bytes]]]:
    """The file's lines in blocks, with the number of the first line."""
    number, rest = 1, b""
    for piece in utf8(content, "utf-8", "JSON Lines"):
        *lines, rest = (rest + piece).split(b"\n")
        yield number, lines
        number += len(lines)
        if len(rest) > _LONGEST:
            where = f"{public(content.url)}, line {number}"
            raise SourceError(f"{where}: longer than {_LONGEST >> 20} MB; write one object per line, or shorten it")
    yield number, [rest]


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # It also refuses a number that is too large for a double.
        with suppress(ValueError):
            return exact_json.parse(line.decode())
        raise


def _objects(url: str, first: int, lines: list[bytes]) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Number, text and object of every line that is not blank."""
    for number, line in enumerate(lines, first):
        if not (line := line.strip()):
            continue
        try:
            row = _parsed(line)
        except orjson.JSONDecodeError as error:
            wrong = f"invalid JSON at character {error.colno}: {error.msg}"
            raise SourceError(f"{url}, line {number}: {wrong}; write one object per line, in UTF-8") from error
        if type(row) is not dict:
            shown = line[:80].decode(errors="replace")
            raise SourceError(f"{url}, line {number}: not an object: {shown}; write one object per line")
        yield number, line, row
