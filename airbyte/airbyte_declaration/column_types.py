"""What a declared JSON schema may say about the type of a column; anything else would silently become text."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

TYPES = ("integer", "number", "boolean", "string", "object", "array", "null")
# The type that a format needs.
_FORMATS = {"date": "string", "time": "string", "date-time": "string", "double": "number"}
# Formats of JSON Schema without an effect: the column is text.
_TEXTS = {"email", "hostname", "ipv4", "ipv6", "uri", "uri-reference", "uuid"}
# Words for formats and what to write, the formats themselves first.
_FORMAT_WORDS = {
    **{name: name for name in _FORMATS},
    "timestamp": "date-time",
    "datetime": "date-time",
    "float": "double",
}
# The type and the format that an airbyte_type needs.
_AIRBYTE_TYPES = {
    "timestamp_with_timezone": ("string", "date-time"),
    "timestamp_without_timezone": ("string", "date-time"),
    "time_with_timezone": ("string", "time"),
    "time_without_timezone": ("string", "time"),
    "integer": ("number", None),
}
_AIRBYTE_WORDS = {name: name for name in _AIRBYTE_TYPES}
_DATE_TIME = "type: string, format: date-time"
# What to write for words of other languages, SQL above all.
_MEANT = {
    **{name: f"type: {name}" for name in TYPES},
    **dict.fromkeys(("int", "bigint", "smallint", "long"), "type: integer"),
    **dict.fromkeys(("numeric", "decimal"), "type: number"),
    **dict.fromkeys(("double", "float", "real"), "type: number, format: double"),
    "bool": "type: boolean",
    **dict.fromkeys(("str", "text", "varchar", "char", "uuid"), "type: string"),
    "date": "type: string, format: date",
    "time": "type: string, format: time",
    **dict.fromkeys(("date-time", "timestamptz", "timestamp_with_timezone"), _DATE_TIME),
    **dict.fromkeys(
        ("datetime", "timestamp", "timestamp_without_timezone"),
        f"{_DATE_TIME}, airbyte_type: timestamp_without_timezone",
    ),
    **dict.fromkeys(("json", "jsonb", "dict", "struct", "map"), "type: object"),
    "list": "type: array",
}


def type_of(column: Any) -> str | None:
    """The one type of a column's schema beside null, or None if it has several or none."""
    types = column.get("type") if isinstance(column, dict) else None
    names = [each for each in ([types] if isinstance(types, str) else types or []) if each != "null"]
    return names[0] if len(names) == 1 else None


def faults(json_schema: dict[str, Any]) -> list[str]:
    """Columns whose type, format or airbyte_type is unknown, each with what to write."""
    columns = json_schema.get("properties")
    if not isinstance(columns, dict):
        return ["properties must have the form `column: {type: string}`"]
    return [f"column {name}: {fault}" for name, column in columns.items() for fault in _faults(column)]


def _faults(column: Any) -> Iterator[str]:
    if isinstance(column, bool):  # JSON Schema's short form of {}
        return
    if not isinstance(column, dict):
        yield f"must be a schema; write {{{_meant(column) or 'type: string'}}}"
        return
    types = column.get("type", [])
    for each in types if isinstance(types, list) else [types]:
        if each not in TYPES:
            remedy = f"write {{{_meant(each)}}}" if _meant(each) else f"the types are {', '.join(TYPES)}"
            yield f"the type {each!r} is unknown; {remedy}"
            return
    own = type_of(column)
    format_, special = (None if (word := column.get(key)) is None else str(word) for key in ("format", "airbyte_type"))
    if format_ in _FORMATS and own != _FORMATS[format_]:
        yield f"the format {format_} needs type: {_FORMATS[format_]}, but the type is {_shown(types)}"
    elif format_ is not None and format_ not in (*_FORMATS, *(_TEXTS if own == "string" else ())):
        yield f"the format {format_!r} is unknown; {_nearest('format', format_, _FORMAT_WORDS)}"
    if special is None:
        return
    if special not in _AIRBYTE_TYPES:
        yield f"the airbyte_type {special!r} is unknown; {_nearest('airbyte_type', special, _AIRBYTE_WORDS)}"
        return
    needed, needed_format = _AIRBYTE_TYPES[special]
    if own not in (needed, special):
        yield f"the airbyte_type {special} needs type: {needed}, but the type is {_shown(types)}"
    elif needed_format and format_ != needed_format:
        yield f"the airbyte_type {special} needs format: {needed_format}"


def _meant(word: Any) -> str | None:
    """What to write instead of an unknown type."""
    nearest = get_close_matches(str(word).lower(), _MEANT, n=1)
    return _MEANT[nearest[0]] if nearest else None


def _nearest(key: str, word: str, known: dict[str, str]) -> str:
    nearest = get_close_matches(word.lower(), known, n=1)
    return (
        f"write {key}: {known[nearest[0]]}"
        if nearest
        else f"{key} is one of {', '.join(dict.fromkeys(known.values()))}"
    )


def _shown(types: Any) -> str:
    return ", ".join(types) if isinstance(types, list) and types else str(types or "missing")
