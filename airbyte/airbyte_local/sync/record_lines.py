"""Reads many similar RECORD lines at once with Arrow; other lines have to be parsed one by one."""

import re
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import json as arrow_json

import exact_json
from airbyte_local.columns import Column, Kind, pc
from airbyte_local.sync import text_lines

_RECORD = re.compile(rb'\{"type": ?"RECORD",')
# Lines with these are parsed one by one: Arrow reads them differently, or each record matters.
_HARD = (b"\\u0000", b'"meta"')
# Integers below this are exact in a float64.
_EXACT = 2.0**53
_JSON_TYPES = {Kind.INTEGER: pa.int64(), Kind.NUMBER: pa.float64(), Kind.DOUBLE: pa.float64(), Kind.BOOLEAN: pa.bool_()}


def first_record(lines: bytes) -> dict[str, Any] | None:
    """The record of the first line, if it is a RECORD message, else None."""
    if not _RECORD.match(lines):
        return None
    end = lines.find(b"\n")
    try:
        record = orjson.loads(lines if end < 0 else lines[:end])["record"]
    except (orjson.JSONDecodeError, KeyError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("data"), dict) else None


def read(lines: bytes, first: dict[str, Any], columns: Sequence[Column]) -> tuple[list[pa.Array], pa.Array] | None:
    """Read lines; they must be RECORD messages with the same stream and the same JSON types as the first record.

    Returns:
        The JSON values of each column, and emitted_at of each record in milliseconds; or None if the lines have to be
        parsed one by one.
    """
    if found := text_lines.read(lines, first, columns):
        return found
    if any(column.kind is Kind.JSON for column in columns):
        return None
    start = _RECORD.match(lines)
    if start is None or any(hard in lines for hard in _HARD):
        return None
    data = first["data"]
    fields = [pa.field(column.name, _type(column, data.get(column.name))) for column in columns]
    if any(pa.types.is_floating(field.type) for field in fields) and exact_json.has_wide(lines):
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
        table.validate(full=True)  # otherwise invalid UTF-8 is accepted
    except pa.ArrowInvalid:
        return None
    records = table.column("record").combine_chunks()
    streams, namespaces, values, emitted_at = records.flatten()
    is_alike = (
        len(records) == lines.count(b"\n" + start[0]) + 1
        and _all_are(streams, first.get("stream"))
        and _all_are(namespaces, first.get("namespace"))
        and not (values.null_count or emitted_at.null_count)
    )
    arrays = values.flatten()
    return (arrays, emitted_at) if is_alike and all(map(_is_exact, columns, arrays)) else None


def _type(column: Column, value: Any) -> pa.DataType:
    """Arrow type of a column's JSON values, given one of them."""
    return pa.string() if isinstance(value, str) else _JSON_TYPES.get(column.kind, pa.string())


def _all_are(texts: pa.Array, wanted: str | None) -> bool:
    if wanted is None:
        return texts.null_count == len(texts)
    return texts.null_count == 0 and pc.all(pc.equal(texts, wanted)).as_py()


def _is_exact(column: Column, values: pa.Array) -> bool:
    """Whether floats equal the JSON values: long integers and infinite values may differ."""
    if not pa.types.is_floating(values.type) or values.null_count == len(values):
        return True
    bounds = pc.min_max(values)
    is_small = max(-bounds["min"].as_py(), bounds["max"].as_py()) < _EXACT
    return is_small and pc.all(pc.is_finite(values)).as_py()
