"""JSON Lines: UTF-8, one object per line; blank lines are ignored. Also objects over several lines, and one array."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any

import orjson

import exact_json
from exact_json import Number, has_nul
from source_files.config import Stream
from source_files.errors import EmptyFileError, SourceError, nul_error
from source_files.json_objects import Found, blocks, parsed
from source_files.open_file import Content, public
from source_files.records import frame
from source_files.schema import BIGINT, Columns

# Keys of an object with which a server reports an error.
_ERROR_KEYS = {"error", "errors", "message", "detail", "fault"}
# Characters of an object that are shown in messages.
_SHOWN = 200


def check(content: Content, stream: Stream) -> None:
    """Read a file's first object."""
    first = next((found for block in blocks(content) for found in block), None)
    if not first:
        raise EmptyFileError(f"{public(content.url)}: the file is empty")
    own = set(content.columns.own(stream.columns or []))
    if own and first[2] and own.isdisjoint(first[2]):
        raise _stranger(public(content.url), first, own)


def read(content: Content, stream: Stream, columns: list[str], warn: Callable[[str], None]) -> Iterator[bytes]:
    """A file's rows as lines of RECORD messages, with unchanged values."""
    url, warned, is_empty = public(content.url), False, True
    wanted = set(content.columns.own(columns))
    missing = set(wanted)
    for block in blocks(content):
        objects, numbers, stranger = [], [], None
        for found in block:
            number, line, row = found
            if missing:
                missing -= row.keys()
                stranger = stranger or (found if row else None)
            if not row.keys() <= wanted:
                if not warned:
                    others = ", ".join(sorted(row.keys() - wanted))
                    warn(f"{url}, line {number}: columns that are not declared are ignored: {others}")
                    warned = True
                try:
                    row = exact_json.parse(line.decode())
                    line = exact_json.dumps({name: row[name] for name in columns if name in row and name in wanted})
                except (ValueError, TypeError):
                    raise SourceError(f"{url}, line {number}: nested too deeply; write it with fewer levels") from None
            objects.append(line)
            numbers.append(number)
        if not objects:
            continue
        if is_empty and stranger and missing == wanted:
            raise _stranger(url, stranger, wanted)
        is_empty = False
        if added := {name: value for name, value in content.columns.constants.items() if name in columns}:
            end = orjson.dumps(added)[1:]
            objects = [line[:-1] + (b"," if line[1:-1].strip() else b"") + end for line in objects]
        before, behind = frame(stream.name)
        records = before + (behind + before).join(objects) + behind
        if b"\\u0000" in records:
            _refuse_nul(url, numbers, objects, columns)
        yield records
    if is_empty:
        raise EmptyFileError(f"{url}: the file is empty")
    if lacking := missing.intersection(content.columns.required or ()):
        raise SourceError(f"{url}: no object has the column {', '.join(sorted(lacking))}, which is required; add it")
    content.columns.present(url, [name for name in columns if name in missing], (), warn)


def _stranger(url: str, found: Found, wanted: Collection[str]) -> SourceError:
    """The error for an object that has none of the columns."""
    number, line, row = found
    wrong = f"the object has none of the columns {', '.join(sorted(wanted))}, but: {', '.join(row)[:_SHOWN]}"
    remedy = "correct the names, or declare these columns"
    if not _ERROR_KEYS.isdisjoint(row):
        remedy = f"this may be a server's error message; correct the address: {line[:_SHOWN].decode(errors='replace')}"
    return SourceError(f"{url}, line {number}: {wrong}; {remedy}")


def _refuse_nul(url: str, numbers: list[int], objects: list[bytes], columns: list[str]) -> None:
    for number, line in zip(numbers, objects, strict=True):
        row = parsed(line)
        for name in columns:
            if has_nul(row.get(name)):
                raise nul_error(f"{url}, line {number}, column {name}")


def learn(content: Content, stream: Stream, limit: int, columns: Columns) -> None:
    """Read a file's first `limit` bytes, and reduce the types of its columns to those that the values fit."""
    import pyarrow as pa  # slow to import, and `read` does not need it

    from source_files.text_types import MOMENTS, fitting

    is_empty = True
    for block in blocks(content):
        found = defaultdict(list)
        for _, line, row in block:
            is_empty = False
            limit -= len(line)
            for name, value in row.items():
                found[name].append(value)
        for name, values in found.items():
            types = columns.fitting(name)
            if texts := [value for value in values if type(value) is str]:
                columns.narrow(name, fitting(pa.array(texts), types & MOMENTS))
            for types in {_fitting(value) for value in values if value is not None and type(value) is not str}:
                columns.narrow(name, types)
        if limit <= 0:
            return
    if is_empty:
        raise EmptyFileError(f"{public(content.url)}: the file is empty")


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
