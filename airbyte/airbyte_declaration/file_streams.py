"""Checks what connections.yaml declares about the streams of our own source `files`, before anything is read."""

from collections.abc import Iterator
from typing import Any

from airbyte_declaration import column_types, keys
from airbyte_declaration.streams import StreamConfiguration, as_columns


def schema_faults(configuration: dict[str, Any]) -> Iterator[str]:
    """Unknown types, and primary keys that do not fit, each with its stream; the connector finds other errors."""
    for name, stream in _streams(configuration).items():
        schema, key = stream.get("json_schema"), stream.get("primary_key")
        if isinstance(schema, dict) and "properties" in schema:
            yield from (f"stream {name}: json_schema: {fault}" for fault in column_types.faults(schema))
        if key is None:
            continue
        if not isinstance(key, list) or not all(isinstance(each, str) for each in key):
            wanted = ", ".join(as_columns(key)) or "COLUMN"
            yield f"stream {name}: primary_key must be a list of columns; write primary_key: [{wanted}]"
        elif columns := _columns(stream):
            found = (keys.column_fault(each, columns, "key") for each in key)
            yield from (f"stream {name}: primary_key: {fault}" for fault in found if fault)


def key_faults(
    configuration: dict[str, Any], wanted: StreamConfiguration, *, allows_double: bool
) -> Iterator[tuple[str, str]]:
    """Faults of a connection's key, as `keys.faults`; none if the columns are not declared, or are names of folders."""
    stream = _streams(configuration).get(wanted.name, {})
    columns = {} if stream.get("hive_partitions") else _columns(stream)
    if columns:
        named = {str(name): {"type": "string"}} if (name := stream.get("file_name_column")) else {}
        yield from keys.faults(wanted, named | columns, allows_double=allows_double)


def _streams(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    streams = configuration.get("streams")
    if configuration.get("sourceType") != "files" or not isinstance(streams, list):
        return {}
    return {str(each.get("name")): each for each in streams if isinstance(each, dict)}


def _columns(stream: dict[str, Any]) -> dict[str, Any]:
    schema = stream.get("json_schema")
    columns = schema.get("properties") if isinstance(schema, dict) else None
    return columns if isinstance(columns, dict) else {}
