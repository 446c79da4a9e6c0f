"""What a declared JSON schema makes of a value: the kinds of columns, and the values that fit each.

Every destination shares these rules. A value that fits is handed on without loss; one that does not raises ValueError,
and its column becomes null with a note in the record's metadata, as Airbyte does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import orjson

_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,1000}(\.[0-9]{0,1000})?|\.[0-9]{1,1000})([eE][+-]?[0-9]{1,3})?")
_BIGINT = range(-(2**63), 2**63)


class Kind(StrEnum):
    """Types of columns, for a destination to give its own names."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMP_TZ = "timestamp with time zone"
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True)
class Column:
    """A column of a stream."""

    name: str
    kind: Kind

    @property
    def convert(self) -> Callable[[Any], Any]:
        """Function from a JSON value other than null to the value to load; ValueError: it does not fit."""
        return _CONVERT[self.kind]


def columns(json_schema: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that a stream's JSON schema declares, in its order."""
    return tuple(Column(name, _kind(schema)) for name, schema in json_schema.get("properties", {}).items())


def _kind(schema: dict[str, Any]) -> Kind:
    types = schema.get("type", [])
    types = {types} if isinstance(types, str) else set(types)
    types.discard("null")
    airbyte_type = schema.get("airbyte_type")
    match types.pop() if len(types) == 1 else None:
        case "integer":
            return Kind.INTEGER
        case "number":
            return Kind.INTEGER if airbyte_type == "integer" else Kind.NUMBER
        case "boolean":
            return Kind.BOOLEAN
        case "object" | "array":
            return Kind.JSON
        case "string" if schema.get("format") == "date":
            return Kind.DATE
        case "string" if schema.get("format") == "date-time":
            return Kind.TIMESTAMP if airbyte_type == "timestamp_without_timezone" else Kind.TIMESTAMP_TZ
    return Kind.TEXT


def _integer(value: Any) -> int:
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and value in _BIGINT:
        return value
    raise ValueError


def _number(value: Any) -> Any:
    if type(value) is int or type(value) is float:
        return value
    if type(value) is str and _NUMBER.fullmatch(value):
        return value
    raise ValueError


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _date(value: Any) -> str:
    if type(value) is str:
        return date.fromisoformat(value).isoformat()
    raise ValueError


def _timestamp(value: Any) -> str:
    if type(value) is str:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return moment.isoformat()
    raise ValueError


def _timestamp_tz(value: Any) -> str:
    if type(value) is str:
        moment = datetime.fromisoformat(value)
        # As Airbyte: without a zone it is UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    raise ValueError


def _json(value: Any) -> str:
    if type(value) is str:
        value = orjson.loads(value)
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    raise ValueError


def _text(value: Any) -> str:
    return value if type(value) is str else orjson.dumps(value).decode()


_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMP_TZ: _timestamp_tz,
    Kind.JSON: _json,
    Kind.TEXT: _text,
}
