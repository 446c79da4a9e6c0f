"""RECORD lines that all look alike, read by Arrow many at once; the rest is left to those who look at each message."""

import re
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from airbyte_local import long_numbers
from airbyte_local.columns import Column, Kind

_RECORD = re.compile(rb'\{"type": ?"RECORD",')
# Texts that Arrow would read otherwise than orjson, or that need a look at each record.
_HARD = (b"\\u0000", b'"meta"')
# Integers of a float64 that stand for no others.
_EXACT = 2.0**53
_JSON_TYPES = {Kind.INTEGER: pa.int64(), Kind.NUMBER: pa.float64(), Kind.DOUBLE: pa.float64(), Kind.BOOLEAN: pa.bool_()}


def first_record(lines: bytes) -> dict[str, Any] | None:
    """The record of the first line, if all lines begin as RECORD messages do and none is hard to read.

    Args:
        lines: what a connector printed, without the last line's end.
    """
    found = _RECORD.match(lines)
    if not found or any(hard in lines for hard in _HARD) or lines.count(b"\n" + found[0]) != lines.count(b"\n"):
        return None
    try:
        record = orjson.loads(lines.partition(b"\n")[0])["record"]
    except (orjson.JSONDecodeError, KeyError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("data"), dict) else None


def read(lines: bytes, first: dict[str, Any], columns: Sequence[Column]) -> tuple[list[pa.Array], pa.Array] | None:
    """Columns of records of one stream.

    Args:
        lines: RECORD messages, a line each.
        first: record of the first one; the others must have the same stream, and JSON types of its kinds.
        columns: of the stream.

    Returns:
        The values of each column as their JSON has them, and emitted_at of each record in milliseconds; None where the
        lines have to be looked at one by one.
    """
    if any(column.kind is Kind.JSON for column in columns):
        return None
    data = first["data"]
    fields = [pa.field(column.name, _type(column, data.get(column.name))) for column in columns]
    if any(pa.types.is_floating(field.type) for field in fields) and long_numbers.has_any(lines):
        return None
    own = {"stream": pa.string(), "namespace": pa.string(), "data": pa.struct(fields), "emitted_at": pa.int64()}
    try:
        table = arrow_json.read_json(
            pa.BufferReader(lines),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=pa.schema([("record", pa.struct(own.items()))]), unexpected_field_behavior="ignore"
            ),
        )
        table.validate(full=True)  # else invalid UTF-8 passes
    except pa.ArrowInvalid:
        return None
    records = table.column("record").combine_chunks()
    streams, namespaces, values, emitted_at = records.flatten()
    is_alike = (
        len(records) == lines.count(b"\n") + 1
        and _all_are(streams, first.get("stream"))
        and _all_are(namespaces, first.get("namespace"))
        and not (values.null_count or emitted_at.null_count)
    )
    arrays = values.flatten()
    return (arrays, emitted_at) if is_alike and all(map(_is_exact, columns, arrays)) else None


def _type(column: Column, value: Any) -> pa.DataType:
    """Type of a column's JSON values, of which one is known."""
    return pa.string() if isinstance(value, str) else _JSON_TYPES.get(column.kind, pa.string())


def _all_are(texts: pa.Array, wanted: str | None) -> bool:
    if wanted is None:
        return texts.null_count == len(texts)
    return texts.null_count == 0 and pc.all(pc.equal(texts, wanted)).as_py()


def _is_exact(column: Column, values: pa.Array) -> bool:
    """Whether floats are what the JSON says, which is no float where it is a long integer or not finite."""
    if not pa.types.is_floating(values.type) or values.null_count == len(values):
        return True
    bounds = pc.min_max(values)
    is_small = max(-bounds["min"].as_py(), bounds["max"].as_py()) < _EXACT
    return is_small and pc.all(pc.is_finite(values)).as_py()
